"""Model -> torch module, with its preprocessing and its head found. The only place that calls timm's factories.

Weights are read as safetensors, or by torch with ``weights_only=True``; ``trust_remote_code`` does not exist here.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import timm.data
import torch
from torch import nn

import sweeps.zoo.mini  # noqa: F401  registers the embedded models with timm
from sweeps.errors import ModelError
from sweeps.types import Model


@dataclass(frozen=True)
class Geometry:
    """How an image becomes pixels: side in pixels, interpolation, the share of the side that is kept, and how."""

    size: int
    interpolation: str
    crop_pct: float
    crop_mode: str

    @property
    def key(self) -> str:
        """A file-name-safe form."""
        return f"{self.size}-{self.interpolation}-{self.crop_pct:g}-{self.crop_mode}"

    def transform(self) -> Callable[[Any], torch.Tensor]:
        """timm's evaluation transform, PIL image -> uint8 [3, size, size]."""
        return timm.data.create_transform(
            input_size=(3, self.size, self.size), interpolation=self.interpolation, crop_pct=self.crop_pct,
            crop_mode=self.crop_mode, normalize=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """A module in channels-last float32, with what is needed to feed it. ``head`` is None when it has no classifier."""

    module: nn.Module
    head: nn.Module | None
    geometry: Geometry
    mean: torch.Tensor
    std: torch.Tensor
    parameters: int

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 [n, side, side, 3] -> float32 [n, 3, side, side], channels last in memory."""
        images = pixels.to(self.mean.device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32).div_(255)
        return images.sub_(self.mean).div_(self.std)


def load(model: Model, *, classes: int | None = None, image_size: int | None = None, seed: int = 0,
         device: str = "cpu") -> Loaded:  # fmt: skip
    """Build a model.

    Args:
        model: the zoo entry.
        classes: None keeps the model's own head (or none); a number gives a new linear head, started at zero.
        image_size: side in pixels that overrides the model's own.
        seed: for the weights of a model that is not pre-trained.
        device: torch device.

    Raises:
        ModelError: when it cannot be built or its weights cannot be read, in one line.
    """
    torch.manual_seed(seed)
    try:
        module = _build(model, classes)
    except ModelError:
        raise
    except Exception as error:  # timm, the hub client and user factories raise whatever they like
        raise ModelError(f"model {model.name!r} must load from {model.source}, got "
                         f"{type(error).__name__}: {_first_line(error)}{_hint(error)}") from error  # fmt: skip
    config = timm.data.resolve_model_data_config(module)
    size = image_size or config["input_size"][-1]
    head = find_head(module, classes)
    if classes is not None:
        if head is None:
            raise ModelError(f"model {model.name!r} must have a classifier to replace, got none")
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
    own = {id(parameter) for parameter in head.parameters()} if head is not None else set()
    module.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Loaded(
        module=module,
        head=head,
        geometry=Geometry(size, str(config["interpolation"]), float(config["crop_pct"]), str(config["crop_mode"])),
        mean=torch.tensor(config["mean"], device=device).view(1, 3, 1, 1),
        std=torch.tensor(config["std"], device=device).view(1, 3, 1, 1),
        parameters=sum(parameter.numel() for parameter in module.parameters() if id(parameter) not in own),
    )


def _build(model: Model, classes: int | None) -> nn.Module:
    kind, _, target = model.source.partition(":")
    wanted = {} if classes is None else {"num_classes": classes}
    if kind == "timm":
        return timm.create_model(target, pretrained=model.pretrained, **model.args, **wanted)
    if kind == "local-dir":
        return timm.create_model(model.source, pretrained=model.pretrained, **model.args, **wanted)
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
