"""taskrel.score and taskrel.rank, as somebody without a sweep uses them."""

import json
import pickle

import numpy as np
import pytest
import torch

import taskrel
from taskrel.aggregate import COMBINED
from taskrel.api import CORE
from taskrel.proxies import PROXIES
from taskrel.resampling import multiplicities, replicates
from taskrel.types import CannotScore, Probe


def blobs(n=80, d=10, spread=1.0, seed=0):
    labels = np.arange(n) % 4
    rng = np.random.default_rng(seed)
    return spread * np.random.default_rng(1).standard_normal((4, d))[labels] + rng.standard_normal((n, d)), labels


def test_score_gives_what_the_proxy_gives_with_its_interval():
    features, labels = blobs()
    found = taskrel.score(features, labels, ["logme", "knn_loo"])
    alone = PROXIES["logme"].score(Probe(features, labels))
    assert [row.proxy for row in found] == ["logme", "knn_loo"]
    assert found["logme"].value == alone.value
    drawn = replicates(alone, multiplicities(80))
    assert (found["logme"].low, found["logme"].high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))))
    assert found["logme"].low < found["logme"].value < found["logme"].high


def test_by_default_all_that_the_data_suffices_for():
    features, labels = blobs()
    names = {row.proxy for row in taskrel.score(features, labels)}
    assert names == {
        name for name, proxy in PROXIES.items() if proxy.needs <= {"features", "labels"} and proxy.cost != "training"
    }
    probs = np.full((80, 3), 1 / 3)
    more = {row.proxy for row in taskrel.score(features, labels, val=blobs(seed=5), source_probs=probs)}
    assert more - names == {"knn", "leep", "eep", "nce"}


def test_rank_orders_models_and_says_how_sure():
    strong, labels = blobs(spread=2.0)
    weak, _ = blobs(spread=0.2)
    found = taskrel.rank({"weak": weak, "strong": strong}, labels)
    for name in (*CORE, "rank_mean"):
        assert found.best(name) == "strong"
        first, second = (row for row in found if row.proxy == name)
        assert (first.model, first.rank, second.rank) == ("strong", 1, 2)
        assert first.top > 0.99
        assert first.rank_low == first.rank_high == 1
    assert found["strong", "logme"].value == taskrel.score(strong, labels, ["logme"])["logme"].value


def test_a_tie_is_shared_and_listed_by_name():
    features, labels = blobs()
    found = taskrel.rank({"b": features, "a": features.copy()}, labels, ["logme"])
    assert [(row.model, row.rank, row.top) for row in found] == [("a", 1.5, 0.5), ("b", 1.5, 0.5)]


def test_one_model_that_fails_does_not_stop_the_ranking():
    features, labels = blobs()
    broken = features.copy()
    broken[3, 4] = np.nan
    found = taskrel.rank({"good": features, "broken": broken}, labels, ["logme", "rank_mean", "leep"])
    assert found["good", "logme"].value is not None
    assert "features must be finite, got 1 NaN" in found["broken", "logme"].reason
    assert found["good", "rank_mean"].value is not None
    assert found["broken", "rank_mean"].value is None
    assert found["good", "leep"].reason == "leep needs source-head probabilities, got none"
    assert "no logme score of broken: features must be finite" in str(found)
    with pytest.raises(CannotScore, match="leep has no score of any model"):
        found.best("leep")


def test_models_of_different_dimension_and_tensors():
    features, labels = blobs()
    wide = torch.tensor(np.hstack([features, features**2]), dtype=torch.float32)
    found = taskrel.rank({"narrow": features, "wide": wide}, torch.tensor(labels), ["shrinkage_hscore"])
    assert {row.model for row in found} == {"narrow", "wide"}
    assert found["wide", "shrinkage_hscore"].value > 0


def test_what_weakens_the_evidence_is_noted():
    features, labels = blobs(n=12, d=40)
    features[:, 3] = 7.0
    found = taskrel.score(features, labels, ["hscore"])
    assert found.notes == (
        "12 examples of 40 features: scores without held-out data saturate",
        "1 of 40 features are constant",
    )
    lone = taskrel.rank({"m": np.eye(5)}, np.array([0, 0, 1, 1, 2]), ["logme"])
    assert "m: 1 of 3 classes have a single example" in lone.notes


def test_reads_as_a_table_and_travels():
    strong, labels = blobs(spread=2.0)
    weak, _ = blobs(spread=0.2)
    found = taskrel.rank({"weak": weak, "strong": strong}, labels, ["logme"])
    lines = str(found).splitlines()
    assert lines[0].split() == ["proxy", "model", "score", "95%", "interval", "rank", "first", "in"]
    assert lines[1].split()[:2] == ["logme", "strong"]
    assert json.loads(json.dumps(found.to_dicts()))[0]["model"] == "strong"
    assert pickle.loads(pickle.dumps(found.rows)) == found.rows
    assert len(found[0:1]) == 1
    with pytest.raises(KeyError):
        found["nobody", "logme"]


def test_zoo_relative_scores_need_their_parts_from_every_model():
    features, labels = blobs()
    models = {name: features * scale for name, scale in (("a", 1.0), ("b", 1.5), ("c", 0.5))}
    found = taskrel.rank(models, labels, list(COMBINED))
    for name in COMBINED:
        assert all(found[model, name].value is not None for model in models)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: taskrel.score(np.eye(3), [0, 1, 1], ["logmee"]), "proxies must be among .* got 'logmee'"),
        (lambda: taskrel.score(np.eye(3)), "labels must be given with features"),
        (lambda: taskrel.rank({}, [0, 1]), "models must hold at least one model"),
        (lambda: taskrel.score(np.eye(3), [0, 1]), r"labels must be as many as features \(3\), got 2"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
