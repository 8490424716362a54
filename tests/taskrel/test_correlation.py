"""Correlations against scipy and hand-worked cases; undefined ones are None with a reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from taskrel.correlation import STATISTICS, correlation, correlations, noise_floor

LAW = settings(deadline=None, max_examples=60)
every_statistic = pytest.mark.parametrize("statistic", list(STATISTICS))
REFERENCE = {
    "pearson": stats.pearsonr,
    "spearman": stats.spearmanr,
    "weighted_tau": stats.weightedtau,
}
levels = hnp.arrays(np.float64, 7, elements=st.integers(0, 5).map(lambda i: i / 5))


@every_statistic
@LAW
@given(x=levels, y=levels)
def test_agrees_with_scipy_where_defined(statistic, x, y):
    found = correlation(x, y, statistic)
    if len(set(x)) == 1 or len(set(y)) == 1:
        side = "scores" if len(set(x)) == 1 else "accuracies"
        assert (found.value, found.reason) == (None, f"constant {side}")
    else:
        assert found.value == pytest.approx(REFERENCE[statistic](x, y).statistic, abs=1e-9)
        assert -1 <= found.value <= 1
        assert (found.models, found.reason) == (7, None)


@every_statistic
@LAW
@given(x=levels, y=levels, missing=hnp.arrays(np.bool_, (2, 7)))
def test_missing_numbers_leave_their_model_out(statistic, x, y, missing):
    there = ~missing.any(axis=0)
    found = correlation(np.where(missing[0], np.nan, x), np.where(missing[1], np.nan, y), statistic)
    assert found == correlation(x[there], y[there], statistic)
    assert found.models == there.sum()
    if there.sum() < 2:
        assert found.reason == f"needs at least 2 models, got {there.sum()}"


@every_statistic
def test_a_perfect_order_and_its_reverse(statistic):
    x = np.arange(5.0)
    assert correlation(x, 2 * x + 1, statistic).value == pytest.approx(1, abs=1e-12)
    assert correlation(x, -x, statistic).value == pytest.approx(-1, abs=1e-12)


def test_weighted_tau_by_hand():
    # Ranks from the top: accuracies c > b > a, scores b > c > a. Pairs weigh the sum of 1/(1+rank):
    # by either ranking c and b share ranks 0 and 1, so the swapped pair weighs 1 + 1/2 and the two
    # concordant ones 1 + 1/3 and 1/2 + 1/3: tau = (13/6 - 9/6) / (13/6 + 9/6).
    found = correlation([0.0, 2.0, 1.0], [0.0, 1.0, 2.0], "weighted_tau")
    assert found.value == pytest.approx(4 / 22, abs=1e-12)


def test_rows_are_tasks():
    found = correlations([[1, 2, 3], [1, 1, 1]], [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], "spearman")
    assert found[0].value == pytest.approx(1)
    assert found[1].reason == "constant scores"


def test_tiny_differences_do_not_underflow():
    found = correlation([0.0, 1e-200, 2e-200], [0.1, 0.2, 0.4], "pearson")
    assert found == correlation([0.0, 1.0, 2.0], [0.1, 0.2, 0.4], "pearson")


def test_numbers_too_large_to_add_are_undefined(recwarn):
    found = correlation([1e308, 1.5e308, 1.7e308], [0.1, 0.2, 0.3], "pearson")
    assert found.value is None
    assert found.reason == "pearson overflows"
    assert not recwarn.list


def test_noise_floor_of_the_spec():
    # spec/proxies.md section 7: weighted tau of random scores, standard deviation and 95 percent.
    spec = {5: (0.44, 0.84), 11: (0.28, 0.53), 30: (0.18, 0.34)}
    for floor in noise_floor(list(spec), samples=1500):
        sd, high = spec[floor.models]
        # 1500 draws: sd to 2 percent, the quantile to about 4; the spec prints two digits.
        assert floor.sd == pytest.approx(sd, abs=0.02)
        assert floor.high == pytest.approx(high, abs=0.04)


def test_noise_floor_of_pearson_is_known():
    (floor,) = noise_floor([10], "pearson", samples=4000)
    # Var r = 1 / (n - 1) for independent normal samples.
    assert floor.sd == pytest.approx(1 / 3, rel=0.05)


def test_noise_floor_of_a_size_does_not_depend_on_the_others():
    assert noise_floor([5, 6], samples=50)[1] == noise_floor([6], samples=50)[0]
    assert noise_floor([6], samples=50, seed=1) != noise_floor([6], samples=50)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: correlation([1], [1], "tau"), "statistic must be one of .*, got 'tau'"),
        (lambda: correlation([1, 2], [1]), "must be vectors of one length"),
        (lambda: correlation([1, np.inf], [1, 2]), "must be finite or NaN, got an infinity"),
        (lambda: correlations([1, 2], [1, 2]), r"must be \[task, model\] of one shape"),
        (lambda: noise_floor([1]), "models must be at least 2, got 1"),
        (lambda: noise_floor([5], samples=1), "samples must be at least 2, got 1"),
        (lambda: noise_floor([5], "tau"), "statistic must be one of"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
