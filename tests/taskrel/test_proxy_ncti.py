"""The components of NCTI against scikit-learn's PCA and discriminant analysis."""

import gc
import weakref

import numpy as np
import pytest
from oracles import collapse
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import PROXIES, ncti
from taskrel.rows import rows
from taskrel.types import Probe

SELI, NCC, VC = (PROXIES[f"ncti_{part}"] for part in ("seli", "ncc", "vc"))
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)


def wide(scale):
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 7
    return scale * (rng.standard_normal((7, 100))[labels] + rng.standard_normal((400, 100))), labels


@pytest.mark.parametrize(
    ("data", "keep"),
    [(IRIS, 4), (DIGITS, 61), (wide(1.0), 64), (wide(0.2), 64), (wide(0.05), 64)],
    ids=["iris", "digits", "unshrunk", "shrunk", "nearly all shrunk"],
)
def test_components_are_those_of_scikit_learn(data, keep):
    probe = Probe(*data)
    t, seli, ncc, vc = collapse.components(*data, keep)
    found = SELI.score(probe)
    assert found.detail == {"shrinkage": pytest.approx(t, rel=1e-9), "components": keep}
    # Its unshrunk analysis has no 1e-10 in it: the seventh digit.
    assert found.value == pytest.approx(seli, rel=1e-7)
    assert NCC.score(probe).value == pytest.approx(ncc, rel=1e-7)
    assert VC.score(probe).value == pytest.approx(-vc, rel=1e-7)
    assert VC.score(probe).detail["raw"] == pytest.approx(vc, rel=1e-7)


def test_digits_are_as_the_literature_has_them():
    # ... but for SELI's three null components, which scikit-learn inflates to unit noise: 727.44 with them.
    probe = Probe(*DIGITS)
    assert SELI.score(probe).value == pytest.approx(727.0984, abs=1e-3)
    assert NCC.score(probe).value == pytest.approx(0.9610, abs=5e-5)
    assert VC.score(probe).detail["raw"] == pytest.approx(5.107, abs=5e-4)


@pytest.mark.parametrize(("n", "keep"), [(40, 30), (12, 2), (10, 0)])
def test_fewer_examples_keep_fewer_components(n, keep):
    # As many as can vary within ten classes: n - 10.
    probe = Probe(DIGITS[0][:n], DIGITS[1][:n])
    scores = [proxy.score(probe) for proxy in (SELI, NCC, VC)]
    assert {score.detail["components"] for score in scores} == {keep}
    if not keep:
        assert scores[0].value == 0
        assert scores[1].value == pytest.approx(0.1)
    assert scores[0].value < 1e5
    assert -np.log(n) <= scores[2].value < 0


def test_three_scores_share_one_analysis_which_goes_with_the_probe(monkeypatch):
    calls = []
    analysed = ncti._analysed
    monkeypatch.setattr(ncti, "_analysed", lambda seen: calls.append(1) or analysed(seen))
    probe = Probe(*IRIS)
    together = [proxy.score(probe).value for proxy in (SELI, NCC, VC)]
    assert len(calls) == 1
    assert together == [proxy.score(Probe(*IRIS)).value for proxy in (SELI, NCC, VC)]
    kept = weakref.ref(rows(probe))
    del probe
    gc.collect()
    assert kept() is None


def test_influence():
    probe = Probe(*IRIS)
    assert SELI.score(probe).influence is None
    assert VC.score(probe).influence is None
    found = NCC.score(probe)
    assert found.influence.mean() == pytest.approx(0, abs=1e-12)
    assert (found.value + found.influence).max() <= 1
