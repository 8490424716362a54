"""Task2Vec: a task as the diagonal Fisher information of a probe network, and how near two tasks are.

A probe is any torch module that maps a batch of inputs (a tensor, or tensors by name) to logits: a whole network whose
head was trained freshly on the task, or a head on fixed features (`fit_head`). All tasks must share everything but the
head, or their coordinates mean different things. Knows no zoo and no files; the module comes back as it was.

A coordinate is the mean Fisher information, in nats squared per unit of weight squared, over the weights of one unit:
one filter or output of every layer but the head; for a probe that is nothing but a head one input feature, because
its outputs are classes, which differ between tasks.

Source: Achille et al., Task2Vec: task embedding for meta-learning, ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from taskrel.neighbours import distance as distance
from taskrel.neighbours import nearest as nearest

Floats = npt.NDArray[np.float64]
Inputs = Tensor | Mapping[str, Tensor]
Batches = Iterable[tuple[Inputs, Tensor]]

# Gradients of single examples are held for one chunk of a batch at a time: at most this many numbers.
_NUMBERS = 2**25


@dataclass(frozen=True)
class _Unit:
    """The weight of one layer, and whether its coordinates are its outputs or its inputs."""

    name: str
    weight: Tensor
    inputs: bool

    def mean(self, squares: Tensor) -> Tensor:
        """[..., units] mean of `squares` ([..., *weight.shape]) over the weights of each unit."""
        lead = squares.dim() - self.weight.dim()
        if self.inputs:
            squares = squares.transpose(lead, lead + 1)
        return squares.flatten(lead + 1).mean(-1)

    def spread(self, values: Tensor) -> Tensor:
        """`values` ([units]) given to every weight of each unit, in a shape that broadcasts to the weight's."""
        return values.view(1, -1) if self.inputs else values.view(-1, *[1] * (self.weight.dim() - 1))

    @property
    def size(self) -> int:
        """Number of units."""
        return self.weight.shape[1 if self.inputs else 0]


def _units(probe: nn.Module, head: str) -> list[_Unit]:
    """Weights with an output and an input axis, the head's only if there are no others."""
    modules = dict(probe.named_modules())
    if head not in modules:
        raise ValueError(f"head must name a module of the probe, got {head!r}")
    if not isinstance(modules[head], nn.Linear):
        raise ValueError(f"head must be a linear layer, got {type(modules[head]).__name__} at {head!r}")
    own = modules[head].weight
    body = [
        (name, parameter)
        for name, parameter in probe.named_parameters()
        if parameter.dim() >= 2 and parameter is not own and _layer(modules, name)
    ]
    if body:
        return [_Unit(name, parameter, inputs=False) for name, parameter in body]
    return [_Unit(f"{head}.weight" if head else "weight", own, inputs=True)]


def _layer(modules: Mapping[str, nn.Module], name: str) -> bool:
    """Whether a parameter is a layer's weight rather than a table of embeddings or positions."""
    owner, _, attribute = name.rpartition(".")
    return "weight" in attribute and not isinstance(modules[owner], nn.Embedding)


def fisher(
    probe: nn.Module,
    batches: Batches,
    *,
    head: str = "",
    draws: int | None = 1,
    seed: int = 0,
) -> Floats:
    """Diagonal Fisher information of the probe, averaged over examples and over the weights of each unit.

    ``F = E_x E_{y ~ p(y|x)} (d log p(y|x) / dw)^2``: labels are the probe's own, never the data's, which are only
    there to train the head.

    Args:
        probe: maps inputs to logits [n, C]; used in evaluation mode.
        batches: (inputs, labels) of the task, examples along the first axis; labels are only counted.
        head: dotted name of the linear layer that gives the logits; "" if the probe is that layer.
        draws: labels sampled per example, or None for the exact expectation over all classes, which takes C backward
            passes.
        seed: of the sampled labels; unused without.

    Returns:
        [units] non-negative; see the module for the units.

    Raises:
        ValueError: an unknown or non-linear head, no example, a number of draws below 1, or a result not finite.
    """
    if draws is not None and draws < 1:
        raise ValueError(f"draws must be at least 1 or None, got {draws}")
    units = _units(probe, head)
    weights = {unit.name: unit.weight.detach() for unit in units}
    frozen = _detached(probe)
    # Chunks bound what the gradients of single examples take in memory.
    chunk = max(1, _NUMBERS // sum(weight.numel() for weight in weights.values()))
    rng = torch.Generator().manual_seed(seed)
    total, examples = torch.zeros(sum(unit.size for unit in units), dtype=torch.float64), 0

    def log_likelihood(weights: dict[str, Tensor], example: Inputs, label: Tensor) -> Tensor:
        logits = functional_call(probe, frozen | weights, (example,))
        return logits.log_softmax(-1)[0].gather(0, label[None])[0]

    with _evaluating(probe):
        for inputs, given in batches:
            examples += len(given)
            for start in range(0, len(given), chunk):
                part = _rows(inputs, slice(start, start + chunk))
                with torch.no_grad():
                    chances = probe(part).double().softmax(-1)
                for labels, weight in _labels(chances, draws, rng):
                    slopes = _slopes(log_likelihood, weights, part, labels)
                    squares = torch.cat([unit.mean(slopes[unit.name].square()) for unit in units], dim=1)
                    total += (weight @ squares.double()).cpu()
    if not examples:
        raise ValueError("batches must hold at least one example, got none")
    return _finite(total / examples)


def _rows(inputs: Inputs, chosen: slice) -> Inputs:
    """Some examples of a batch."""
    return inputs[chosen] if isinstance(inputs, Tensor) else {name: each[chosen] for name, each in inputs.items()}


def _slopes(
    function: Callable[[dict[str, Tensor], Inputs, Tensor], Tensor],
    weights: dict[str, Tensor],
    inputs: Inputs,
    labels: Tensor,
) -> dict[str, Tensor]:
    """[n, *weight.shape] gradient of the function at every example, by name of the weight.

    One pass for a tensor. Named tensors are tokens and their mask; what reads a mask decides by what is in it, which
    vmap cannot follow, so these go one by one.
    """
    if isinstance(inputs, Tensor):
        single = vmap(grad(lambda at, example, label: function(at, example[None], label)), in_dims=(None, 0, 0))
        return dict(single(weights, inputs, labels))
    each = [grad(function)(weights, _rows(inputs, slice(row, row + 1)), labels[row]) for row in range(len(labels))]
    return {name: torch.stack([slopes[name] for slopes in each]) for name in weights}


def _labels(chances: Tensor, draws: int | None, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """(labels, weights), [n] each: every class with its chance, or sampled ones with equal weights."""
    if draws is None:
        for label in range(chances.shape[1]):
            yield torch.full_like(chances[:, 0], label, dtype=torch.long), chances[:, label]
        return
    # Drawn on the CPU by inversion, so that the same seed gives the same labels on every device.
    ladder = chances.cumsum(1)[:, :-1].cpu().contiguous()
    for _ in range(draws):
        drawn = torch.searchsorted(ladder, torch.rand(len(ladder), 1, dtype=ladder.dtype, generator=rng))[:, 0]
        yield drawn.to(chances.device), torch.full_like(chances[:, 0], 1 / draws)


def variational(
    probe: nn.Module,
    batches: Batches,
    *,
    head: str = "",
    steps: int = 500,
    warmup: float = 0.1,
    learning_rate: float = 0.1,
    pairs: int = 1,
    nats: float = 0.05,
    prior: float = 1.0,
    seed: int = 0,
) -> Floats:
    """Diagonal Fisher information as the noise that the weights can bear, per unit.

    Minimises ``E CE(w + e) + beta KL(N(w, S) || N(w, P))`` over the noise ``e ~ N(0, S)``, S diagonal with one
    variance s per unit, and P with p per layer, ``prior^2`` times the mean square of its weights. To second order its
    minimum has ``1/s = F/beta + 1/p``, F the mean curvature of the loss over the unit's weights; so the estimate is
    ``F = beta (1/s - 1/p)``. Unlike `fisher` it averages the
    curvature over a neighbourhood of the weights and reads the labels.

    Noise is drawn in pairs of opposite sign, which cancels the slope of a head that is not fully trained. The result
    is the geometric mean of the precisions over the second half of the steps, which averages the noise out.

    Args:
        probe: as in `fisher`.
        batches: (inputs, labels) of the task, gone through again and again, one step each; kept in memory.
        head: as in `fisher`.
        steps: gradient steps (Adam, on log s).
        warmup: share of the steps over which the rate rises linearly.
        learning_rate: the rate after the warm-up.
        pairs: draws of the noise per step.
        nats: the loss that the noise may cost in all; beta is ``2 nats`` over the number of weights.
        prior: the noise of weights that do not matter, as a multiple of the size of their layer's.
        seed: of the noise.

    Returns:
        [units] non-negative: noise wider than the prior's counts as 0.

    Raises:
        ValueError: an unknown or non-linear head, no example, a setting out of range, or a result not finite.
    """
    if min(steps, pairs) < 1 or not 0 <= warmup < 1 or min(learning_rate, nats, prior) <= 0:
        raise ValueError(
            "steps and pairs must be at least 1, warmup in [0, 1), learning_rate, nats and prior positive, "
            f"got {steps}, {pairs}, {warmup}, {learning_rate}, {nats} and {prior}"
        )
    units, kept = _units(probe, head), [batch for batch in batches if len(batch[1])]
    if not kept:
        raise ValueError("batches must hold at least one example, got none")
    beta = 2 * nats / sum(unit.weight.numel() for unit in units)
    squares = [unit.weight.detach().square().mean().clamp(min=1e-12).expand(unit.size) for unit in units]
    widest = [square * prior**2 for square in squares]
    # Starting at a tenth of the weights' size; Adam's steps in log s do not depend on the scale of the loss.
    logs = [(square / 100).log().requires_grad_() for square in squares]
    adam = torch.optim.Adam(logs, lr=learning_rate)
    rise = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, (step + 1) / max(1.0, warmup * steps)))
    rng = torch.Generator().manual_seed(seed)
    half = [torch.zeros_like(log) for log in logs]
    with _evaluating(probe):
        for step in range(steps):
            batch = kept[step % len(kept)]
            loss = torch.stack([_noisy_loss(probe, units, logs, batch, rng) for _ in range(pairs)]).mean()
            for unit, log, wide in zip(units, logs, widest, strict=True):
                each = unit.weight.numel() // unit.size
                loss = loss + beta / 2 * each * (log.exp() / wide - log).sum()
            # Only the variances are trained: the weights' own gradients are the caller's.
            for log, slope in zip(logs, torch.autograd.grad(loss, logs), strict=True):
                log.grad = slope
            adam.step()
            rise.step()
            if step >= steps // 2:
                half = [total + log.detach() for total, log in zip(half, logs, strict=True)]
    precision = (-torch.cat(half).double().cpu() / (steps - steps // 2)).exp()
    return _finite((beta * (precision - 1 / torch.cat(widest).double().cpu())).clamp(min=0))


def _noisy_loss(
    probe: nn.Module, units: Sequence[_Unit], logs: Sequence[Tensor], batch: tuple[Inputs, Tensor], rng: torch.Generator
) -> Tensor:
    """Cross-entropy of one batch, the mean over one draw of the noise and its opposite."""
    inputs, labels = batch
    frozen = _detached(probe)
    noise = [
        unit.spread((log / 2).exp()) * torch.randn(unit.weight.shape, generator=rng).to(unit.weight)
        for unit, log in zip(units, logs, strict=True)
    ]
    losses = [
        F.cross_entropy(
            functional_call(
                probe,
                frozen | {u.name: frozen[u.name] + sign * e for u, e in zip(units, noise, strict=True)},
                (inputs,),
            ),
            labels,
        )
        for sign in (1, -1)
    ]
    return (losses[0] + losses[1]) / 2


def _detached(probe: nn.Module) -> dict[str, Tensor]:
    """Every parameter by name, out of the caller's graph."""
    return {name: parameter.detach() for name, parameter in probe.named_parameters()}


@contextmanager
def _evaluating(probe: nn.Module) -> Iterator[None]:
    """The probe in evaluation mode; every part of it back in its own mode afterwards."""
    modes = {module: module.training for module in probe.modules()}
    probe.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _finite(vector: Tensor) -> Floats:
    found: Floats = vector.numpy()
    if not np.isfinite(found).all():
        raise ValueError(
            f"Fisher information must be finite, got {int((~np.isfinite(found)).sum())} numbers that are not"
        )
    return found


def fit_head(features: Tensor, labels: Tensor, classes: int, *, decay: float = 1e-3, steps: int = 200) -> nn.Linear:
    """A linear head trained on fixed features to the minimum of cross-entropy + decay/2 |W|^2.

    Without decay a head that separates its task grows without bound, and its Fisher information vanishes.

    Args:
        features: [n, d].
        labels: [n] class ids in 0 .. classes - 1.
        classes: C.
        decay: weight of the penalty, per weight squared; the bias has none.
        steps: most iterations of L-BFGS.

    Returns:
        A head from d to C in the features' dtype, on their device; deterministic, as it starts at zero.
    """
    x = features.detach().double()
    head = nn.Linear(x.shape[1], classes, dtype=torch.float64, device=x.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    lbfgs = torch.optim.LBFGS(head.parameters(), max_iter=steps, line_search_fn="strong_wolfe", tolerance_grad=1e-9,
                              tolerance_change=1e-15)  # fmt: skip

    def loss() -> Tensor:
        lbfgs.zero_grad()
        value = F.cross_entropy(head(x), labels) + decay / 2 * head.weight.square().sum()
        value.backward()
        return value

    lbfgs.step(loss)
    return head.to(features.dtype)
