"""Where to listen inside any timm or transformers model; `sweeps.zoo.listen` does it.

No list of models: a tap is what enters a layer with weights (a convolution or a linear layer), for that is what a
linear head could have seen there; then what enters the first block, the last map, what enters the classifier, and the
output. On timm's pre-activation ResNets this is the list of the Head2Toe paper; `paper_taps` has its list for ViT too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sweeps.errors import ModelError

Batch = Tensor | Mapping[str, Tensor]
Layout = Literal["NC", "NLC", "NCHW", "NHWC"]
Part = Literal["", "cls", "unplaced"]
_NORMS = ("norm1", "norm2", "norm3")
_RANKS: dict[int, Layout] = {2: "NC", 3: "NLC"}


@dataclass(frozen=True)
class Tap:
    """One place to listen.

    Args:
        name: unique among the taps of a model.
        module: path of the module; "" is the model itself.
        which: its input or its output.
        layout: of the tensor there.
        shape: of one example, as (channels,), (tokens, channels) or (channels, height, width).
        part: all of it, its first token ("cls"), or all of it without the position embedding ("unplaced").
    """

    name: str
    module: str
    which: Literal["input", "output"]
    layout: Layout
    shape: tuple[int, ...]
    part: Part = ""

    def read(self, tensor: Tensor, model: nn.Module) -> Tensor:
        """The tensor at this place as [n, c], [n, tokens, c] or [n, c, h, w]."""
        if self.part == "cls":
            return tensor[:, 0]
        if self.part == "unplaced":
            tensor = tensor - model.get_parameter("pos_embed")
        if self.layout == "NHWC":
            tensor = tensor.permute(0, 3, 1, 2)
        return tensor.flatten(1) if len(self.shape) == 1 else tensor


@dataclass(frozen=True)
class _Heard:
    """A tensor that passed a module during the trace; kept alive, so that its address names it."""

    module: str
    which: Literal["input", "output"]
    tensor: Tensor
    layout: Layout | None
    version: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self.tensor.data_ptr(), self.tensor.numel(), self.version


def find_taps(model: nn.Module, sample: Batch, *, blocks: bool = False, tokens: int | None = None) -> list[Tap]:
    """The intermediate representations of a model, in the order of its forward pass.

    Args:
        model: in evaluation mode.
        sample: two or more examples as the model takes them: a tensor, or a mapping of keyword arguments.
        blocks: True listens at the outputs of blocks instead of inside them: fewer taps, less time and space.
        tokens: of the longest text of a task, when the sample may be shorter.

    Raises:
        ModelError: nothing to listen to, or a map whose channels cannot be told from its sides.
    """
    examples = size(sample)
    heard = [each for each in _trace(model, sample) if each.tensor.shape[0] == examples]
    inner = _innermost_blocks(model)
    weighty = {name for name, module in model.named_modules() if _weighty(module)}
    inputs = [each for each in heard if each.which == "input" and each.module in weighty]
    # What enters the classifier; a last layer with weights that sees a map is none.
    vector = inputs[-1] if inputs and not _spread(inputs[-1].tensor) else None
    first = next((each for each in heard if each.which == "input" and each.module in inner), None)
    last = next((each for each in reversed(heard) if _spread(each.tensor)), None)
    own = {id(value) for value in _values(sample)}
    wanted, seen = [], set()
    for each in heard:
        inside = each.which == "output" and each.module in inner if blocks else each in inputs and _spread(each.tensor)
        if id(each.tensor) in own or each.key in seen:
            continue
        if inside or each in (first, last, vector) or (each.module == "" and each.which == "output"):
            seen.add(each.key)
            wanted.append(_tap(each, heard))
    if not wanted:
        raise ModelError(f"model must have a layer to listen to, got {type(model).__name__}")
    return [_stretched(tap, sample, tokens) for tap in wanted] if tokens else wanted


def paper_taps(model: nn.Module, sample: Batch) -> list[Tap]:
    """The representations that the Head2Toe paper reads, for timm's `resnetv2_*` and `vit_*` models.

    52 of a pre-activation ResNet-50 and 53 of ViT-B/16. Of the five outside the blocks of a ViT, the tensor behind the
    authors' `cls_embedded` is not public: here it is the class token before the last norm.

    Args:
        model: timm's ResNetV2 or VisionTransformer, in evaluation mode.
        sample: two or more images.

    Raises:
        ModelError: another architecture.

    Source:
        `configs_eval/finetune_h2t.py` of the authors' code; spec/head2toe.md section 3.
    """
    names = dict(model.named_modules())
    if "stages.0.blocks.0.norm1" in names and "stem" in names:
        inside = [name for name in names if name.startswith("stages.") and name.split(".")[-1] in _NORMS]
        wanted: list[tuple[str, str, Part]] = [(n, n, "") for n in ("stem", *inside, "norm")]
        ends = [tap for tap in find_taps(model, sample) if len(tap.shape) == 1]
    elif "blocks.0.mlp.act" in names and "pos_embed" in dict(model.named_parameters()):
        count = len({name.split(".")[1] for name in names if name.startswith("blocks.")})
        inside = [f"blocks.{i}.{end}" for i in range(count) for end in ("norm1", "attn", "mlp.act", "mlp")]
        wanted = [("root_output_with_cls", "pos_drop", "unplaced"), ("position_embedded_input", "pos_drop", "")]
        wanted += [(n, n, "") for n in (*inside, "norm")]
        wanted += [("cls_embedded", f"blocks.{count - 1}", "cls"), ("pre_logits", "norm", "cls")]
        ends = []
    else:
        raise ModelError(f"the paper's taps are of timm's ResNetV2 and VisionTransformer, got {type(model).__name__}")
    heard = _trace(model, sample)
    outputs = {each.module: each for each in heard if each.which == "output"}
    taps = []
    for name, module, part in wanted:
        tap = _tap(outputs[module], heard)
        shape = tap.shape[1:] if part == "cls" else tap.shape
        taps.append(Tap(name, module, "output", tap.layout, shape, part))
    return taps + ends


def _trace(model: nn.Module, sample: Batch) -> list[_Heard]:
    """Every floating tensor of rank 2 to 4 that enters or leaves a module, in order."""
    heard: list[_Heard] = []
    names = [(name, module) for name, module in model.named_modules()]

    def listen(place: int, tensor: Tensor | None) -> None:
        name, module = names[place // 2]
        which: Literal["input", "output"] = "input" if place % 2 == 0 else "output"
        if tensor is None or not tensor.is_floating_point() or not 2 <= tensor.ndim <= 4:
            return
        layout = _RANKS.get(tensor.ndim) or _own_layout(module)
        heard.append(_Heard(name, which, tensor, layout, tensor._version))

    with ExitStack() as stack, torch.no_grad():
        for i, (_, module) in enumerate(names):
            stack.enter_context(hook(module, "input", partial(listen, 2 * i)))
            stack.enter_context(hook(module, "output", partial(listen, 2 * i + 1)))
        call(model, sample)
    return heard


def _stretched(tap: Tap, sample: Batch, tokens: int) -> Tap:
    """The tap for texts of up to `tokens` tokens; what is no sequence of the sample's tokens stays as it is."""
    mask = text_mask(sample)
    long = mask is not None and len(tap.shape) == 2 and tap.shape[0] == mask.shape[1]
    return replace(tap, shape=(tokens, tap.shape[1])) if long else tap


def _own_layout(module: nn.Module) -> Layout | None:
    """How a module that knows its channels reads a tensor of rank 4."""
    if isinstance(module, (nn.Linear, nn.LayerNorm)) and not type(module).__name__.endswith("2d"):
        return "NHWC"
    if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
        return "NCHW"
    return None


def _tap(place: _Heard, heard: Sequence[_Heard]) -> Tap:
    layout = place.layout or _layout_elsewhere(place, heard)
    shape = tuple(place.tensor.shape[1:])
    if layout == "NHWC":
        shape = (shape[2], shape[0], shape[1])
    if len(shape) == 3 and shape[1:] == (1, 1):
        shape = shape[:1]
    name = place.module or "output"
    return Tap(f"{name}.input" if place.which == "input" else name, place.module, place.which, layout, shape)


def _layout_elsewhere(place: _Heard, heard: Sequence[_Heard]) -> Layout:
    """Where the channels of a map are: as a module that knows them reads this map, or one of this shape; or its sides.

    Raises:
        ModelError: none of these tells.
    """
    known = [each for each in heard if each.layout and each.tensor.shape == place.tensor.shape]
    for each in [each for each in known if each.key == place.key] + known:
        if each.layout is not None:
            return each.layout
    a, b, c = place.tensor.shape[1:]
    if (a == b) == (b == c):
        raise ModelError(f"layer {place.module} must tell its channels from its sides, got a map of {(a, b, c)}")
    return "NCHW" if b == c else "NHWC"


def _weighty(module: nn.Module) -> bool:
    # transformers' Conv1D (GPT-2) is a linear layer by another name.
    return isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)) or type(module).__name__ == "Conv1D"


def _spread(tensor: Tensor) -> bool:
    """Whether it is a sequence or a map of several cells: the 1 x 1 maps of squeeze-and-excitation are not."""
    return tensor.ndim == 3 or (tensor.ndim == 4 and tensor[0].numel() > max(tensor.shape[1], tensor.shape[3]))


def _innermost_blocks(model: nn.Module) -> set[str]:
    """Paths of the items of lists and sequences that hold several weighty layers, but no such item themselves."""
    found: set[str] = set()
    for name, module in model.named_modules():
        if isinstance(module, (nn.ModuleList, nn.Sequential)):
            for child, item in module.named_children():
                if sum(map(_weighty, item.modules())) >= 2:
                    found.add(f"{name}.{child}" if name else child)
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def _tensor(value: Any) -> Tensor | None:
    """The tensor of a module's input or output: itself, the first of a tuple, or the summary of a mapping."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        known = [value[key] for key in ("logits", "last_hidden_state", "pooler_output") if value.get(key) is not None]
        return _tensor(known[0] if known else next(iter(value.values()), None))
    return _tensor(value[0]) if isinstance(value, (tuple, list)) and value else None


@contextmanager
def hook(module: nn.Module, which: str, hear: Callable[[Any], None]) -> Iterator[None]:
    """Hear what enters or leaves a module, for a while."""

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hear(_tensor(args or tuple(kwargs.values())))

    def after(_module: nn.Module, _args: Any, output: Any) -> None:
        hear(_tensor(output))

    handle = (module.register_forward_pre_hook(before, with_kwargs=True) if which == "input"
              else module.register_forward_hook(after))  # fmt: skip
    try:
        yield
    finally:
        handle.remove()


def call(model: nn.Module, batch: Batch) -> None:
    """One forward pass."""
    model(**batch) if isinstance(batch, Mapping) else model(batch)


def size(batch: Batch) -> int:
    """Number of examples."""
    return len(_values(batch)[0])


def text_mask(batch: Batch) -> Tensor | None:
    """[n, tokens], 1 at text and 0 at padding; None for images."""
    return batch.get("attention_mask") if isinstance(batch, Mapping) else None


def _values(batch: Batch) -> list[Tensor]:
    return list(batch.values()) if isinstance(batch, Mapping) else [batch]
