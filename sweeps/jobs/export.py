"""``export``: the checkpoint of a fine-tuned model, as a folder that timm or transformers loads without this package.

The weights are those that the final run left in the cache; where they are gone the run is made again, which gives the
same ones. The folder is then loaded back as a user would, and the accuracy told is that of what was loaded.
"""

import shutil
import uuid

from safetensors.torch import load_file

from sweeps.checkpoints import put
from sweeps.jobs import head
from sweeps.jobs.card import card
from sweeps.jobs.context import Context
from sweeps.jobs.finetune import FineTuning, weights_file
from sweeps.types import Job, Row
from sweeps.zoo import checkpoint


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Write the folder ``<cache>/checkpoints/<job>``, whole or not at all, and measure what it holds."""
    loaded = context.model(job.model, classes=len(job.task.classes), settings=job.settings)
    tuning = FineTuning(context, loaded, job.task, job.settings)
    kept = weights_file(job, context.cache)
    trained = not kept.exists()
    if trained and job.settings["origin"] == "head":
        head.fit(job, context, loaded)
    elif trained:
        for _ in tuning.points():
            pass
    else:
        loaded.module.load_state_dict(load_file(kept))
    loaded.module.eval()
    folder = context.cache / "checkpoints" / job.id
    temporary = folder.with_name(f".tmp-{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        form = checkpoint.save(loaded, job.model, temporary, job.task.classes)
        splits = [context.examples(job.task, split, loaded) for split in ("val", "test")]
        val, test = checkpoint.right(loaded, job.model, temporary, splits)
        row: Row = {
            "job": job.id, "model": job.model.name, "task": job.task.name, "form": form, "trained_again": trained,
            "origin": job.settings["origin"],
            "learning_rate": job.settings["learning_rate"], "repeat": job.settings["repeat"],
            "val_accuracy": val / job.task.sizes["val"],
            "test_accuracy": test / job.task.sizes["test"], "test_right": test,
            "test": job.task.sizes["test"], "bytes": sum(path.stat().st_size for path in temporary.iterdir()),
        }  # fmt: skip
        (temporary / "README.md").write_text(card(job, row, checkpoint.facts(loaded)), encoding="utf-8")
        put(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for path in sorted(folder.iterdir()):
        context.share(path)
    return {"checkpoints": [row]}
