"""Bootstrap intervals against every possible resample, and against a loop in plain Python."""

from itertools import product

import numpy as np
import pytest

from taskrel.bootstrap import bootstrap_regret, percentiles
from taskrel.regret import pick_mask, regret

TABLE = np.random.default_rng(0).uniform(0.3, 0.9, (3, 4, 3))
PICKS = pick_mask([[0, 1], [2], [3, 0]], 4)


def every_resample(table, picks):
    """[R^R, T] relative regret of each task under each equally likely resample of its repeats."""
    repeats = range(table.shape[2])
    return np.array(
        [regret(table[:, :, list(chosen)], picks).relative for chosen in product(repeats, repeat=len(repeats))]
    )


def test_percentiles_of_the_exact_bootstrap_distribution():
    exact = every_resample(TABLE, PICKS)
    found = bootstrap_regret(TABLE, PICKS, samples=20000, level=0.8)
    for t in range(3):
        for side, share in enumerate((0.1, 0.9)):
            end = found.relative[t, side]
            # 20000 draws know a probability to .003, four times that is generous.
            assert np.mean(exact[:, t] < end - 1e-12) <= share + 0.012
            assert np.mean(exact[:, t] <= end + 1e-12) >= share - 0.012


def test_mean_over_tasks_resamples_tasks_independently():
    exact = every_resample(TABLE, PICKS)
    sums = exact[:, None, None, 0] + exact[None, :, None, 1] + exact[None, None, :, 2]
    found = bootstrap_regret(TABLE, PICKS, samples=20000, level=0.5)
    # 20000 draws estimate a quartile of this distribution to about 0.02 of its width.
    assert found.mean_relative == pytest.approx(np.quantile(sums / 3, [0.25, 0.75]), abs=0.05 * sums.std())


def test_point_estimates_lie_inside_and_absolute_agrees_in_sign():
    found = bootstrap_regret(TABLE, PICKS)
    point = regret(TABLE, PICKS)
    assert (found.relative[:, 0] <= point.relative + 1e-12).all()
    assert (point.relative <= found.relative[:, 1] + 1e-12).all()
    assert (found.absolute[:, 0] <= point.absolute + 1e-12).all()
    assert (point.absolute <= found.absolute[:, 1] + 1e-12).all()
    assert found.mean_absolute[0] <= point.absolute.mean() <= found.mean_absolute[1]


def test_equal_repeats_leave_no_spread():
    same = np.repeat(TABLE[:, :, :1], 4, axis=2)
    found = bootstrap_regret(same, PICKS)
    expected = regret(same, PICKS).relative
    assert found.relative == pytest.approx(np.stack([expected, expected], axis=1), abs=1e-12)


def test_one_repeat_says_nothing():
    found = bootstrap_regret(TABLE[:, :, :1], PICKS)
    for array in (found.absolute, found.relative, found.mean_absolute, found.mean_relative):
        assert np.isnan(array).all()


def test_missing_cells_stay_missing_without_warnings(recwarn):
    table = TABLE.copy()
    table[0, [0, 1]] = np.nan  # all picks of the first task
    table[1, 3] = np.nan  # a model nobody picked
    table[2, 3, 0] = np.nan  # one repeat of a pick
    found = bootstrap_regret(table, PICKS)
    assert np.isnan(found.relative[0]).all()
    assert np.isfinite(found.relative[1:]).all()
    assert np.isfinite(found.mean_relative).all()
    assert not recwarn.list


def test_same_seed_same_intervals():
    one, two = bootstrap_regret(TABLE, PICKS, seed=3), bootstrap_regret(TABLE, PICKS, seed=3)
    assert np.array_equal(one.relative, two.relative)


@pytest.mark.parametrize("changes", [{"samples": 0}, {"level": 0.0}, {"level": 1.0}])
def test_refusals(changes):
    with pytest.raises(ValueError, match=r"samples must be at least 1 and level in \(0, 1\)"):
        bootstrap_regret(TABLE, PICKS, **changes)


def test_percentiles_are_those_of_numpy_and_leave_nan_out(recwarn):
    samples = np.random.default_rng(0).normal(size=(3, 4, 57))
    for level in (0.5, 0.9, 0.95):
        ends = [(1 - level) / 2, (1 + level) / 2]
        expected = np.quantile(samples, ends, axis=2).transpose(1, 2, 0)
        assert percentiles(samples, level) == pytest.approx(expected, abs=1e-12)
        holes = np.where(np.random.default_rng(1).random(samples.shape) < 0.3, np.nan, samples)
        holes[0, 0] = np.nan
        found = percentiles(holes, level)
        assert np.isnan(found[0, 0]).all()
        expected = np.nanquantile(holes.reshape(12, 57)[1:], ends, axis=1).T
        assert found.reshape(12, 2)[1:] == pytest.approx(expected, abs=1e-12)
    assert percentiles(samples[:, :, :1], 0.95)[0, 0].tolist() == [samples[0, 0, 0]] * 2
    assert not recwarn.list
