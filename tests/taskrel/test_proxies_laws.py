"""Laws every proxy of the table obeys; a new entry is tested by being there."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrel.proxies import PROXIES, Proxy
from taskrel.types import CannotScore, Probe

# Short enough for a law; the protocol's own length is tested in test_proxy_linear.
SETTINGS = {"linear": {"steps": 60, "batch": 32, "repeats": 2}}

LAW = settings(deadline=None, max_examples=12)
every_proxy = pytest.mark.parametrize("proxy", PROXIES.values(), ids=list(PROXIES))


def parts(seed=0, n=48, m=21, d=6, classes=4, dtype=np.float64):
    """Overlapping blobs: no proxy is perfect on them, and no prediction hangs on rounding."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((classes, d))

    def part(size):
        labels = np.concatenate([np.arange(classes), rng.integers(0, classes, size - classes)])
        features = centres[labels] + rng.standard_normal((size, d))
        probs = np.exp(features) / np.exp(features).sum(axis=1, keepdims=True)
        return Probe(features.astype(dtype), labels, probs)

    return part(n), part(m)


def changed(probe, **fields):
    old = {k: getattr(probe, k) for k in ("features", "labels", "source_probs")}
    return Probe(**(old | fields))


def run(proxy, train, val, seed=0):
    return proxy.score(train, val, seed=seed, **SETTINGS.get(proxy.name, {}))


@every_proxy
@LAW
@given(seed=st.integers(0, 10**6), data=st.data())
def test_names_of_classes_do_not_matter(proxy, seed, data):
    train, val = parts(seed)
    names = np.array(data.draw(st.lists(st.integers(-(10**9), 10**9), min_size=4, max_size=4, unique=True)))
    kind = data.draw(st.sampled_from([np.int64, np.str_]))
    renamed = [changed(p, labels=names.astype(kind)[p.labels]) for p in (train, val)]
    assert run(proxy, *renamed).value == pytest.approx(run(proxy, train, val).value, abs=1e-9)


@every_proxy
@LAW
@given(seed=st.integers(0, 10**6))
def test_order_of_the_validation_part_does_not_matter(proxy, seed):
    train, val = parts(seed)
    order = np.random.default_rng(seed).permutation(len(val))
    shuffled = Probe(val.features[order], val.labels[order], val.source_probs[order])
    assert run(proxy, train, shuffled).value == pytest.approx(run(proxy, train, val).value, abs=1e-9)


@every_proxy
def test_inputs_are_never_written(proxy):
    for part in (pair := parts()):
        for array in (part.features, part.labels, part.source_probs):
            array.flags.writeable = False
    kept = [p.features.copy() for p in pair], [p.labels.copy() for p in pair]
    run(proxy, *pair)
    for part, features, labels in zip(pair, *kept, strict=True):
        assert np.array_equal(part.features, features)
        assert np.array_equal(part.labels, labels)


@every_proxy
@LAW
@given(seed=st.integers(0, 10**6))
def test_same_seed_same_score_within_the_range(proxy, seed):
    train, val = parts(seed)
    score = run(proxy, train, val, seed)
    assert score == run(proxy, train, val, seed)
    low, high = proxy.range
    assert all(low <= v <= high for v in (score.value, *score.values))
    assert pickle.loads(pickle.dumps(score)) == score


@every_proxy
@LAW
@given(seed=st.integers(0, 10**6))
def test_single_precision_features_give_the_same_score(proxy, seed):
    train, val = parts(seed)
    single = [changed(p, features=p.features.astype(np.float32)) for p in (train, val)]
    # An accuracy may move by one example whose prediction hangs on the eighth digit.
    assert run(proxy, *single).value == pytest.approx(run(proxy, train, val).value, abs=1e-5 + 1 / len(val))


@every_proxy
def test_more_features_than_examples(proxy):
    assert np.isfinite(run(proxy, *parts(n=12, m=9, d=40)).value)


@every_proxy
@LAW
@given(seed=st.integers(0, 10**6))
def test_dead_features_do_not_matter(proxy, seed):
    train, val = parts(seed)
    dead = [changed(p, features=np.hstack([p.features, np.zeros((len(p), 30))])) for p in (train, val)]
    assert run(proxy, *dead).value == pytest.approx(run(proxy, train, val).value, abs=1e-9)


@every_proxy
def test_features_that_say_nothing_still_score(proxy):
    train, val = parts()
    flat = [changed(p, features=np.zeros_like(p.features)) for p in (train, val)]
    low, high = proxy.range
    assert low <= run(proxy, *flat).value <= high


@every_proxy
def test_one_class_cannot_be_scored(proxy):
    train, val = parts()
    one = changed(train, labels=np.zeros(len(train), dtype=int))
    with pytest.raises(CannotScore, match=f"{proxy.name} needs at least 2 classes among 48"):
        run(proxy, one, val)


@every_proxy
def test_what_a_proxy_needs_it_asks_for(proxy):
    train, val = parts()
    if "val" in proxy.needs:
        with pytest.raises(CannotScore, match=f"{proxy.name} needs a validation part, got none"):
            run(proxy, train, None)
    if "source_probs" in proxy.needs:
        with pytest.raises(CannotScore, match=f"{proxy.name} needs source-head probabilities"):
            run(proxy, changed(train, source_probs=None), val)
    unneeded = {"source_probs": None} if "source_probs" not in proxy.needs else {}
    bare = [changed(p, **unneeded) for p in (train, val)]
    assert run(proxy, *bare) == run(proxy, train, val)


@every_proxy
def test_parts_of_two_models_are_refused(proxy):
    train, val = parts()
    with pytest.raises(ValueError, match="val features must have dimension 6, got 5"):
        run(proxy, train, changed(val, features=val.features[:, :5]))
    with pytest.raises(ValueError, match="val labels must be of the same kind"):
        run(proxy, train, changed(val, labels=val.labels.astype(str)))


@every_proxy
def test_settings_are_named_and_no_other_is_taken(proxy):
    train, val = parts()
    assert set(SETTINGS.get(proxy.name, {})) <= set(proxy.settings())
    with pytest.raises(TypeError, match="no_such_setting"):
        proxy.score(train, val, seed=0, no_such_setting=1)


@every_proxy
def test_table_entries_are_described(proxy):
    assert PROXIES[proxy.name] is proxy
    assert proxy.summary
    assert proxy.citation
    assert proxy.range[0] < proxy.range[1]


def test_table_cannot_be_written():
    with pytest.raises(TypeError):
        PROXIES["mine"] = PROXIES["knn"]


ENTRY = {
    "name": "mine",
    "function": "taskrel.proxies.knn:score",
    "version": 1,
    "needs": frozenset({"features", "labels", "val"}),
    "range": (0.0, 1.0),
    "cost": "product",
    "citation": "me",
    "summary": "mine",
}


def test_a_users_proxy_by_function_or_by_place():
    train, val = parts()
    by_place = Proxy(**ENTRY)
    by_function = Proxy(**(ENTRY | {"function": by_place.resolve()}))
    assert by_place.score(train, val) == by_function.score(train, val)
    assert by_place.settings() == {"k": 1, "metric": "euclidean"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"needs": frozenset({"feature"})}, r"needs must be among .*, got \['feature'\]"),
        ({"version": 0}, "version must be at least 1, got 0"),
        ({"function": "taskrel.proxies.knn"}, "function must be 'module:attribute'"),
    ],
)
def test_entries_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Proxy(**(ENTRY | changes))
