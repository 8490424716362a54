"""What a job may use on its worker: device, folders, and the last model, pixels and features kept in memory."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sweeps.tasks.load import Preprocess, pixels
from sweeps.types import Model, Task
from sweeps.zoo.load import Loaded, load

KEPT = 4  # the features being scored, those of a reference task, and its classifiers of either kind


@dataclass
class Context:
    """One device and its caches. Nothing in here may change a number: it is only faster than starting afresh."""

    cache: Path
    device: str = "cpu"

    def __post_init__(self) -> None:
        self._model: tuple[Any, Loaded, dict[str, torch.Tensor]] | None = None
        self._kept: dict[str, Any] = {}

    def model(self, model: Model, *, classes: int | None, image_size: int | None, seed: int = 0) -> Loaded:
        """The model as freshly loaded; the one asked for last is kept and its weights are put back."""
        key = (model.content, classes, image_size, seed)
        if self._model is not None and self._model[0] == key:
            _, loaded, pristine = self._model
            loaded.module.load_state_dict(pristine)
            loaded.module.zero_grad(set_to_none=True)
            return loaded
        self._model = None  # let go of the old one before the new one takes memory
        loaded = load(model, classes=classes, image_size=image_size, seed=seed, device=self.device)
        pristine = {name: value.clone() for name, value in loaded.module.state_dict().items()}
        self._model = (key, loaded, pristine)
        return loaded

    def pixels(self, task: Task, split: str, geometry: Preprocess) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 [n, size, size, 3] (memory-mapped, not to be written) and int64 [n] labels."""
        images, labels = pixels(task, split, geometry, self.cache)
        return _view(images), torch.from_numpy(labels)

    def keep(self, key: str, make: Callable[[], Any]) -> Any:
        """``make()``, or what it returned while the key is one of the last asked for."""
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


def _view(images: np.ndarray) -> torch.Tensor:
    """A tensor over a read-only memory map. torch warns that writing to it is undefined; nobody writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(images)
