"""Model -> :class:`Loaded`: a torch module that can be fed the examples of a task. Knows no image and no text.

What reads what is in :mod:`sweeps.zoo.vision` (timm, folders, factories) and :mod:`sweeps.zoo.language` (transformers);
each is imported with the first model that needs it. Weights are read as safetensors, or by torch with
``weights_only=True``; ``trust_remote_code`` does not exist here.
"""

import hashlib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import nn

from sweeps.errors import ModelError, SweepError
from sweeps.types import Model, Task

LOADERS: Mapping[str, str] = {
    "timm": "sweeps.zoo.vision",
    "local-dir": "sweeps.zoo.vision",
    "hf-hub": "sweeps.zoo.vision",
    "tf-hub": "sweeps.zoo.vision",
    "torchvision": "sweeps.zoo.vision",
    "factory": "sweeps.zoo.vision",
    "transformers": "sweeps.zoo.language",
}


class Examples(Protocol):
    """One split of a task as a model reads it: ``examples[chosen]`` is a batch on the model's device."""

    @property
    def labels(self) -> torch.Tensor:
        """int64 [n], on the CPU."""
        ...

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text; None for images."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: "slice | torch.Tensor") -> Any: ...

    def digests(self, rows: torch.Tensor | None = None) -> torch.Tensor:
        """uint8 [n, 16]: each example's content, as the model reads it; of some, where their places are given."""
        ...

    def batches(self, size: int) -> Iterator["slice | torch.Tensor"]:
        """Every example once, at most ``size`` at a time, in the order in which a forward pass is fastest."""
        ...


class Loaded(Protocol):
    """A module with what is needed to feed it. ``head`` is None when it has no classifier.

    ``input_size`` is what an example is cut down to: the side in pixels, or the most tokens. ``layers`` says of how
    many layers the features lie side by side, for the embedding to choose one; 1 when there is nothing to choose.
    ``note`` is what is to be said of a fine-tuning of it.
    """

    @property
    def module(self) -> nn.Module: ...
    @property
    def head(self) -> nn.Module | None: ...
    @property
    def body(self) -> nn.Module:
        """What is called with a batch of its examples, and whose layers may be listened to."""
        ...

    @property
    def device(self) -> torch.device: ...
    @property
    def at_once(self) -> int:
        """Examples per forward pass without a gradient, as many as are fast."""
        ...

    @property
    def note(self) -> str | None: ...
    @property
    def parameters(self) -> int: ...
    @property
    def input_size(self) -> int: ...
    @property
    def layers(self) -> int: ...

    def examples(self, task: Task, split: str, cache: Path) -> Examples:
        """A split of a task, prepared for this model and kept in the cache folder."""
        ...

    def embed(self, inputs: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features float32 [n, d] and source-head probabilities float32 [n, Cs] (None without a head) of a batch."""
        ...

    def logits(self, inputs: Any) -> torch.Tensor:
        """float32 [n, classes] of a batch."""
        ...


def loader(model: Model) -> ModuleType:
    """The module that loads a model of this source."""
    return importlib.import_module(LOADERS[model.source.partition(":")[0]])


def load(model: Model, *, classes: int | None = None, view: Mapping[str, Any] | None = None, seed: int = 0,
         device: str = "cpu") -> Loaded:  # fmt: skip
    """Build a model.

    Args:
        model: the zoo entry.
        classes: None keeps the model's own head (or none); a number gives a new linear head, started at zero.
        view: how it sees an example, the keys of ``sweeps.config.VIEWS``; absent ones are the model's own.
        seed: for the weights of a model that is not pre-trained.
        device: torch device.

    Raises:
        ModelError: when it cannot be built or its weights cannot be read, in one line.
    """
    build = loader(model).build
    torch.manual_seed(seed)
    try:
        return build(model, classes, view or {}, device)
    except SweepError:
        raise
    except Exception as error:  # timm, transformers, the hub client and user factories raise whatever they like
        raise ModelError(f"model {model.name!r} must load from {model.source}, got "
                         f"{type(error).__name__}: {_first_line(error)}{_hint(error)}") from error  # fmt: skip


def digest(parts: Iterable[bytes | memoryview]) -> bytes:
    """16 bytes that name the content of one example."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(part)
    return found.digest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0][:300]


def _hint(error: Exception) -> str:
    text = f"{type(error).__name__} {error}".lower()
    if "gated" in text or "401" in text or "403" in text:
        return "; the repository is gated: accept its licence and set HF_TOKEN"
    if "connection" in text or "resolve" in text or "localentrynotfound" in text or "offline" in text:
        return "; no network: download the weights once where there is one, or use local-dir:<folder>"
    if "size mismatch" in text or "missing key" in text or "unexpected key" in text:
        return "; the weights are of another architecture"
    return ""
