import pickle

import numpy as np
import pytest
import torch

from taskrel.types import Candidate, CannotScore, Pick, Probe, Score


def probe(**changes):
    good = {"features": np.eye(3), "labels": np.array([0, 1, 2])}
    return Probe(**(good | changes))


def test_probe_keeps_the_arrays_it_is_given():
    features, labels = np.eye(3, dtype=np.float32), np.array([7, 2, 7])
    kept = Probe(features, labels)
    assert kept.features is features
    assert kept.labels is labels
    assert (len(kept), kept.dim, kept.classes.tolist()) == (3, 3, [2, 7])


def test_probe_takes_cpu_tensors_without_a_copy():
    features = torch.ones(2, 4)
    kept = Probe(features, torch.tensor([0, 1]))
    features[0, 0] = 5
    assert kept.features[0, 0] == 5


def test_probe_takes_string_labels_and_integer_features():
    kept = Probe(np.array([[1, 2], [3, 4]]), np.array(["cat", "ant"]))
    assert kept.features.dtype == np.float64
    assert kept.classes.tolist() == ["ant", "cat"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.zeros(3)}, r"features must be a non-empty matrix, got shape \(3,\)"),
        ({"features": np.zeros((3, 0))}, "features must be a non-empty matrix"),
        ({"features": np.full((3, 2), np.nan)}, "features must be finite, got 6 NaN"),
        ({"features": np.array([["a"]] * 3)}, "features must be real numbers"),
        ({"labels": np.array([0, 1])}, r"labels must be as many as features \(3\), got 2"),
        ({"labels": np.zeros((3, 1, 1), dtype=int)}, "labels must be a vector"),
        ({"labels": np.array([1j, 2j, 3j])}, "labels must be a vector of integer or string"),
        ({"labels": np.array([["a"], ["b"], ["c"]])}, "labels must be a vector of integer or string"),
        ({"labels": np.array([[0, 1], [2, 0], [0, 0]])}, r"labels of several columns must be 0 or 1"),
        ({"labels": np.array([0.0, np.nan, 2.0])}, "labels must be finite"),
        ({"source_probs": np.ones((3, 1))}, "source_probs must have at least 2 columns"),
        ({"source_probs": np.ones((2, 1))}, r"source_probs must be as many as features"),
        ({"source_probs": np.full((3, 2), 3.0)}, "rows that sum to 1, got a row sum of 6"),
        ({"source_probs": np.array([[2.0, -1.0]] * 3)}, "non-negative rows"),
    ],
)
def test_probe_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        probe(**changes)


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        (np.array([5, 2, 5]), "classes"),
        (np.array(["a", "b", "a"]), "classes"),
        (np.array(["a", "b", "a"], dtype=object), "classes"),
        (np.array([True, False, True]), "classes"),
        (torch.tensor([0, 1, 1]), "classes"),
        (np.array([[0, 1], [1, 1], [0, 0]]), "multilabel"),
        (np.array([0.0, 1.0, 2.0]), "values"),
        (np.zeros((3, 2)), "values"),
    ],
)
def test_what_the_labels_are_is_read_from_their_type(labels, target):
    assert probe(labels=labels).target == target


def test_probe_takes_brain_floats():
    kept = Probe(torch.ones(2, 4, dtype=torch.bfloat16), torch.tensor([0, 1]))
    assert kept.features.dtype == np.float32


def test_an_influence_travels_and_is_a_finite_vector():
    score = Score(0.5, (0.5,), {"k": 1}, [0.5, -0.5])
    again = pickle.loads(pickle.dumps(score))
    assert again == score
    assert again.influence.tolist() == [0.5, -0.5]
    for wrong in ([np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="influence must be a finite vector"):
            Score(0.5, (0.5,), influence=wrong)


def test_probe_takes_half_precision_probabilities():
    rows = np.random.default_rng(0).dirichlet(np.ones(1000), size=3).astype(np.float16)
    assert probe(source_probs=rows).source_probs is rows


def test_score_is_plain_floats_and_survives_pickling():
    score = Score(np.float32(0.5), (np.float64(0.25), 0.75), {"rate": 0.1})
    assert type(score.value) is float
    assert score.values == (0.25, 0.75)
    assert pickle.loads(pickle.dumps(score)) == score
    with pytest.raises(TypeError):
        score.detail["rate"] = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((float("nan"), (0.5,)), "value must be finite, got nan"),
        ((0.5, (float("inf"),)), "values must be finite, got inf"),
        ((0.5, ()), "values must hold at least one repeat"),
        ((0.5, (0.5,), {"x": float("nan")}), "detail must be finite JSON"),
        ((0.5, (0.5,), {"x": {1, 2}}), "detail must be finite JSON"),
    ],
)
def test_score_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Score(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "model must be a non-empty name, got ''"),
        ({"upstream_accuracy": 76.2}, r"upstream_accuracy must lie in \[0, 1\].*got 76.2"),
        ({"parameters": -1}, "parameters must be at least 0, got -1"),
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"upstream_size": -5}, "upstream_size must be at least 0, got -5"),
    ],
)
def test_candidate_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        Candidate(**({"model": "m"} | changes))


def test_pick_refuses_impossible_costs_and_ties():
    with pytest.raises(ValueError, match="cost_seconds must be at least 0, got -1"):
        Pick("m", "because", cost_seconds=-1)
    with pytest.raises(ValueError, match="tied must be at least 1, got 0"):
        Pick("m", "because", tied=0)


def test_cannot_score_is_a_value_error():
    assert issubclass(CannotScore, ValueError)
