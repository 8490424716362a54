"""A joint forecast of the accuracies of a pool on a new task, learned from other tasks; Gaussian algebra in NumPy.

Logits of accuracy, as a model cannot gain ten points where one is missing. On task t, model m::

    logit a = level_t + scale_t (x w + u_m + e)

with weights w of the features x (one prior variance for each group), the model's own merit u, and what is left, e,
correlated between models that erred together on other tasks. All variances are fitted; knows no strategy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_EDGE = 1e-3  # logits of 0 and 1 are infinite; a test set rarely resolves less
_FAR = 3.0  # a model that collapsed is worse than the others, not a hundred times as informative
_CUT_VARIANCE = 0.9205  # of a standard normal variable cut at -2 and 2
_LEAST_SCALE = 0.05  # of the typical one: a task on which all models are equal teaches no scale
_ROUNDS = 200
_GONE = 1e-6  # a prior variance this small, in units of the spread of accuracies, is none
_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)  # of the residual covariance that is taken from the residuals


def logit(accuracy: npt.ArrayLike) -> Floats:
    """Log odds of accuracies, which are kept a thousandth away from 0 and 1."""
    clipped = np.clip(np.asarray(accuracy, dtype=np.float64), _EDGE, 1 - _EDGE)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds


def accuracy_of(logits: Floats) -> Floats:
    """The accuracies that have these logits."""
    fractions: Floats = 1 / (1 + np.exp(-logits))
    return fractions


def _root(covariance: Floats) -> Floats:
    """[M, M] a matrix whose product with its transpose is the covariance."""
    try:
        values, vectors = np.linalg.eigh(covariance)
    except np.linalg.LinAlgError:
        # LAPACK's divide and conquer gives up on some matrices with hundreds of near-equal eigenvalues; here the
        # singular values are the eigenvalues, and their bidiagonal form converges.
        vectors, values, _ = np.linalg.svd(covariance)
    root: Floats = vectors * np.sqrt(np.clip(values, 0, None))
    return root


@dataclass(frozen=True, eq=False)
class Forecast:
    """A joint Gaussian over the logits of the accuracies of a pool on one task.

    Args:
        mean: [M].
        covariance: [M, M].
    """

    mean: Floats
    covariance: Floats

    def given(self, models: Sequence[int], accuracies: Sequence[float]) -> Forecast:
        """The forecast after some models have been fine-tuned; theirs are then what they reached.

        Args:
            models: indices, distinct.
            accuracies: fractions.
        """
        index = list(models)
        if not index:
            return self
        known = self.covariance[np.ix_(index, index)]
        # Equal models would make it singular; a relative 1e-9 is far below what any accuracy resolves.
        known = known + 1e-9 * np.trace(known) / len(index) * np.eye(len(index))
        gain = np.linalg.solve(known, self.covariance[index]).T
        mean = self.mean + gain @ (logit(accuracies) - self.mean[index])
        covariance = self.covariance - gain @ self.covariance[index]
        return Forecast(mean, (covariance + covariance.T) / 2)

    def draws(self, number: int, seed: int) -> Floats:
        """[number, M] joint samples of the accuracies, in pairs that mirror each other; fixed by the seed."""
        root = _root(self.covariance)
        half = np.random.default_rng(seed).standard_normal((number // 2, len(self.mean))) @ root.T
        return accuracy_of(self.mean + np.concatenate([half, -half]))


@dataclass(frozen=True, eq=False)
class Fit:
    """What other tasks taught.

    Args:
        weights: [p] posterior mean of the features' weights, in units of a task's spread per unit of feature.
        merits: [M] posterior mean of the models' own merit, same unit.
        covariance: [p + M, p + M] of both.
        noise: [M, M] covariance of what is left.
        level: mean and variance of the tasks' levels, in logits.
        scale: the typical spread of a task, in logits.
        variances: group -> fitted prior variance; "" is the models' merit.
    """

    weights: Floats
    merits: Floats
    covariance: Floats
    noise: Floats
    level: tuple[float, float]
    scale: float
    variances: dict[str, float]

    def forecast(self, here: Floats) -> Forecast:
        """The forecast for a task on which the pool has the features `here`, [M, p]."""
        design = np.hstack([here, np.eye(len(self.merits))])
        mean, variance = self.level
        spread = design @ self.covariance @ design.T + self.noise
        return Forecast(
            mean + self.scale * (design @ np.concatenate([self.weights, self.merits])),
            variance + self.scale**2 * spread,
        )


def fit(accuracy: Floats, elsewhere: Floats, groups: Sequence[str]) -> Fit:
    """Learns the forecast from other tasks.

    Tasks are centred and divided by their spread, so the hard ones count as much as the others. Prior variances and
    noise maximise the marginal likelihood by MacKay's fixed point; a group that explains nothing ends at 0.

    Args:
        accuracy: [T, M] fractions, NaN where missing; at least one task, at least two models on each.
        elsewhere: [T, M, p] features.
        groups: [p] names of the groups that share a prior variance, none of them "".

    Source:
        MacKay, Bayesian interpolation, Neural Computation 1992; the groups are ours.
    """
    logits = logit(accuracy)
    there = ~np.isnan(accuracy)
    levels, spreads = np.array([_robust(row[known]) for row, known in zip(logits, there, strict=True)]).T
    scales = np.maximum(spreads, max(_LEAST_SCALE * float(np.sqrt(np.mean(spreads**2))), 1e-6))
    tasks, models, width = elsewhere.shape
    names = ["", *dict.fromkeys(groups)]
    member = np.array([names.index(group) for group in groups] + [0] * models)
    rows, values = [], []
    for task in range(tasks):
        known = there[task]
        design = np.hstack([elsewhere[task], np.eye(models)])[known]
        rows.append(design - design.mean(axis=0))
        usual = np.clip((logits[task, known] - levels[task]) / scales[task], -_FAR, _FAR)
        values.append(usual - usual.mean())
    y, design = np.concatenate(values), np.vstack(rows)
    coefficients, covariance, noise, variances = _evidence(design, y, member, len(names), len(y) - tasks)
    residuals = np.zeros((tasks, models))
    residuals[there] = y - design @ coefficients
    return Fit(
        coefficients[:width],
        coefficients[width:],
        covariance,
        _related(residuals, there, noise),
        (float(levels.mean()), float(levels.var(ddof=1) * (1 + 1 / tasks)) if tasks > 1 else 1.0),
        float(np.exp(np.log(scales).mean())),
        dict(zip(names, variances.tolist(), strict=True)),
    )


def _robust(numbers: Floats) -> tuple[float, float]:
    """Location and scale that single models which collapsed hardly move: Huber's proposal 2, cut at 2 deviations."""
    middle, spread = float(np.median(numbers)), float(numbers.std())
    for _ in range(50):
        if not spread:
            break
        cut = np.clip((numbers - middle) / spread, -2, 2)
        middle += spread * float(cut.mean())
        spread *= float(np.sqrt(np.mean(cut**2) / _CUT_VARIANCE))
    return middle, spread


def _evidence(
    design: Floats, y: Floats, member: npt.NDArray[np.intp], groups: int, freedom: int
) -> tuple[Floats, Floats, float, Floats]:
    """Coefficients, their covariance, the noise variance and each group's prior variance.

    `freedom` counts the rows less the levels that centring has used up.
    """
    gram, moment, size = design.T @ design, design.T @ y, np.bincount(member, minlength=groups)
    total = float(y @ y)
    variances, noise = np.full(groups, 0.1), max(0.5 * total / freedom, _GONE)
    for _ in range(_ROUNDS):
        prior = variances[member]
        # In terms of coefficients over their prior deviation, which stays regular as variances vanish.
        root = np.sqrt(prior)
        inverse = np.linalg.inv(np.eye(len(prior)) + root[:, None] * gram * root / noise)
        covariance = root[:, None] * inverse * root
        coefficients = covariance @ moment / noise
        used = size - np.bincount(member, inverse.diagonal(), groups)
        squares = np.bincount(member, coefficients**2, groups)
        better = np.where(variances > _GONE, squares / np.maximum(used, _GONE), 0.0)
        error = max(total - 2 * float(coefficients @ moment) + float(coefficients @ gram @ coefficients), 0.0)
        quieter = max(error / max(freedom - float(used.sum()), 1.0), _GONE)
        done = np.allclose(better, variances, rtol=1e-4, atol=_GONE) and np.isclose(quieter, noise, rtol=1e-4)
        variances, noise = better, quieter
        if done:
            break
    return coefficients, covariance, noise, variances


def _related(residuals: Floats, there: npt.NDArray[np.bool_], noise: float) -> Floats:
    """[M, M] covariance of the residuals of a new task: part independent, part as they went together elsewhere.

    The part is the one under which every task's residuals are likeliest given the others'.
    """
    tasks, models = residuals.shape
    independent = noise * np.eye(models)

    def mixed(share: float, used: Floats) -> Floats:
        moments = used.T @ used / len(used)
        return (1 - share) * independent + share * (moments * noise / max(float(moments.trace()) / models, 1e-12))

    if tasks < 3:
        return independent
    likelihood = [
        sum(
            _log_density(residuals[task, there[task]], mixed(share, np.delete(residuals, task, 0)), there[task])
            for task in range(tasks)
        )
        for share in _SHARES
    ]
    return mixed(_SHARES[int(np.argmax(likelihood))], residuals)


def _log_density(values: Floats, covariance: Floats, known: npt.NDArray[np.bool_]) -> float:
    """Log density of a centred Gaussian, but for a constant."""
    part = covariance[np.ix_(known, known)]
    _, log_determinant = np.linalg.slogdet(part)
    return -0.5 * float(log_determinant + values @ np.linalg.solve(part, values))
