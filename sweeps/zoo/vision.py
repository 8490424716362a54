"""Image models: timm's, folders and hub repositories of its form, TF-Hub's, torchvision's and user factories, with
preprocessing and head found.

The only place that calls timm's factories.
"""

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import timm.data
import torch
from torch import nn
from torch.nn import functional as F

import sweeps.zoo.mini  # noqa: F401  registers the embedded models with timm
from sweeps.errors import ModelError
from sweeps.hub import COMMIT, Repository
from sweeps.tasks.load import LetGo, pixels
from sweeps.types import Model, Task
from sweeps.zoo import foreign
from sweeps.zoo.load import digest

WEIGHTS = ("model.safetensors", "*.safetensors", "pytorch_model.bin", "*.bin")  # of a repository: the first there is


@dataclass(frozen=True)
class Geometry:
    """How an image becomes pixels: side in pixels, interpolation, the share of the side that is kept, and how.

    ``mean`` is what fills a border, for the one mode that adds one.
    """

    size: int
    interpolation: str
    crop_pct: float
    crop_mode: str
    mean: tuple[float, ...] | None = None

    @property
    def key(self) -> str:
        """A file-name-safe form."""
        border = "" if self.mean is None else "-" + "-".join(f"{value:g}" for value in self.mean)
        return f"{self.size}-{self.interpolation}-{self.crop_pct:g}-{self.crop_mode}{border}"

    def transform(self) -> Callable[[Any], torch.Tensor]:
        """timm's evaluation transform, PIL image -> uint8 [3, size, size]."""
        return timm.data.create_transform(
            input_size=(3, self.size, self.size), interpolation=self.interpolation, crop_pct=self.crop_pct,
            crop_mode=self.crop_mode, normalize=False, **({} if self.mean is None else {"mean": self.mean}),
        )  # fmt: skip


PIXELS = 200_000  # per forward pass on a CPU


@dataclass(frozen=True)
class VisionModel:
    """A module in channels-last float32, with its geometry and its statistics: a :class:`sweeps.zoo.load.Loaded`."""

    module: nn.Module
    head: nn.Module | None
    geometry: Geometry
    mean: torch.Tensor
    std: torch.Tensor
    parameters: int
    note: str | None = None

    @property
    def body(self) -> nn.Module:
        """The module."""
        return self.module

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.mean.device

    layers = 1

    @property
    def at_once(self) -> int:
        """On a CPU few: what passes through the layers then stays in its cache, twice as fast at 112 and 224 pixels."""
        return 256 if self.device.type != "cpu" else max(4, min(64, PIXELS // self.geometry.size**2))

    @property
    def input_size(self) -> int:
        """Side in pixels."""
        return self.geometry.size

    def examples(self, task: Task, split: str, cache: Path) -> "Pixels":
        """A split, decoded once for all models of this geometry."""
        images, labels = pixels(task, split, self.geometry, cache)
        return Pixels(_view(images), torch.from_numpy(labels), self, LetGo(images))

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, side, side, 3] -> float32 [n, 3, side, side], channels last in memory."""
        scaled = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32).div_(255)
        return scaled.sub_(self.mean).div_(self.std)

    def embed(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What enters the classifier (a spatial map is averaged), or the output when there is none; probabilities."""
        if self.head is None:
            return _flat(_first(self.module(inputs))), None
        seen: list[torch.Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _module, entering: seen.append(entering[0]))
        try:
            output = _first(self.module(inputs))
        finally:
            hook.remove()
        return _flat(seen.pop()), _flat(output).softmax(dim=1)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """float32 [n, classes]."""
        return self.module(inputs).flatten(1)


@dataclass(frozen=True)
class Pixels:
    """One split: uint8 [n, side, side, 3], memory-mapped and not to be written; normalised batch by batch."""

    images: torch.Tensor
    labels: torch.Tensor
    model: VisionModel
    let_go: Callable[[int], None] = lambda count: None
    longest = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: slice | torch.Tensor) -> torch.Tensor:
        batch = self.images[chosen]
        self.let_go(len(batch))
        return self.model.normalise(batch)

    def digests(self, rows: torch.Tensor | None = None) -> torch.Tensor:
        """uint8 [n, 16]: of each example's pixels, or of those at some places."""
        found = bytearray()
        for row in range(len(self)) if rows is None else rows.tolist():
            found += digest([self.images[row].numpy().data])
            self.let_go(1)
        return torch.frombuffer(found, dtype=torch.uint8).view(-1, 16)

    def batches(self, size: int) -> Iterator[slice]:
        """In the order of the split: images of one size all cost the same."""
        return (slice(start, start + size) for start in range(0, len(self), size))


def build(model: Model, classes: int | None, view: Mapping[str, Any], device: str) -> VisionModel:
    """The module with its preprocessing and its head found; ``view`` may override the side in pixels.

    Raises:
        ModelError: when there is no classifier to replace.
    """
    module = _build(model, classes)
    config = timm.data.resolve_model_data_config(module)
    size = view.get("image_size") or config["input_size"][-1]
    head, note = find_head(module, classes), None
    if classes is not None:
        if head is None:
            raise ModelError(f"model {model.name!r} must have a classifier to replace, got none")
        made = {name: value.clone() for name, value in head.state_dict().items()}
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        if model.source.startswith(("factory:", "torchvision:")) and _deaf(module, head, size):
            head.load_state_dict(made)
            note = (
                "the head starts at random values: behind it comes an activation through which a zero one never learns"
            )
    own = {id(parameter) for parameter in head.parameters()} if head is not None else set()
    module.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return VisionModel(
        module=module,
        head=head,
        geometry=Geometry(
            size,
            str(config["interpolation"]),
            float(config["crop_pct"]),
            str(config["crop_mode"]),
            tuple(config["mean"]) if config["crop_mode"] == "border" else None,
        ),
        mean=torch.tensor(config["mean"], device=device).view(1, 3, 1, 1),
        std=torch.tensor(config["std"], device=device).view(1, 3, 1, 1),
        parameters=sum(parameter.numel() for parameter in module.parameters() if id(parameter) not in own),
        note=note,
    )


def _deaf(module: nn.Module, head: nn.Module, size: int) -> bool:
    """Whether no gradient comes back to a head of zeros, as from behind a ReLU."""
    logits = module.eval()(torch.rand(1, 3, size, size)).flatten(1)
    loss = F.cross_entropy(logits, torch.zeros(1, dtype=torch.long))
    learning = [each for each in head.parameters() if each.requires_grad]
    slopes = [slope for slope in torch.autograd.grad(loss, learning, allow_unused=True) if slope is not None]
    return bool(slopes) and not any(bool(slope.any()) for slope in slopes)


def _build(model: Model, classes: int | None) -> nn.Module:
    kind, _, target = model.source.partition(":")
    wanted = {} if classes is None else {"num_classes": classes}
    given: dict[str, Any] = {"pretrained": model.pretrained, **model.args, **wanted}
    if kind == "timm":
        place = hub_place(target) if model.pretrained else None
        if place is not None:  # fetched by us, read as a folder
            given["pretrained_cfg_overlay"] = {"source": "local-dir", "file": str(_fetched(model, place))} | given.get(
                "pretrained_cfg_overlay", {}
            )
        return timm.create_model(target, **given)
    if kind == "hf-hub":
        return timm.create_model(f"local-dir:{_fetched(model, target.partition('@')[0])}", **given)
    if kind == "local-dir":
        return timm.create_model(model.source, **given)
    if kind == "tf-hub":
        return foreign.tf_hub(model, classes)
    if kind == "torchvision":
        return _with_classes(foreign.from_torchvision(model), classes)
    return call_factory(model, classes)


def call_factory(model: Model, classes: int | None) -> nn.Module:
    """What the user's function returns, for a number of classes or with its own.

    Raises:
        ModelError: when it cannot be imported or returns no module.
    """
    target = model.source.partition(":")[2]
    wanted = {} if classes is None else {"num_classes": classes}
    module_name, _, function = target.partition(":")
    if model.path and model.path not in sys.path:
        sys.path.insert(0, model.path)
    try:
        factory = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"model {model.name!r}: source must name an importable function, got {target}: {error}; "
                         "give its folder as path") from None  # fmt: skip
    module = factory(**model.args, **wanted)
    if not isinstance(module, nn.Module):
        raise ModelError(f"model {model.name!r}: {target} must return a torch.nn.Module, got {type(module).__name__}")
    return module


def _with_classes(module: nn.Module, classes: int | None) -> nn.Module:
    """The module with a new linear layer in the place of its classifier, when a number is given."""
    head = find_head(module)
    if classes is not None and isinstance(head, nn.Linear):
        place = next(name for name, layer in module.named_modules() if layer is head)
        module.set_submodule(place, nn.Linear(head.in_features, classes))
    return module


def hub_place(name: str) -> str | None:
    """The hub's repository of a timm name's weights; None where they lie elsewhere, or there are none."""
    known = timm.models.get_pretrained_cfg(name)
    if known is None or known.file or known.state_dict or known.hf_hub_filename:
        return None
    return known.hf_hub_id or None


def _fetched(model: Model, place: str) -> Path:
    """The folder with a timm model's configuration and weights, safetensors before pickles."""
    repository = Repository(f"model {model.name!r}", place)
    commit = repository.commit(model.revision if COMMIT.fullmatch(model.revision) else "")
    for weights in WEIGHTS:
        folder = repository.fetch(commit, ("config.json", weights))
        if any(folder.glob(weights)):
            return folder
    raise ModelError(f"model {model.name!r}: {place} must hold {' or '.join(WEIGHTS)}, got none; it is no timm model")


def find_head(module: nn.Module, classes: int | None = None) -> nn.Module | None:
    """The classifier: timm's ``get_classifier``, else the name in ``default_cfg``, else the last Linear layer."""
    if isinstance(getattr(module, "num_classes", None), int) and module.num_classes == 0:
        return None
    head: Any = None
    if hasattr(module, "get_classifier"):
        head = module.get_classifier()  # type: ignore[operator]
        head = head[0] if isinstance(head, (tuple, list)) else head
    if head is None:
        config = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None) or {}
        name = config.get("classifier")
        head = module.get_submodule(name) if isinstance(name, str) else None
    if head is None:
        linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        head = linear[-1] if linear and classes in (None, linear[-1].out_features) else None
    return head if isinstance(head, nn.Module) and any(True for _ in head.parameters()) else None


def _first(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, (tuple, list)) else output


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """[n, d, h, w] -> mean over the map; [n, tokens, d] -> mean over tokens; [n, d] as it is."""
    if tensor.ndim == 4:
        tensor = tensor.mean(dim=(2, 3))
    elif tensor.ndim == 3:
        tensor = tensor.mean(dim=1)
    return tensor.float()


def _view(images: np.ndarray) -> torch.Tensor:
    """A tensor over a read-only memory map. torch warns that writing to it is undefined; nobody writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(images)
