"""How a step of fine-tuning changes the weights: optimisers and schedules, by what the settings of the run say.

Images follow the study (SGD with momentum, rate divided by ten twice), texts the field's recipe (AdamW, linear warm-up
and decay). Making the first torch optimiser of a process imports the compiler, 5 s of every worker's start; these few
lines do not.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Optimiser(Protocol):
    """Changes the parameters that it was made with by their gradients."""

    def step(self, learning_rate: float) -> None:
        """One step at this rate."""

    def state(self) -> dict[str, torch.Tensor]:
        """All that it remembers of the steps so far, for :meth:`restore` of another one of its kind."""
        ...

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on where another one stood."""


def optimiser(parameters: list[torch.nn.Parameter], settings: Mapping[str, Any]) -> Optimiser:
    """The one that the settings name; SGD with momentum when they name none."""
    if settings.get("optimiser") == "adamw":
        return AdamW(parameters, settings["weight_decay"])
    return MomentumSGD(parameters, settings["momentum"])


def learning_rate_at(step: int, settings: Mapping[str, Any]) -> float:
    """The rate of step ``step`` (from 0).

    ``step``: a tenth after one third of the steps and a hundredth after two thirds. ``linear``: from 0 up over the
    share ``warmup`` of the steps and down to 0 at their end. Else constant.
    """
    rate, steps = float(settings["learning_rate"]), settings["steps"]
    if settings["schedule"] == "step":
        return float(rate * 0.1 ** min(2, 3 * step // steps))
    if settings["schedule"] == "linear":
        rising = math.ceil(settings["warmup"] * steps)
        return rate * (step / rising if step < rising else (steps - step) / max(1, steps - rising))
    return rate


class MomentumSGD:
    """``torch.optim.SGD(momentum=...)``, bit for bit."""

    def __init__(self, parameters: list[torch.nn.Parameter], momentum: float) -> None:
        self.parameters, self.momentum = parameters, momentum
        self.velocities: list[torch.Tensor | None] = [None] * len(parameters)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """v <- momentum v + gradient (at first: the gradient), p <- p - learning_rate v."""
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                continue
            velocity = self.velocities[index]
            if velocity is None:
                velocity = self.velocities[index] = parameter.grad.clone()
            else:
                velocity.mul_(self.momentum).add_(parameter.grad)
            parameter.add_(velocity, alpha=-learning_rate)

    def state(self) -> dict[str, torch.Tensor]:
        """Velocities, by the number of their parameter."""
        return {str(index): velocity for index, velocity in enumerate(self.velocities) if velocity is not None}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See :class:`Optimiser`."""
        for index, velocity in state.items():
            place = int(index)
            self.velocities[place] = _like(self.parameters[place], velocity)


class AdamW:
    """``torch.optim.AdamW`` with betas (0.9, 0.999), bit for bit; biases and normalisations are not decayed.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; what is decayed as in BERT.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], weight_decay: float) -> None:
        self.parameters, self.weight_decay = parameters, weight_decay
        self.moments: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * len(parameters)
        self.ages = [0] * len(parameters)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """m, v <- running means of the gradient and its square; p <- (1 - rate decay) p - rate m / (sqrt(v) + eps)."""
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                continue
            first, second = self.moments[index] or (torch.zeros_like(parameter), torch.zeros_like(parameter))
            self.moments[index] = (first, second)
            self.ages[index] += 1
            if self.weight_decay and parameter.ndim > 1:
                parameter.mul_(1 - learning_rate * self.weight_decay)
            first.lerp_(parameter.grad, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(parameter.grad, parameter.grad, value=1 - BETAS[1])
            unbiased = [1 - beta ** self.ages[index] for beta in BETAS]
            spread = (second.sqrt() / unbiased[1] ** 0.5).add_(EPSILON)
            parameter.addcdiv_(first, spread, value=-learning_rate / unbiased[0])

    def state(self) -> dict[str, torch.Tensor]:
        """First and second moments and ages, by the number of their parameter."""
        return {
            f"{index}.{name}": value
            for index, moments in enumerate(self.moments)
            if moments is not None
            for name, value in zip(("first", "second", "age"), (*moments, torch.tensor(self.ages[index])), strict=True)
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See :class:`Optimiser`."""
        for place in {int(name.partition(".")[0]) for name in state}:
            first, second = (_like(self.parameters[place], state[f"{place}.{name}"]) for name in ("first", "second"))
            self.moments[place], self.ages[place] = (first, second), int(state[f"{place}.age"])


def _like(parameter: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """What was kept, where and as the parameter lies in memory: the same sums in the same order as without a break."""
    return torch.empty_like(parameter).copy_(kept)
