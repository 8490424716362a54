"""Where to listen inside any timm or transformers model, and the one forward pass that pools what is heard.

No list of models: a tap is what enters a layer with weights (a convolution or a linear layer), for that is what a
linear head could have seen there; then what enters the first block, the last map, what enters the classifier, and the
output. On timm's pre-activation ResNets this is the list of the Head2Toe paper; `paper_taps` has its list for ViT too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sweeps.errors import ModelError
from taskrel.head2toe.layers import Layers
from taskrel.head2toe.pooling import Plan, ZeroPool, plan, pool

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


def find_taps(model: nn.Module, sample: Batch, *, blocks: bool = False) -> list[Tap]:
    """The intermediate representations of a model, in the order of its forward pass.

    Args:
        model: in evaluation mode.
        sample: two or more examples as the model takes them: a tensor, or a mapping of keyword arguments.
        blocks: True listens at the outputs of blocks instead of inside them: fewer taps, less time and space.

    Raises:
        ModelError: nothing to listen to, or a map whose channels cannot be told from its sides.
    """
    examples = _size(sample)
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
    return wanted


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


def extract(
    model: nn.Module, batches: Iterable[Batch], sizes: Sequence[int], *, taps: Sequence[Tap] | None = None,
    zero_pool: ZeroPool = "one",
) -> dict[int, Layers]:  # fmt: skip
    """Every tap pooled to every target size, in one forward pass; raw taps are pooled where they arise and let go.

    Args:
        model: in evaluation mode, on the device of the batches.
        batches: of any lengths of at least 1: image tensors, or mappings of keyword arguments of one sequence length,
            whose `attention_mask` tells text from padding.
        sizes: target numbers of features per layer, each once.
        taps: those found with the first batch by default.
        zero_pool: see `taskrel.head2toe.pooling.plan`.

    Returns:
        target size -> layers: [n, d_l] float32 blocks on the CPU with features along rows in memory, so that a
        selection of columns reads only those.

    Raises:
        ModelError: no batches, or a layer whose shape changes from batch to batch.
    """
    plans: list[list[Plan]] = []
    parts: list[dict[Plan, list[Tensor]]] = []
    for batch in batches:
        if not parts:
            taps = find_taps(model, _at_least_two(batch)) if taps is None else taps
            plans = [[plan(tap.shape, size, zero_pool=zero_pool) for size in sizes] for tap in taps]
            # Sizes that pool a layer alike share its block.
            parts = [{each: [] for each in wanted} for wanted in plans]
        with torch.inference_mode():
            pooled = _forward(model, batch, taps or (), [list(layer) for layer in parts])
            for layer, values in zip(parts, pooled, strict=True):
                for kept, value in zip(layer.values(), values, strict=True):
                    kept.append(value.cpu())
    if taps is None or not parts:
        raise ModelError("batches must hold at least one example, got none")
    blocks = [{each: _join(kept) for each, kept in layer.items()} for layer in parts]
    names = tuple(tap.name for tap in taps)
    return {
        size: Layers(names, tuple(layer[wanted[i]] for layer, wanted in zip(blocks, plans, strict=True)))
        for i, size in enumerate(sizes)
    }


def _join(parts: list[Tensor]) -> Tensor:
    """The batches of one layer as one block [n, d] with features along rows; empties the list."""
    block = torch.cat(parts)
    parts.clear()
    return block.T.contiguous().T


def _forward(
    model: nn.Module, batch: Batch, taps: Sequence[Tap], plans: Sequence[Sequence[Plan]]
) -> list[list[Tensor]]:
    """One pass over a batch: [taps][sizes] pooled values on the device."""
    pooled: list[list[Tensor] | None] = [None] * len(taps)
    mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
    examples = _size(batch)

    def hear(place: int, tensor: Tensor) -> None:
        tap = taps[place]
        layer = tap.read(tensor, model)
        if tuple(layer.shape) != (examples, *tap.shape):
            raise ModelError(f"layer {tap.name} must be {tap.shape} per example, got {tuple(layer.shape[1:])}")
        tokens = mask if mask is not None and layer.ndim == 3 and layer.shape[1] == mask.shape[1] else None
        if pooled[place] is None:  # a module that is called again is heard the first time
            values = pool(layer, plans[place], tokens)
            # A layer kept as it is must not change with a later step of the model that works in place.
            pooled[place] = [each.clone() if each.data_ptr() == layer.data_ptr() else each for each in values]

    with ExitStack() as stack:
        for place, tap in enumerate(taps):
            stack.enter_context(_hook(model.get_submodule(tap.module), tap.which, place, hear))
        _call(model, batch)
    silent = [tap.name for tap, values in zip(taps, pooled, strict=True) if values is None]
    if silent:
        raise ModelError(f"every tap must be heard in each pass, got silence from {', '.join(silent)}")
    return [values for values in pooled if values is not None]


@contextmanager
def _hook(module: nn.Module, which: str, place: int, hear: Any) -> Iterator[None]:
    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hear(place, _tensor(args or tuple(kwargs.values())))

    def after(_module: nn.Module, _args: Any, output: Any) -> None:
        hear(place, _tensor(output))

    handle = (module.register_forward_pre_hook(before, with_kwargs=True) if which == "input"
              else module.register_forward_hook(after))  # fmt: skip
    try:
        yield
    finally:
        handle.remove()


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
            stack.enter_context(_hook(module, "input", 2 * i, listen))
            stack.enter_context(_hook(module, "output", 2 * i + 1, listen))
        _call(model, sample)
    return heard


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
        known = [value[key] for key in ("logits", "pooler_output", "last_hidden_state") if value.get(key) is not None]
        return _tensor(known[0] if known else next(iter(value.values()), None))
    return _tensor(value[0]) if isinstance(value, (tuple, list)) and value else None


def _call(model: nn.Module, batch: Batch) -> None:
    model(**batch) if isinstance(batch, Mapping) else model(batch)


def _values(batch: Batch) -> list[Tensor]:
    return list(batch.values()) if isinstance(batch, Mapping) else [batch]


def _size(batch: Batch) -> int:
    return len(_values(batch)[0])


def _at_least_two(batch: Batch) -> Batch:
    """Two examples: with one, a batch could not be told from a list of windows."""
    two = {key: torch.cat([value[:2]] * 2)[:2] for key, value in (batch.items() if isinstance(batch, Mapping)
           else [("", batch)])}  # fmt: skip
    return two if isinstance(batch, Mapping) else two[""]
