"""Ridge regression onto the labels, each example predicted from all others, in closed form."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from taskrel.rows import Rows, rows
from taskrel.types import CannotScore, Probe, Score

# Penalties tried, as multiples of the mean of the k eigenvalues of the centred XᵀX; the first of equals wins.
GRID = tuple(10.0 ** (half / 2) for half in range(6, -13, -1))


def score(train: Probe, val: Probe | None, *, seed: int, penalty: float | Literal["gcv"] = "gcv") -> Score:
    """Leave-one-out accuracy of ridge regression onto one-hot classes; leave-one-out R² for other labels.

    R² is 1 - (squared error)/(squared error of the mean of the other examples), one per column, averaged over the
    columns that vary: so every column counts the same, whatever its unit, and predicting the mean gives 0.

    Args:
        train: n examples: classes, 0/1 columns or real values.
        val: unused.
        seed: unused.
        penalty: lambda in |Y - X W - b|² + lambda |W|², the intercept free. "gcv" takes the one of `GRID`, from 1e-6 to
            1e3 times the mean eigenvalue of XᵀX in half decades, with the least generalised cross-validation error,
            over all classes or over the columns standardised: the leave-one-out error with every leverage replaced by
            their mean, which the spectrum alone gives. It is chosen on what is scored: one number for all examples, so
            the optimism is slight.

    Returns:
        Accuracy in [0, 1], ties to the first class; or R² in (-inf, 1]. `detail["mse"]` is the mean squared error over
        examples and columns, `detail["penalty"]` is lambda. The influence holds the fits fixed.

    Raises:
        CannotScore: no column varies.
        ValueError: a penalty that is not positive.

    Source:
        Allen, 1974 (PRESS): y - y_loo = (y - y_fit)/(1 - h); Golub, Heath and Wahba, 1979 (generalised
        cross-validation); spec/proxies.md 4.5.
    """
    del val, seed
    if penalty != "gcv" if isinstance(penalty, str) else not penalty > 0:
        raise ValueError(f"penalty must be positive or 'gcv', got {penalty!r}")
    seen = rows(train)
    baseline = (seen.targets - seen.targets.mean(dim=0)) * (len(train) / (len(train) - 1))
    spread = baseline.square().sum(dim=0)
    varies = spread > 0
    if not bool(varies.any()):
        raise CannotScore("ridge needs labels that vary, got the same for all examples")
    weights = torch.ones_like(spread) if seen.target == "classes" else torch.where(varies, 1 / spread, 0.0)
    chosen = _best(seen, weights) if isinstance(penalty, str) else float(penalty)
    errors = _errors(seen, chosen)
    detail = {"mse": float(errors.square().mean()), "penalty": chosen}
    if seen.target == "classes":
        right = ((seen.targets - errors).argmax(dim=1) == seen.ids).double()
        value = float(right.mean())
        return Score(value, (value,), detail, (right - value).cpu().numpy())
    squares = errors.square()[:, varies]
    unexplained = squares.sum(dim=0) / spread[varies]
    value = float(1 - unexplained.mean())
    moved = (unexplained * baseline.square()[:, varies] - squares) / spread[varies]
    return Score(value, (value,), detail, (len(train) * moved.mean(dim=1)).cpu().numpy())


def _best(seen: Rows, weights: Tensor) -> float:
    """The penalty of the grid with the least generalised cross-validation error, columns weighted."""
    spectrum, n = seen.spectrum, seen.examples
    values = spectrum.values
    scale = float(values.mean()) if len(values) else 1.0
    penalties = scale * torch.tensor(GRID, device=seen.device, dtype=torch.float64)
    taken = penalties[:, None] / (values + penalties[:, None])  # [P, k]
    inside = weights @ spectrum.left.square()  # [k]
    outside = (spectrum.squares - spectrum.sums.square() / n - spectrum.left.square().sum(dim=1)).clamp_min(0) @ weights
    # The residuals' square over that of their mean freedom; both are sums of positive numbers.
    freedom = taken.sum(dim=1) + (n - 1 - len(values))
    return float(penalties[((taken.square() @ inside + outside) / freedom.square()).argmin()])


def _errors(seen: Rows, penalty: float) -> Tensor:
    """[n, T] labels minus their leave-one-out predictions.

    With X = U diag(sqrt(values)) Vᵀ both the residuals and 1 - h are sums of what the penalty takes away inside U and
    of what is outside U, which is nothing where U spans all that is orthogonal to the constant: so no digits are lost
    where the fit interpolates.
    """
    spectrum, n, left = seen.spectrum, seen.examples, seen.left
    taken = penalty / (spectrum.values + penalty)  # [k]
    residuals = left @ (taken * spectrum.left).T
    free = left.square() @ taken
    if spectrum.rank < n - 1:
        residuals += seen.targets - spectrum.sums / n - left @ spectrum.left.T
        free += (1 - 1 / n - left.square().sum(dim=1)).clamp_min(0)
    return residuals / free[:, None]
