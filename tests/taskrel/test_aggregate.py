"""Combined scores by hand on three and four models."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from taskrel.aggregate import COMBINED, DIVERSE, combine, rank_mean
from taskrel.proxies import PROXIES

LAW = settings(deadline=None, max_examples=50)
WEIGHTS = {"ncti": {"ncti_ncc": 1, "ncti_seli": 1, "ncti_vc": 1}, "etran": {"energy": 0.15, "ncc": 0.85}}


def alike(name, column):
    return dict.fromkeys(COMBINED[name].parts, column)


def test_table():
    for name, entry in COMBINED.items():
        assert entry.name == name not in PROXIES
        assert set(entry.parts) <= set(PROXIES)
        assert entry.summary
        assert entry.citation
    assert COMBINED["rank_mean"].parts == DIVERSE
    with pytest.raises(TypeError):
        COMBINED["mine"] = COMBINED["ncti"]


def test_ncti_by_hand():
    columns = {
        "ncti_ncc": [0.2, 0.6, 1.0],  # 0, 1/2, 1
        "ncti_seli": [300.0, 100.0, 150.0],  # 1, 0, 1/4
        "ncti_vc": [-5.0, -1.0, -3.0],  # 0, 1, 1/2
    }
    assert combine("ncti", columns) == pytest.approx([1, 1.5, 1.75], rel=1e-14)


def test_etran_by_hand():
    columns = {"energy": [10.0, 20.0, 12.0], "ncc": [0.5, 0.4, 0.9]}
    assert combine("etran", columns) == pytest.approx([0.85 * 0.2, 0.15, 0.15 * 0.2 + 0.85], rel=1e-14)


def test_rank_mean_by_hand():
    # Ranks 1 2 3 4; 4 3 2 1; 1.5 1.5 3 4.
    columns = {"a": [0.9, 0.8, 0.7, 0.6], "b": [-4.0, -3.0, -2.0, -1.0], "c": [1.0, 1.0, 0.0, -1e9]}
    assert rank_mean(columns) == pytest.approx([-6.5 / 3, -6.5 / 3, -8 / 3, -3], rel=1e-14)


def test_rank_mean_reads_its_five_parts_and_nothing_else():
    columns = alike("rank_mean", [1.0, 2.0, 3.0]) | {"leep": [9.0, 0.0, 0.0], "knn": [None, None, None]}
    assert combine("rank_mean", columns) == [-3, -2, -1]
    assert combine("rank_mean", columns | {"lda": [3.0, 2.0, 1.0]}) == pytest.approx([-2.6, -2, -1.4], rel=1e-14)


@pytest.mark.parametrize("ties", [[1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 1.0, 2.0], [0.0, -0.0, 0.0, 1e-300]])
def test_equal_scores_share_the_mean_of_their_ranks(ties):
    assert rank_mean({"a": ties}) == pytest.approx((-rankdata([-t for t in ties])).tolist(), rel=1e-15)


@pytest.mark.parametrize("name", COMBINED)
def test_models_without_all_parts_are_not_in_the_zoo(name):
    rng = np.random.default_rng(0)
    table = {part: rng.standard_normal(4).tolist() for part in COMBINED[name].parts}
    first = COMBINED[name].parts[0]
    gap = table | {first: [*table[first][:2], None, table[first][3]]}
    without = {part: [column[i] for i in (0, 1, 3)] for part, column in table.items()}
    found = combine(name, gap)
    assert found[2] is None
    assert [found[i] for i in (0, 1, 3)] == combine(name, without)
    assert combine(name, table | {first: [None] * 4}) == [None] * 4
    assert combine(name, alike(name, [])) == []


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_constant_column_adds_nothing_to_a_scaled_sum(name):
    for part, weight in WEIGHTS[name].items():
        columns = alike(name, [1.0, 2.0, 3.0])
        share = sum(WEIGHTS[name].values()) - weight
        assert combine(name, columns | {part: [7.0, 7.0, 7.0]}) == pytest.approx([0, share / 2, share], abs=1e-14)
    assert combine(name, alike(name, [5.0])) == [0]
    assert combine("rank_mean", alike("rank_mean", [5.0])) == [-1]


def test_a_constant_column_moves_every_mean_rank_alike():
    columns = {"a": [3.0, 1.0, 2.0], "b": [0.1, 0.2, 0.3]}
    with_constant = rank_mean(columns | {"c": [4.0, 4.0, 4.0]})
    assert [3 * v + 2 for v in with_constant] == pytest.approx([2 * v for v in rank_mean(columns)], rel=1e-14)


@LAW
@given(seed=st.integers(0, 10**6), models=st.integers(2, 8))
def test_rank_mean_sees_the_order_only(seed, models):
    rng = np.random.default_rng(seed)
    table = {part: rng.integers(-4, 5, models) / 2 for part in DIVERSE}
    maps = [lambda x: x**3, np.exp, np.arctan, lambda x: 1e6 * x - 7, lambda x: x]
    mapped = {part: of(column).tolist() for (part, column), of in zip(table.items(), maps, strict=True)}
    found = combine("rank_mean", {part: column.tolist() for part, column in table.items()})
    assert combine("rank_mean", mapped) == found
    assert found == pytest.approx(np.mean([-rankdata(-column) for column in table.values()], axis=0).tolist())
    assert all(-models <= value <= -1 for value in found)


@LAW
@given(seed=st.integers(0, 10**6), name=st.sampled_from(sorted(WEIGHTS)))
def test_scaled_sums_do_not_know_units(seed, name):
    rng = np.random.default_rng(seed)
    table = {part: rng.standard_normal(5) for part in COMBINED[name].parts}
    scaled = {part: (column * 10 ** rng.uniform(-3, 3) + rng.normal()).tolist() for part, column in table.items()}
    found = combine(name, {part: column.tolist() for part, column in table.items()})
    assert combine(name, scaled) == pytest.approx(found, abs=1e-9)
    assert all(-1e-12 <= value <= sum(WEIGHTS[name].values()) + 1e-12 for value in found)


@pytest.mark.parametrize("name", COMBINED)
def test_the_order_of_the_models_does_not_matter(name):
    rng = np.random.default_rng(1)
    table = {part: rng.standard_normal(4).tolist() for part in COMBINED[name].parts}
    back = combine(name, {part: column[::-1] for part, column in table.items()})
    assert back[::-1] == pytest.approx(combine(name, table), rel=1e-14)


def test_numbers_near_the_end_of_double_precision():
    huge = 1.7e308
    assert combine("etran", alike("etran", [-huge, 0.0, huge])) == pytest.approx([0, 0.5, 1], rel=1e-14)
    tiny = 5e-324
    for column in ([0.0, tiny], [0.0, tiny, 2 * tiny]):
        assert all(0 <= value <= 1 for value in combine("etran", alike("etran", column)))


def test_refusals():
    with pytest.raises(ValueError, match="name must be one of ncti, etran, rank_mean, got 'mean'"):
        combine("mean", {})
    with pytest.raises(ValueError, match="etran needs the scores of energy, ncc, got none of ncc"):
        combine("etran", {"energy": [1.0]})
    with pytest.raises(ValueError, match="columns must hold at least one proxy, got none"):
        rank_mean({})
    with pytest.raises(ValueError, match=r"columns must be of one length, .*, got \{'a': 1, 'b': 2\}"):
        rank_mean({"a": [1.0], "b": [1.0, 2.0]})
    for wrong in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="columns must be finite, with None where a score is missing"):
            rank_mean({"a": [1.0, wrong]})
        with pytest.raises(ValueError, match="columns must be finite"):
            combine("etran", {"energy": [1.0, 2.0], "ncc": [wrong, 0.5]})
