"""What a sweep is, written beside what it measures: the plan by stage, and the facts of models and tasks."""

from collections.abc import Iterable, Sequence

from sweeps.store import Store
from sweeps.tasks import registry as tasks_registry
from sweeps.types import Job, Model, Row, Task
from sweeps.zoo import registry as zoo_registry


def note_plan(store: Store, stage: str, jobs: Iterable[Job]) -> None:
    """Replace the rows of ``plan`` of one stage."""
    rows = [
        {"job": job.id, "kind": job.kind, "model": job.model.name, "task": job.task.name, "stage": stage}
        for job in jobs
    ]
    store.write("plan", stage, rows)


def note_facts(store: Store, models: Sequence[Model], tasks: Sequence[Task]) -> list[Row]:
    """Replace ``models`` and ``tasks``; what the embedding measured of a model wins over what was declared."""
    measured = {row["model"]: row for row in store.rows("features")}
    facts = [zoo_registry.facts(model, measured.get(model.name)) for model in models]
    store.write_facts("models", facts)
    store.write_facts("tasks", [tasks_registry.facts(task) for task in tasks])
    return facts
