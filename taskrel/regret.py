"""Regret: how much accuracy a choice of models lost against the best model of the pool.

Everything is dense arrays over (task, model, repeat) with NaN for a cell that was never measured.
Knows nothing of strategies, names or tables; plain NumPy.

Terms, for one task: `oracle` is the best mean accuracy in the pool, `value` what fine-tuning all
picks and keeping the best one is worth. A model without a value on a task is in neither.

Source: "Which Model to Transfer?", CVPR 2022, section 2; spec/model_search.md section 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.intp]
Ties = Literal["optimistic", "pessimistic", "expected"]


def _fractions(thing: str, numbers: npt.ArrayLike) -> Floats:
    array = np.asarray(numbers, dtype=np.float64)
    wrong = array[~(np.isnan(array) | ((array >= 0) & (array <= 1)))]
    if wrong.size:
        hint = " (percent? divide by 100)" if 1 < wrong.flat[0] <= 100 else ""
        raise ValueError(f"{thing} must lie in [0, 1], got {wrong.flat[0]:g}{hint}")
    return array


def check_table(accuracy: npt.ArrayLike) -> Floats:
    """`accuracy` as a non-empty [T, M, R] array of fractions and NaN, or a ValueError."""
    array = _fractions("accuracy", accuracy)
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"accuracy must be a non-empty [task, model, repeat] array, got shape {array.shape}")
    return array


def nanmean(array: Floats) -> Floats:
    """Mean over the last axis without the NaN entries, NaN (and no warning) where all are."""
    there = ~np.isnan(array)
    count = there.sum(axis=-1)
    total = np.where(there, array, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def pick_mask(picks: Sequence[Sequence[int]], models: int) -> Mask:
    """Picks as a boolean [task, model] array.

    Args:
        picks: per task the indices of the picked models, at least one, distinct.
        models: |M|, the size of the pool.

    Raises:
        ValueError: no pick, a model twice, an index outside the pool, or more picks than models.
    """
    mask = np.zeros((len(picks), models), dtype=bool)
    for task, chosen in enumerate(picks):
        if not 1 <= len(chosen) <= models:
            raise ValueError(f"picks must be 1 to {models} models per task, got {len(chosen)}")
        if len(set(chosen)) < len(chosen):
            raise ValueError(f"picks must be distinct, got {list(chosen)} for task {task}")
        if not all(0 <= model < models for model in chosen):
            raise ValueError(f"picks must lie in [0, {models}), got {list(chosen)} for task {task}")
        mask[task, list(chosen)] = True
    return mask


def mean_accuracy(accuracy: npt.ArrayLike) -> Floats:
    """[T, M] mean over the repeats there are, NaN for a model never measured on the task.

    Args:
        accuracy: [T, M, R] fractions, NaN where missing.
    """
    return nanmean(check_table(accuracy))


def oracle(accuracy: npt.ArrayLike) -> Floats:
    """[T] best mean accuracy in the pool: max over models of the mean over repeats.

    With few repeats this is biased upwards, the more so the larger the pool: the luckiest of many
    similar models wins.

    Args:
        accuracy: [T, M, R] fractions, NaN where missing.

    Returns:
        Fractions; NaN for a task without any value.

    Raises:
        ValueError: not three axes, or a value outside [0, 1].
    """
    best: Floats = np.fmax.reduce(mean_accuracy(accuracy), axis=1)
    return best


def best_per_repeat(table: Floats, picks: Mask) -> Floats:
    """[T, R] accuracy of the best pick in each repeat, NaN in repeats that cannot be compared.

    Repeats may be missing for some models. Only those with the largest number of picks measured
    count: taking the best of fewer would charge a pick for runs that failed.
    """
    picked = np.where(picks[:, :, None], table, np.nan)
    count = (~np.isnan(picked)).sum(axis=1)
    complete = (count == count.max(axis=1, keepdims=True)) & (count > 0)
    return np.where(complete, np.fmax.reduce(picked, axis=1), np.nan)


def check_picks(table: Floats, picks: Mask) -> Mask:
    """`picks` if they are booleans over the tasks and models of the table, or a ValueError."""
    mask = np.asarray(picks)
    if mask.dtype != np.bool_ or mask.shape != table.shape[:2]:
        raise ValueError(
            f"picks must be a boolean [{table.shape[0]}, {table.shape[1]}] array (see pick_mask), "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return mask


def value(accuracy: npt.ArrayLike, picks: Mask) -> Floats:
    """[T] what the picks are worth: mean over repeats of the best pick's accuracy in that repeat.

    Args:
        accuracy: [T, M, R] fractions, NaN where missing. Repeats in which fewer picks were measured
            than in others are left out.
        picks: [T, M] booleans; see `pick_mask`.

    Returns:
        Fractions; NaN where none of the picks has a value.

    Raises:
        ValueError: shapes do not fit, or a value outside [0, 1].
    """
    table = check_table(accuracy)
    return nanmean(best_per_repeat(table, check_picks(table, picks)))


def random_value(accuracy: npt.ArrayLike, budget: int) -> Floats:
    """[T] exact expected value of `budget` models drawn uniformly without replacement.

    Args:
        accuracy: [T, M, R] fractions, NaN where missing; draws are from the m models present, all
            of them where m < budget.
        budget: B, 1 to M.

    Returns:
        Fractions; NaN for a task without any value. Equals `value` of the whole pool for B = M.

    Raises:
        ValueError: the budget is not in 1..M.
    """
    table = check_table(accuracy)
    everyone = np.ones(table.shape[:2], dtype=bool)
    complete = ~np.isnan(best_per_repeat(table, everyone))
    descending = -np.sort(-table, axis=1)
    chance = order_chances((~np.isnan(table)).sum(axis=1).max(axis=1), budget, table.shape[1])
    expected = (np.nan_to_num(descending) * chance[:, :, None]).sum(axis=1)
    # The chances sum to 1 up to rounding; no draw is worth more than the best model.
    return nanmean(np.where(complete, np.fmin(expected, descending[:, 0]), np.nan))


def random_relative_regret(accuracy: npt.ArrayLike, budget: int) -> Floats:
    """[T] exact expected relative regret of `budget` models drawn uniformly.

    Not the relative regret of `random_value`, which is larger: regret is a concave function of the
    value. A draw is worth its best mean accuracy here (the spec's value for one repeat or B = 1).

    Args:
        accuracy: [T, M, R] fractions, NaN where missing.
        budget: B, 1 to M; the models present on a task where they are fewer.

    Returns:
        In [0, 1]; NaN for a task without any value.

    Raises:
        ValueError: the budget is not in 1..M.
    """
    means = mean_accuracy(accuracy)
    descending = -np.sort(-means, axis=1)
    chance = order_chances((~np.isnan(means)).sum(axis=1), budget, means.shape[1])
    each = np.nan_to_num(relative_regret(descending[:, :1], descending))
    return np.where(np.isnan(descending[:, 0]), np.nan, (each * chance).sum(axis=1))


def order_chances(present: Counts, budget: int | Counts, models: int) -> Floats:
    """[T, M] probability that the best of B models drawn from m is the j-th best, j from 0.

    That is C(m-1-j, B-1) / C(m, B), by the ratio of neighbours (m-j-B+1) / (m-j), which stays
    accurate where binomials would overflow; 0 beyond the last model present.

    Args:
        present: [T] number m of models to draw from.
        budget: B, 1 to M, one for all or [T]; all m where they are fewer.
        models: M.

    Raises:
        ValueError: the budget is not in 1..M.
    """
    budgets = np.atleast_1d(np.asarray(budget, dtype=np.intp))
    if ((budgets < 1) | (budgets > models)).any():
        raise ValueError(f"budget must be 1 to {models} (the pool), got {budget}")
    m = present[:, None]
    drawn = np.minimum(budgets[:, None], m)
    place = np.arange(1, models)
    ratio = np.clip((m - place - drawn + 1) / np.maximum(m - place, 1), 0, None)
    ratio[place >= m] = 0
    chances: Floats = np.cumprod(np.hstack([drawn / np.maximum(m, 1), ratio]), axis=1)
    return chances


def delta(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Relative delta: the share of the worse one's remaining error that the better one removes.

    ``(s1 - s2) / (1 - min(s1, s2))``: antisymmetric, in [-1, 1], positive if the first is better;
    0 where both are perfect.

    Args:
        first: values s1, fractions of any shape.
        second: values s2, broadcastable to it.

    Raises:
        ValueError: a value outside [0, 1].

    Source:
        CVPR 2022 paper, Eq. 2.
    """
    s1, s2 = _fractions("first", first), _fractions("second", second)
    return error_removed(s1, s2)


def error_removed(s1: Floats, s2: Floats) -> Floats:
    """`delta` of arrays known to be fractions: for the many numbers of a bootstrap."""
    error = 1 - np.minimum(s1, s2)
    lead = np.asarray(s1 - s2)
    # Where there is no error both are perfect, and the lead is the 0 that delta is defined to be.
    return np.divide(lead, error, out=lead, where=error != 0)


def relative_regret(best: npt.ArrayLike, reached: npt.ArrayLike) -> Floats:
    """The share of the remaining error a perfect search would have removed: delta(oracle, value).

    In [0, 1] for one number per cell. With repeats the best of several picks can beat the best
    mean; the slightly negative regret that results is noise, and is kept. If the oracle is perfect
    any other choice has regret 1: report absolute regret next to it.

    Args:
        best: oracle, fractions.
        reached: values of the picks, fractions.
    """
    return delta(best, reached)


def log_odds_delta(first: npt.ArrayLike, second: npt.ArrayLike, test_size: int | None = None) -> tuple[Floats, Mask]:
    """Difference of log odds, ``logit(s1) - logit(s2)``, and where a value had to be clipped.

    Args:
        first: values s1, fractions.
        second: values s2, broadcastable to it.
        test_size: number n of test examples behind each value, if known.

    Returns:
        (nats, positive if the first is better; whether either value was clipped to
        [1/(2n), 1 - 1/(2n)], or to 1e-6 from the ends without n).

    Raises:
        ValueError: a value outside [0, 1] or a test size below 1.

    Source:
        CVPR 2022 paper, appendix C. Its printed Eq. 3 contradicts its text and cannot be negative;
        this is the text's difference of logits.
    """
    if test_size is not None and test_size < 1:
        raise ValueError(f"test_size must be at least 1, got {test_size}")
    margin = 1e-6 if test_size is None else 1 / (2 * test_size)
    s1, s2 = _fractions("first", first), _fractions("second", second)
    c1, c2 = np.clip(s1, margin, 1 - margin), np.clip(s2, margin, 1 - margin)
    nats = np.log(c1 / (1 - c1)) - np.log(c2 / (1 - c2))
    clipped = ((c1 != s1) & ~np.isnan(s1)) | ((c2 != s2) & ~np.isnan(s2))
    return nats, clipped


@dataclass(frozen=True, eq=False)
class Regret:
    """Regret of one choice per task, in every unit, with what had to be left out.

    Args:
        oracle: [T] best mean accuracy in the pool.
        value: [T] what the picks are worth; NaN where none of them has a value.
        absolute: [T] oracle - value, fractions.
        relative: [T] share of the remaining error, at most 1.
        log_odds: [T] difference of logits, nats.
        clipped: [T] whether the log odds needed clipping at 0 or 1.
        models_dropped: [T] models of the pool without a value on the task.
        picks_dropped: [T] picks without a value on the task.
    """

    oracle: Floats
    value: Floats
    absolute: Floats
    relative: Floats
    log_odds: Floats
    clipped: Mask
    models_dropped: Counts
    picks_dropped: Counts


def regret(accuracy: npt.ArrayLike, picks: Mask, *, test_size: int | None = None) -> Regret:
    """How much the picks lose against the best model of the pool, per task; lower is better.

    Args:
        accuracy: [T, M, R] fractions, NaN where missing.
        picks: [T, M] booleans; see `pick_mask`.
        test_size: test examples behind each accuracy, if known; only clips the log odds.

    Raises:
        ValueError: shapes do not fit, or a value outside [0, 1].
    """
    table = check_table(accuracy)
    mask = check_picks(table, picks)
    best, reached = oracle(table), value(table, mask)
    missing = np.isnan(table).all(axis=2)
    nats, clipped = log_odds_delta(best, reached, test_size)
    return Regret(
        oracle=best,
        value=reached,
        absolute=best - reached,
        relative=relative_regret(best, reached),
        log_odds=nats,
        clipped=clipped,
        models_dropped=missing.sum(axis=1),
        picks_dropped=(missing & mask).sum(axis=1),
    )


def budget_to_zero(scores: npt.ArrayLike, accuracy: npt.ArrayLike, ties: Ties = "optimistic") -> Floats:
    """[T] how many top-scored models must be fine-tuned until the best one is among them.

    Args:
        scores: [T, M] proxy scores, higher is better; NaN (no score) ranks last.
        accuracy: [T, M, R] fractions; models without a value on a task are left out.
        ties: where the best model sits among models of equal score: "optimistic" first (the
            paper's), "pessimistic" last, "expected" the mean over random orders of the tied models.
            With several best models the first one met counts; pessimistically each is met last.

    Returns:
        1 to M, fractional only for "expected"; NaN for a task without any value.

    Raises:
        ValueError: shapes do not fit or an unknown tie rule.

    Source:
        CVPR 2022 paper, Appendix G; spec/model_search.md sections 1 and 6.
    """
    if ties not in ("optimistic", "pessimistic", "expected"):
        raise ValueError(f"ties must be optimistic, pessimistic or expected, got {ties!r}")
    ahead, level, winners = first_best(scores, mean_accuracy(accuracy))
    # The first of w winners among g shuffled models is expected at place (g + 1) / (w + 1).
    place = {
        "optimistic": np.ones(len(ahead)),
        "pessimistic": level,
        "expected": (level + 1) / (winners + 1),
    }[ties]
    return np.where(winners > 0, ahead + place, np.nan)


def first_best(scores: npt.ArrayLike, means: Floats) -> tuple[Counts, Counts, Counts]:
    """Where an order by scores first meets a best model, per task.

    Args:
        scores: [T, M], higher is better; NaN (no score) ranks last.
        means: [T, M] accuracies, NaN for models that are not there.

    Returns:
        (models scored above the top-scored best model, models scored as it is with itself included, best models among
        those), each [T]; the last two are 0 for a task without any value.

    Raises:
        ValueError: shapes do not fit.
    """
    ranked = np.asarray(scores, dtype=np.float64)
    if ranked.shape != means.shape:
        raise ValueError(f"scores must be of shape {means.shape}, got {ranked.shape}")
    present = ~np.isnan(means)
    ranked = np.where(np.isnan(ranked), -np.inf, ranked)
    best = present & (means == np.fmax.reduce(means, axis=1)[:, None])
    top = np.where(best, ranked, -np.inf).max(axis=1)[:, None]
    tied = present & (ranked == top)
    return (present & (ranked > top)).sum(axis=1), tied.sum(axis=1), (best & tied).sum(axis=1)
