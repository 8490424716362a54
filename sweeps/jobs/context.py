"""What a job may use on its worker: device, folders, and the last model and features kept in memory."""

import os
import platform
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from sweeps.remote import Remote
from sweeps.settings import VIEWS
from sweeps.types import Model, Task
from sweeps.zoo.load import Examples, Loaded, load, loader

KEPT = 4  # the features being scored, those of a reference task, and its classifiers of either kind


@dataclass
class Context:
    """One device and its caches. Nothing in here may change a number: it is only faster than starting afresh."""

    cache: Path
    device: str = "cpu"
    shared: str | None = None

    def __post_init__(self) -> None:
        self._remote = None if self.shared is None else Remote(self.shared)
        self._model: tuple[Any, Loaded, dict[str, torch.Tensor]] | None = None
        self._kept: dict[str, Any] = {}
        self._kept_of: str | None = None

    def memory(self) -> int | None:
        """Bytes of the GPU's memory, None on a CPU."""
        return torch.cuda.get_device_properties(self.device).total_memory if self.device.startswith("cuda") else None

    @cached_property
    def hardware(self) -> str:
        """The kind of device behind a number, like "cuda NVIDIA H200" or "cpu AMD EPYC, AVX512": bits depend on it."""
        if self.device.startswith("cuda"):
            return f"{self.device} {torch.cuda.get_device_name(self.device)}"
        return f"{self.device} {_processor()}, {torch.backends.cpu.get_cpu_capability()}"

    def prepare(self, model: Model) -> None:
        """Import what loads such a model: seconds that belong to the worker's start and not to its first job."""
        loader(model)

    def model(self, model: Model, *, classes: int | None, settings: Mapping[str, Any], seed: int = 0) -> Loaded:
        """The model as freshly loaded; the one asked for last is kept and its weights are put back.

        Args:
            model: the zoo entry.
            classes: None keeps its own head, a number gives a new one.
            settings: of the job; how the model sees an example is read from them.
            seed: for the weights of a model that is not pre-trained.
        """
        view = {key: settings[key] for key in VIEWS[model.modality] if key in settings}
        key = (model.content, classes, view, seed)
        if self._model is not None and self._model[0] == key:
            _, loaded, pristine = self._model
            loaded.module.load_state_dict(pristine)
            loaded.module.zero_grad(set_to_none=True)
            return loaded
        self._model = None  # let go of the old one before the new one takes memory
        loaded = load(model, classes=classes, view=view, seed=seed, device=self.device)
        pristine = {name: value.clone() for name, value in loaded.module.state_dict().items()}
        self._model = (key, loaded, pristine)
        return loaded

    def examples(self, task: Task, split: str, loaded: Loaded) -> Examples:
        """One split of a task, as the model reads it."""
        return loaded.examples(task, split, self.cache)

    def share(self, path: Path) -> None:
        """Let workers on other machines have a file of the cache; where all see one folder, they have it."""
        if self._remote is not None:
            self._remote.put(f"cache/{path.relative_to(self.cache).as_posix()}", path)

    def has(self, path: Path) -> bool:
        """Whether the cache holds a file, here or after fetching it from what the workers share."""
        if path.exists() or self._remote is None:
            return path.exists()
        try:
            content = self._remote.get(f"cache/{path.relative_to(self.cache).as_posix()}")
        except FileNotFoundError:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
        temporary.write_bytes(content)
        os.replace(temporary, path)
        return True

    def keep(self, model: Model, key: str, make: Callable[[], Any]) -> Any:
        """``make()``, or what it returned while the key is one of the last asked for and all were of one model.

        Jobs come model by model, and the features of a large one fill gigabytes.
        """
        if self._kept_of != model.name:
            self._kept.clear()
            self._kept_of = model.name
        value = self._kept.pop(key, None) or make()
        self._kept[key] = value  # the latest is last
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return value

    def forget(self) -> None:
        """Drop everything kept, as after running out of memory."""
        self._model = None
        self._kept.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _processor() -> str:
    """The processor's name: Linux tells it in a file, others by the platform."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def opened(cache: Path, device: str, threads: int, shared: str | None) -> Context:
    """The context of a worker on its device ("auto": a GPU where there is one), with so many threads."""
    torch.set_num_threads(threads)  # part of what makes a number: the same on every executor
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Context(cache=cache, device=device, shared=shared)
