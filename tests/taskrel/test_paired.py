"""Paired tests against scipy, against each other, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from taskrel.paired import EXACT, holm, paired, sign_flip

LAW = settings(deadline=None, max_examples=60)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("tasks", [2, 5, 9, 14])
def test_sign_flips_of_signed_ranks_are_the_exact_wilcoxon_test(tasks):
    rows = RNG.normal(0.4, 1, size=(6, tasks))
    ranks = np.sign(rows) * np.argsort(np.argsort(np.abs(rows), axis=1), axis=1) + np.sign(rows)
    expected = [stats.wilcoxon(row, method="exact").pvalue for row in rows]
    assert sign_flip(ranks) == pytest.approx(expected, abs=1e-12)


def test_sign_flips_are_the_permutation_test_of_scipy():
    rows = RNG.normal(0.3, 1, size=(4, 10))
    expected = [stats.permutation_test((row,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples",
                                       vectorized=True, n_resamples=np.inf).pvalue for row in rows]  # fmt: skip
    assert sign_flip(rows) == pytest.approx(expected, abs=1e-12)


def test_many_tasks_are_sampled_and_agree_with_the_normal_law():
    row = RNG.normal(0.25, 1, size=60)
    found = sign_flip(row, samples=40_000)[0]
    z = row.sum() / np.sqrt((row**2).sum())
    # 40000 draws know a probability of .05 to .001; sums of 60 are normal to about .01.
    assert found == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.012)
    assert sign_flip(np.ones(60), samples=99)[0] == 0.01


def test_closed_forms():
    # All differences alike: only the measured signs and their opposites are as extreme.
    assert sign_flip(np.ones((1, 5)))[0] == 2 / 2**5
    assert sign_flip(np.ones(EXACT))[0] == 2 / 2**EXACT
    assert sign_flip([[0.0, 0.0], [np.nan, np.nan]]).tolist() == [1.0, 1.0]
    # Tasks without a difference change nothing.
    assert sign_flip([[1.0, 0, 2.0, 0, np.nan]])[0] == sign_flip([[1.0, 2.0]])[0] == 0.5
    assert sign_flip([[1.0, -1.0]])[0] == 1.0


@LAW
@given(row=st.lists(st.sampled_from([-0.3, -0.1, 0.0, 0.1, 0.2, 0.3]), min_size=1, max_size=10))
def test_laws_of_sign_flips(row):
    p = sign_flip([row])[0]
    assert 0 < p <= 1
    assert sign_flip([[-x for x in row]])[0] == p
    assert sign_flip([row[::-1]])[0] == p, "roundings of sums in another order decide nothing"


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([0.01, np.nan])[0] == 0.01
    assert np.isnan(holm([0.01, np.nan])[1])


def test_comparison_by_hand():
    nan = np.nan
    found = paired([[0.1, 0.2, 0.3], [0.5, nan, 0.3], [nan, nan, nan]], [0.2, 0.2, 0.3], samples=2000)
    assert found.tasks.tolist() == [3, 2, 0]
    assert found.wins.tolist() == [1, 0, 0]
    assert found.losses.tolist() == [0, 1, 0]
    assert found.difference[:2] == pytest.approx([-0.1 / 3, 0.15])
    assert np.isnan(found.difference[2])
    assert found.p_value.tolist() == [1.0, 1.0, 1.0]
    assert np.isnan(found.ends[2]).all()
    assert found.ends[0] == pytest.approx([-0.1, 0.0])  # none, one, two or three draws of the first task
    assert found.exact.all()


def test_interval_of_a_mean_difference():
    rows = RNG.normal(0.1, 1, size=(1, 200))
    found = paired(rows, np.zeros(200), samples=4000)
    half = 1.96 * rows.std() / np.sqrt(200)
    # 4000 samples know a percentile to about 3 percent of the half width; twice that is generous.
    assert found.ends[0] == pytest.approx([rows.mean() - half, rows.mean() + half], abs=0.06 * half)
    assert not found.exact[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired([[0.1]], [0.1, 0.2]), r"regrets must be \[K, T\] and reference \[T\]"),
        (lambda: paired([[0.1]], [0.1], samples=0), "samples must be at least 1"),
        (lambda: paired([[0.1]], [0.1], level=1.0), r"level in \(0, 1\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
