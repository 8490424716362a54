"""Model, Task, Job, Outcome: what the system passes around. Leaf: imports only the fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sweeps.fingerprint import fingerprint

Row = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """One entry of the zoo: where it comes from, what it is, and the facts that selection may use.

    ``source`` is one of ``timm:<timm name>``, ``local-dir:<folder>``, ``hf-hub:<id>``, ``torchvision:<name>``,
    ``tf-hub:<handle or folder>``, ``factory:<module>:<function>`` and ``transformers:<hub id or folder>``.
    ``revision`` names the content of the weights (hash of the file, or the hub's commit). ``modality`` says what it
    reads, "image" or "text": it meets the tasks of the same. ``substitute`` says why this is not the model that the
    name says, where it is not.
    """

    name: str
    source: str
    args: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    pretrained: bool = True
    revision: str = ""
    group: str = "other"
    family: str | None = None
    parameters: int | None = None
    dim: int | None = None
    input_size: int | None = None
    upstream: str | None = None
    upstream_size: int | None = None
    upstream_accuracy: float | None = None
    released: float | None = None
    licence: str | None = None
    substitute: str | None = None
    summary: str = ""
    modality: str = "image"

    @property
    def content(self) -> dict[str, Any]:
        """What can change a number: name, source, arguments, weights. Facts and folders cannot."""
        kind, _, place = self.source.partition(":")
        local = kind == "local-dir" or (kind in ("transformers", "tf-hub") and place.startswith("/"))
        source = kind if local else self.source
        return {
            "name": self.name,
            "source": source,
            "args": dict(self.args),
            "pretrained": self.pretrained,
            "revision": self.revision,
            "input_size": self.args.get("input_size"),
        }


@dataclass(frozen=True)
class Task:
    """Labelled images or texts with their splits; ``revision`` names the content.

    ``source`` is ``mini:<name>`` or ``mini_text:<name>`` (drawn), ``path:<file or folder>`` or ``dataset:<id or
    folder>``, with ``reading`` saying which columns and splits. ``classes`` are the class names, in label order.
    ``notes`` are what was left out or changed when it was read, one line each: the revision knows, so the content
    need not.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    revision: str
    group: str = "user"
    seed: int = 0
    summary: str = ""
    modality: str = "image"
    reading: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def content(self) -> dict[str, Any]:
        """What can change a number: name and content. The folder it lies in cannot."""
        return {"name": self.name, "revision": self.revision, "seed": self.seed}


@dataclass(frozen=True)
class Job:
    """One unit of measurement. Two jobs with equal content are the same job and give the same number.

    ``reference`` is another task that the measurement also looks at, None for most kinds.
    ``needs`` are ids of jobs to finish first, ``cost`` an estimate in seconds on one worker: both steer the order
    and never the number, so they are not part of the content.
    """

    kind: str
    version: int
    model: Model
    task: Task
    settings: Mapping[str, Any]
    reference: Task | None = None
    needs: tuple[str, ...] = field(default=(), compare=False)
    cost: float = field(default=1.0, compare=False)

    @property
    def content(self) -> dict[str, Any]:
        """All that can change a number, as plain data."""
        return {
            "kind": self.kind,
            "version": self.version,
            "model": self.model.content,
            "task": self.task.content,
            "settings": dict(self.settings),
        } | ({"reference": self.reference.content} if self.reference else {})

    @cached_property
    def id(self) -> str:
        """The fingerprint of the content: the job's name in every table."""
        return fingerprint(self.content)

    @property
    def label(self) -> str:
        """What people read in the progress display and in failures."""
        return f"{self.kind} {self.model.name} on {self.task.name}"


@dataclass(frozen=True)
class Point:
    """A fine-tuning after ``step`` steps: loss of the last batch in nats, accuracy on the validation split."""

    step: int
    train_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class Outcome:
    """What a job came to: rows per table, and the row of the ``jobs`` table with status, seconds and place.

    ``files`` are those that it left in a cache which the driver does not see: by their names in the job's folder.
    """

    job: Row
    rows: Mapping[str, list[Row]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True when the job was measured (also when what it measured is a divergence)."""
        return self.job["status"] == "ok"
