"""The stages of a run: measure what sifting leaves, fine-tune the picks, search, confirm, judge, keep the winner."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sweeps import picks
from sweeps.checkpoints import deliver, held
from sweeps.config import SweepConfig
from sweeps.hands import Hands
from sweeps.ledger import note_plan
from sweeps.plan import confirmations, export, finals, grid, head, rungs
from sweeps.progress import Display
from sweeps.sifting import sieves, survivors
from sweeps.store import Store
from sweeps.types import Job, Model, Outcome, Row, Task

STAGES = ("sift", "tune", "tau", "search", "confirm", "head", "final", "export")


@dataclass(frozen=True)
class Course:
    """What the stages share: the sweep, its tables, who runs jobs, and who is told."""

    config: SweepConfig
    models: Sequence[Model]
    tasks: Sequence[Task]
    store: Store
    hands: Hands
    settle: Callable[[Outcome], None]
    display: Display

    def run(self, stage: str, jobs: Sequence[Job], later: Sequence[Job] = ()) -> None:
        """Note what a stage is made of and run what it lacks."""
        note_plan(self.store, stage, jobs)
        self.hands.run(stage, jobs, self.settle, self.display, later)

    def rows(self, jobs: Iterable[Job]) -> list[Row]:
        """The fine-tunings of jobs, and of the searches among them."""
        ids = {job.id for job in jobs}
        return [row for row in self.store.rows("runs") if row["job"] in ids or row["search"] in ids]


def measure(course: Course, jobs: Sequence[Job]) -> list[Job]:
    """Run the jobs that were known beforehand; of a sweep that is halved those of the models that sifting leaves.

    Returns:
        The jobs that were to be run in the end.
    """
    for stage, known in ("measure", jobs), *((stage, ()) for stage in STAGES):
        note_plan(course.store, stage, known)
    found, asked = sieves(course.config, course.models, course.tasks), list[Job]()
    while going := [sieve for sieve in found if sieve.going]:
        now = [job for sieve in going for job in sieve.jobs()]
        asked += now
        note_plan(course.store, "sift", asked)
        course.hands.run("sift", now, course.settle, course.display)
        rows = course.store.rows("sifted", [job.id for job in now])
        for sieve in going:
            sieve.drop(rows)
    left = survivors(jobs, found)
    course.run("measure", left)
    return left


def after(course: Course, jobs: Sequence[Job], facts: Sequence[Row]) -> None:
    """Run every stage that the sweep has, after the jobs that were known beforehand."""
    config, store = course.config, course.store
    scores = store.rows("scores", (job.id for job in jobs if job.kind == "score"))
    tuned = _tune(course, facts, scores) if config.finetune is not None and config.finetune.models != "all" else []
    taus = picks.tau_searches(config, jobs, store.rows("bounds"))
    note_plan(store, "tau", [cell.job for cell in taus])
    if taus:
        course.hands.search("tau", taus, course.settle, course.display)
    runs = [job for job in [*jobs, *tuned] if job.kind in ("finetune", "rung")]
    cells: list[Job] = []
    if config.search is not None:
        found = picks.searched(config, course.models, course.tasks, facts, scores, course.rows(runs))
        cells = [cell.job for cell in found]
        note_plan(store, "search", cells)
        course.hands.search("search", found, course.settle, course.display, _finals(course, runs))
        if config.search.confirm:
            trials = course.rows(cells)
            course.run("confirm", confirmations(config, picks.found(found, trials)))
    if config.final is not None:
        _finish(course, [*runs, *cells], scores)


def _tune(course: Course, facts: Sequence[Row], scores: Sequence[Row]) -> list[Job]:
    """The grid of the models that a strategy picks, best pick first; returns the jobs."""
    cells = picks.tuned(course.config, course.models, course.tasks, facts, scores)
    jobs = [job for model, task in cells for job in grid(course.config, model, task)]
    later = [job for model, task in cells[:1] for job in _repeats(course.config, model, task, 0.0)]
    assert course.config.finetune is not None
    if course.config.finetune.halving:
        return _halved(course, jobs, later)
    course.run("tune", jobs, later)
    return jobs


def _halved(course: Course, jobs: Sequence[Job], later: Sequence[Job]) -> list[Job]:
    """Take all to their first evaluation, the better half to the next, and so on; returns the parts."""
    parts, trained = [rungs(course.config, job) for job in jobs], []
    while parts:
        trained += [part[0] for part in parts]
        note_plan(course.store, "tune", trained)
        course.hands.run("tune", [part[0] for part in parts], course.settle, course.display, later)
        kept = picks.better_half([part[0] for part in parts], course.rows(trained))
        parts = [part[1:] for part in parts if part[0] in kept and len(part) > 1]
    return trained


def _repeats(config: SweepConfig, model: Model, task: Task, rate: float) -> list[Job]:
    return finals(config, model, task, rate) if config.final is not None else []


def _finals(course: Course, jobs: Sequence[Job]) -> list[Job]:
    """The final repeats of the present winner of each task."""
    by_name, runs = {model.name: model for model in course.models}, course.rows(jobs)
    won = [(picks.winner(task, runs), task) for task in course.tasks]
    return [job for best, task in won if best for job in _repeats(course.config, by_name[best[0]], task, best[1])]


def _heads(course: Course, runs: Sequence[Row], scores: Sequence[Row]) -> dict[str, Job]:
    """Task -> a linear head on frozen features, where it validates better than everything that was fine-tuned."""
    assert course.config.final is not None
    if not course.config.final.head:
        return {}
    by_name = {model.name: model for model in course.models}
    reached = {task.name: _reached(task, runs) for task in course.tasks}
    found = [(task, picks.probed(task, scores, reached[task.name])) for task in course.tasks]
    jobs = [head(course.config, by_name[best[0]], task, best[1]) for task, best in found if best]
    course.run("head", jobs)
    rows = {row["job"]: row["val_accuracy"] for row in course.rows(jobs)}
    return {job.task.name: job for job in jobs if (rows.get(job.id) or -1.0) > reached[job.task.name]}


def _reached(task: Task, runs: Sequence[Row]) -> float:
    """The best validation accuracy of a run that went through, 0 without one."""
    return max((row["val_accuracy"] for row in runs if row["task"] == task.name and row["status"] == "ok"
                and row["val_accuracy"] is not None), default=0.0)  # fmt: skip


def _finish(course: Course, jobs: Sequence[Job], scores: Sequence[Row]) -> None:
    """Train the winner of each task again, and keep the repeat that validates best; or the head that beats it."""
    assert course.config.final is not None
    heads = _heads(course, course.rows(jobs), scores)
    repeats = [job for job in _finals(course, jobs) if job.task.name not in heads]
    course.run("final", repeats)
    if not course.config.final.checkpoint:
        return
    by_id = {job.id: job for job in [*repeats, *heads.values()]}
    best: dict[str, Row] = {}
    for row in sorted(course.rows(by_id.values()), key=lambda row: row["repeat"]):
        if row["status"] == "ok" and (row["task"] not in best
                                      or row["val_accuracy"] > best[row["task"]]["val_accuracy"]):  # fmt: skip
            best[row["task"]] = row
    exports = [export(by_id[row["job"]]) for row in best.values()]
    cache, remote = course.hands.cache, course.store.remote
    course.hands.forget(job for job in exports if held(cache, job.id, remote) is None)
    course.run("export", exports)
    for job in exports:
        kept = held(cache, job.id, remote)
        if kept is not None:
            deliver(kept, course.store, job.task.name)
