"""Every golden value of spec/proxies_golden.csv that a proxy of the table has, to the tolerances of its section 10.

One row of the file has no counterpart: spherical GBC of d40 with a 40th principal direction in which nothing varies.
For digits that PCA keeps all 64 directions, and the value is that of the features as they are; for iris likewise.
"""

from functools import cache

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import PROXIES
from taskrel.types import Probe

# proxy, settings, data, where in the score, golden value
GOLDEN = [
    ("logme", {"eps": 1e-05}, "iris", "value", -0.16006024343622471),
    ("logme", {"eps": 1e-05}, "digits", "value", 0.2702774597926575),
    ("logme", {"eps": 1e-05}, "d40", "value", -0.013107687595899814),
    ("logme", {"eps": 0.0}, "iris", "value", -0.16006024341738265),
    ("logme", {"eps": 0.0}, "digits", "value", 0.27027762737695527),
    ("logme", {"eps": 0.0}, "d40", "value", -0.013088140390084064),
    ("hscore", {}, "iris", "value", 1.1918988250414675),
    ("hscore", {}, "digits", "value", 5.917909336695511),
    ("hscore", {}, "d40", "value", 9.000000000000002),
    ("shrinkage_hscore", {}, "iris", "value", 1.177842499331261),
    ("shrinkage_hscore", {}, "digits", "value", 5.851432997953623),
    ("shrinkage_hscore", {}, "d40", "value", 7.188982759992691),
    ("shrinkage_hscore", {}, "iris", "shrinkage", 0.007578801454078648),
    ("shrinkage_hscore", {}, "digits", "shrinkage", 0.008928469808825616),
    ("shrinkage_hscore", {}, "d40", "shrinkage", 0.2646669550719037),
    ("lda", {"shrinkage": 0.1, "held_out": False, "measure": "probability"}, "iris", "value", 0.9701776696916761),
    ("lda", {"shrinkage": 0.1, "held_out": False, "measure": "log_probability"}, "iris", "value", -0.04449488635983315),
    ("lda", {"shrinkage": 0.1, "held_out": False, "measure": "accuracy"}, "iris", "value", 0.98),
    ("lda", {"shrinkage": 0.1, "held_out": False, "measure": "probability"}, "digits", "value", 0.9594425022099811),
    (
        "lda",
        {"shrinkage": 0.1, "held_out": False, "measure": "log_probability"},
        "digits",
        "value",
        -0.1537314555354258,
    ),
    ("lda", {"shrinkage": 0.1, "held_out": False, "measure": "accuracy"}, "digits", "value", 0.9638286032276016),
    ("lda", {"shrinkage": 0.1, "held_out": False, "measure": "probability"}, "d40", "value", 1.0),
    ("lda", {"shrinkage": 0.1, "held_out": False, "measure": "log_probability"}, "d40", "value", 0.0),
    ("lda", {"shrinkage": 0.1, "held_out": False, "measure": "accuracy"}, "d40", "value", 1.0),
    ("sfda", {"stages": 1}, "iris", "value", 0.9696778322189622),
    ("sfda", {"stages": 1}, "iris", "shrinkage", 0.11378176572980601),
    ("sfda", {"stages": 1}, "digits", "value", 0.9610330273081696),
    ("sfda", {"stages": 1}, "digits", "shrinkage", 1e-10),
    ("sfda", {"stages": 1}, "d40", "value", 1.0),
    ("sfda", {"stages": 1}, "d40", "shrinkage", 1e-10),
    ("sfda", {"softmax_twice": True}, "iris", "value", 0.8764934341266528),
    ("sfda", {"softmax_twice": True}, "digits", "value", 0.8153094595671404),
    ("sfda", {"softmax_twice": True}, "d40", "value", 1.0),
    ("sfda", {"softmax_twice": False}, "iris", "value", 0.9464158818785207),
    ("sfda", {"softmax_twice": False}, "digits", "value", 0.9533984081758786),
    ("sfda", {"softmax_twice": False}, "d40", "value", 1.0),
    ("ncc", {}, "iris", "value", 0.8173113443785147),
    ("ncc", {}, "digits", "value", 0.9049307469633958),
    ("ncc", {}, "d40", "value", 0.975),
    ("knn_loo", {"k": 1, "ties": "label", "metric": "euclidean"}, "iris", "value", 0.96),
    ("knn_loo", {"k": 3, "ties": "label", "metric": "euclidean"}, "iris", "value", 0.96),
    ("knn_loo", {"k": 5, "ties": "label", "metric": "euclidean"}, "iris", "value", 0.9666666666666667),
    ("knn_loo", {"k": 1, "ties": "label", "metric": "euclidean"}, "digits", "value", 0.988313856427379),
    ("knn_loo", {"k": 3, "ties": "label", "metric": "euclidean"}, "digits", "value", 0.9888703394546466),
    ("knn_loo", {"k": 5, "ties": "label", "metric": "euclidean"}, "digits", "value", 0.9877573734001113),
    ("knn_loo", {"k": 1, "ties": "label", "metric": "euclidean"}, "d40", "value", 0.875),
    ("knn_loo", {"k": 3, "ties": "label", "metric": "euclidean"}, "d40", "value", 0.775),
    ("knn_loo", {"k": 5, "ties": "label", "metric": "euclidean"}, "d40", "value", 0.65),
    ("knn_loo", {"k": 1, "ties": "label", "metric": "cosine"}, "iris", "value", 0.96),
    ("knn_loo", {"k": 3, "ties": "label", "metric": "cosine"}, "iris", "value", 0.98),
    ("knn_loo", {"k": 5, "ties": "label", "metric": "cosine"}, "iris", "value", 0.9666666666666667),
    ("knn_loo", {"k": 1, "ties": "label", "metric": "cosine"}, "digits", "value", 0.9888703394546466),
    ("knn_loo", {"k": 3, "ties": "label", "metric": "cosine"}, "digits", "value", 0.986644407345576),
    ("knn_loo", {"k": 5, "ties": "label", "metric": "cosine"}, "digits", "value", 0.9877573734001113),
    ("knn_loo", {"k": 1, "ties": "label", "metric": "cosine"}, "d40", "value", 0.875),
    ("knn_loo", {"k": 3, "ties": "label", "metric": "cosine"}, "d40", "value", 0.8),
    ("knn_loo", {"k": 5, "ties": "label", "metric": "cosine"}, "d40", "value", 0.675),
    ("ridge", {"penalty": 1.0}, "iris", "value", 0.8266666666666667),
    ("ridge", {"penalty": 1.0}, "iris", "mse", 0.09538956810428476),
    ("ridge", {"penalty": 1.0}, "digits", "value", 0.9360044518642181),
    ("ridge", {"penalty": 1.0}, "digits", "mse", 0.03323491572314476),
    ("ridge", {"penalty": 1.0}, "d40", "value", 0.8),
    ("ridge", {"penalty": 1.0}, "d40", "mse", 0.09203477164141016),
    ("transrate", {"eps": 0.0001, "weighting": "mean"}, "iris", "value", 0.5894054063746719),
    ("transrate", {"eps": 0.0001, "weighting": "prior"}, "iris", "value", 0.5894054063746719),
    ("transrate", {"eps": 0.0001, "weighting": "mean"}, "digits", "value", 50.2793122613603),
    ("transrate", {"eps": 0.0001, "weighting": "prior"}, "digits", "value", 50.28643051123208),
    ("transrate", {"eps": 0.0001, "weighting": "mean"}, "d40", "value", 185.8956603129451),
    ("transrate", {"eps": 0.0001, "weighting": "prior"}, "d40", "value", 183.7017845978025),
    ("gbc", {"covariance": "spherical", "directions": 64}, "iris", "value", -0.33008822262276544),
    ("gbc", {"covariance": "spherical", "directions": 64}, "digits", "value", -0.058633992839373775),
    ("gbc", {"covariance": "spherical", "directions": 64}, "d40", "value", -0.0005177793133892064),
    ("gbc", {"covariance": "spherical", "directions": None}, "iris", "value", -0.33008822262276544),
    ("gbc", {"covariance": "spherical", "directions": None}, "digits", "value", -0.04562578587577862),
    ("gbc", {"covariance": "diagonal", "directions": 64}, "iris", "value", -0.7724889104027249),
    ("gbc", {"covariance": "diagonal", "directions": 64}, "digits", "value", -0.315889278580186),
    ("gbc", {"covariance": "diagonal", "directions": 64}, "d40", "value", -0.004566842331980172),
    ("gbc", {"covariance": "diagonal", "directions": None}, "iris", "value", -0.23068557865491535),
    ("gbc", {"covariance": "diagonal", "directions": None}, "digits", "value", -0.00012025661695114659),
    ("gbc", {"covariance": "diagonal", "directions": None}, "d40", "value", -2.8231506795415103e-18),
    ("lfc", {}, "iris", "value", 0.16510537462617975),
    ("lfc", {}, "digits", "value", 0.31204574456462675),
    ("lfc", {}, "d40", "value", 0.471747103440176),
    ("parc", {}, "iris", "value", 58.67978403710334),
    ("parc", {"limit": 1797}, "digits", "value", 39.33020318216061),
    ("parc", {}, "d40", "value", 40.459283647098154),
    ("leep", {}, "iris", "value", -0.817141465831769),
    ("eep", {}, "iris", "value", 0.45085782690013737),
    ("leep", {}, "digits", "value", -2.01098109976228),
    ("eep", {}, "digits", "value", 0.135772598832341),
    ("leep", {}, "d40", "value", -1.8878754159024265),
    ("eep", {}, "d40", "value", 0.1565625678734972),
    ("nce", {}, "iris", "value", -0.42633004340056596),
    ("nce", {}, "digits", "value", -1.7966511530241984),
    ("nce", {}, "d40", "value", -1.0619744779427194),
    ("logme", {"eps": 1e-05}, "iris regression", "value", 0.15982655145660676),
    ("parc", {}, "digits 300", "value", 43.14535993735882),
    ("gbc", {"covariance": "spherical", "directions": None}, "digits", "value", -0.045625785875778646),
    ("gbc", {"covariance": "spherical", "directions": None}, "d40", "value", -1.124883534264487e-06),
]


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@cache
def data(name):
    if name.startswith("iris"):
        features, labels = load_iris(return_X_y=True)
        if name == "iris regression":
            return Probe(features[:, :3], features[:, 3])
        return Probe(features, labels, softmax((features - features.mean(axis=0)) / features.std(axis=0)))
    features, labels = load_digits(return_X_y=True)
    keep = slice({"digits": None, "digits 300": 300, "d40": 40}[name])
    return Probe(features[keep], labels[keep], softmax(features[keep, 10:30] / 4))


def near(proxy, settings, where, value):
    if proxy == "knn_loo" or settings.get("measure") == "accuracy" or (proxy, where) == ("ridge", "value"):
        return pytest.approx(value, rel=1e-15)  # counts of examples
    if proxy == "parc":
        return pytest.approx(value, rel=1e-7)
    if abs(value) < 1e-10:
        return pytest.approx(value, rel=1e-4, abs=0 if value else 1e-12)
    return pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(("proxy", "settings", "name", "where", "value"), GOLDEN)
def test_golden(proxy, settings, name, where, value):
    score = PROXIES[proxy].score(data(name), **settings)
    found = score.value if where == "value" else score.detail[where]
    assert found == near(proxy, settings, where, value)
