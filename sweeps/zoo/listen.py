"""The forward pass that hears every tap of a model and pools it where it arises, with or without gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn import functional

from sweeps.errors import ModelError
from sweeps.zoo.taps import Batch, Tap, call, find_taps, hook, size, text_mask
from taskrel.head2toe.layers import Layers
from taskrel.head2toe.pooling import Plan, ZeroPool, plan, pool


class Listener:
    """A model with ears while the ``with`` lasts: called with a batch, it gives what its taps heard, pooled.

    Args:
        model: on the device of the batches.
        taps: [L] of it.
        plans: [L] how each is pooled, once or several times.
    """

    def __init__(self, model: nn.Module, taps: Sequence[Tap], plans: Sequence[Sequence[Plan]]) -> None:
        self.model, self.taps, self.plans = model, taps, plans
        self._examples = 0
        self._mask: Tensor | None = None
        self._heard: list[list[Tensor] | None] = []
        self._hooks = ExitStack()

    def __enter__(self) -> Listener:
        for place, tap in enumerate(self.taps):
            self._hooks.enter_context(hook(self.model.get_submodule(tap.module), tap.which, partial(self._hear, place)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.close()

    def __call__(self, batch: Batch) -> list[list[Tensor]]:
        """[L][plans] pooled values [n, d] on the device.

        Raises:
            ModelError: a layer that is silent, or whose shape is not that of its tap.
        """
        self._examples, self._mask = size(batch), text_mask(batch)
        self._heard = [None] * len(self.taps)
        call(self.model, batch)
        silent = [tap.name for tap, values in zip(self.taps, self._heard, strict=True) if values is None]
        if silent:
            raise ModelError(f"every tap must be heard in each pass, got silence from {', '.join(silent)}")
        heard, self._heard = [values for values in self._heard if values is not None], []
        return heard

    def _hear(self, place: int, tensor: Tensor) -> None:
        if not self._heard or self._heard[place] is not None:  # a module that is called again is heard the first time
            return
        tap, mask = self.taps[place], self._mask
        layer = tap.read(tensor, self.model)
        if mask is None or layer.ndim != 3 or layer.shape[1] != mask.shape[1]:
            mask = None
        elif layer.shape[1] < tap.shape[0]:
            # Texts shorter than the task's longest: what is missing is padding.
            missing = tap.shape[0] - layer.shape[1]
            layer, mask = functional.pad(layer, (0, 0, 0, missing)), functional.pad(mask, (0, missing))
        if tuple(layer.shape) != (self._examples, *tap.shape):
            raise ModelError(f"layer {tap.name} must be {tap.shape} per example, got {tuple(layer.shape[1:])}")
        values = pool(layer, self.plans[place], mask)
        # A layer kept as it is must not change with a later step of the model that works in place.
        self._heard[place] = [each.clone() if each.data_ptr() == layer.data_ptr() else each for each in values]


def extract(
    model: nn.Module, batches: Iterable[Batch], sizes: Sequence[int], *, taps: Sequence[Tap] | None = None,
    zero_pool: ZeroPool = "one",
) -> dict[int, Layers]:  # fmt: skip
    """Every tap pooled to every target size, in one forward pass; raw taps are pooled where they arise and let go.

    Args:
        model: in evaluation mode, on the device of the batches.
        batches: of any lengths of at least 1: image tensors, or mappings of keyword arguments, whose `attention_mask`
            tells text from padding.
        sizes: target numbers of features per layer, each once.
        taps: those found with the first batch by default.
        zero_pool: see `taskrel.head2toe.pooling.plan`.

    Returns:
        target size -> layers: [n, d_l] float32 blocks on the CPU with features along rows in memory, so that a
        selection of columns reads only those.

    Raises:
        ModelError: no batches, or a layer whose shape changes from batch to batch (texts longer than the taps know).
    """
    plans: list[list[Plan]] = []
    parts: list[dict[Plan, list[Tensor]]] = []
    with ExitStack() as stack:
        listener: Listener | None = None
        for batch in batches:
            if listener is None:
                taps = find_taps(model, _at_least_two(batch)) if taps is None else taps
                plans = [[plan(tap.shape, each, zero_pool=zero_pool) for each in sizes] for tap in taps]
                # Sizes that pool a layer alike share its block.
                parts = [{each: [] for each in wanted} for wanted in plans]
                listener = stack.enter_context(Listener(model, taps, [list(layer) for layer in parts]))
            with torch.inference_mode():
                for layer, values in zip(parts, listener(batch), strict=True):
                    for kept, value in zip(layer.values(), values, strict=True):
                        kept.append(value.cpu())
    if taps is None or not parts:
        raise ModelError("batches must hold at least one example, got none")
    blocks = [{each: _join(kept) for each, kept in layer.items()} for layer in parts]
    names = tuple(tap.name for tap in taps)
    return {
        each: Layers(names, tuple(layer[wanted[i]] for layer, wanted in zip(blocks, plans, strict=True)))
        for i, each in enumerate(sizes)
    }


def _join(parts: list[Tensor]) -> Tensor:
    """The batches of one layer as one block [n, d] with features along rows; empties the list."""
    block = torch.cat([part.T.contiguous() for part in parts], dim=1).T  # turned while it is in the cache
    parts.clear()
    return block


def _at_least_two(batch: Batch) -> Batch:
    """Two examples: with one, a batch could not be told from a list of windows."""
    two = {key: torch.cat([value[:2]] * 2)[:2] for key, value in (batch.items() if isinstance(batch, Mapping)
           else [("", batch)])}  # fmt: skip
    return two if isinstance(batch, Mapping) else two[""]
