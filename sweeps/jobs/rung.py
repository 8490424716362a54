"""``rung``: a fine-tuning up to a step. Halving trains every (model, rate) a little, the better half on, and so forth.

The test split is not looked at: that is for the run that wins.
"""

from sweeps.jobs import halfway
from sweeps.jobs.context import Context
from sweeps.jobs.finetune import Diverged, FineTuning
from sweeps.jobs.runs import diverged, reached, run_row
from sweeps.types import Job, Row


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Train on from the rung before up to the step ``until``; a divergence is a row with its reason."""
    loaded = context.model(job.model, classes=len(job.task.classes), settings=job.settings)
    tuning, place = FineTuning(context, loaded, job.task, job.settings), halfway.folder(job, context.cache)
    tuning.go_on(place)
    points, until = tuning.past, job.settings["until"]
    try:
        if not points or points[-1].step < until:
            for point in tuning.points():
                points.append(point)
                if point.step >= until:
                    break
            assert tuning.descent is not None
            halfway.keep(place, loaded.module, tuning.descent, points)
        measured = reached([point for point in points if point.step <= until], job.settings["steps"], tuning.note)
    except Diverged as error:
        measured = diverged(points, str(error))
    return {"runs": [run_row(job) | measured | {"peak_memory_bytes": tuning.peak_memory()}]}
