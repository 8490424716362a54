"""Laws every proxy of the table obeys; a new entry is tested by being there."""

import inspect
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrel.proxies import PROXIES, Proxy
from taskrel.types import CannotScore, Probe

# Short enough for a law; a proxy's own length is tested in its own file.
SETTINGS = {"linear": {"steps": 60, "batch": 32, "repeats": 2}}
# Where a score may move by one example whose prediction hangs on a late digit, or ends an iteration a step earlier.
ROUGH = {"nleep": 1e-3, "pactran": 1e-6, "logistic": 1e-2, "otce": 1e-6}

LAW = settings(deadline=None, max_examples=8)
every_proxy = pytest.mark.parametrize("proxy", PROXIES.values(), ids=list(PROXIES))


def parts(seed=0, n=48, m=21, d=6, classes=4, dtype=np.float64):
    """Overlapping blobs: no proxy is perfect on them, and no prediction hangs on rounding."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((classes, d))

    def part(size):
        labels = np.concatenate([np.arange(classes), rng.integers(0, classes, size - classes)])
        features = centres[labels] + rng.standard_normal((size, d))
        probs = np.exp(features - features.max(axis=1, keepdims=True))
        return Probe(features.astype(dtype), labels, probs / probs.sum(axis=1, keepdims=True))

    return part(n), part(m)


def reference(probe, seed=99):
    """Another labelled task in the same feature space."""
    rng = np.random.default_rng(seed)
    labels = np.arange(30) % 3
    return Probe(rng.standard_normal((3, probe.dim))[labels] + rng.standard_normal((30, probe.dim)), labels)


def changed(probe, **fields):
    old = {k: getattr(probe, k) for k in ("features", "labels", "source_probs")}
    return Probe(**(old | fields))


def run(proxy, train, val=None, seed=0, other=None):
    options = dict(SETTINGS.get(proxy.name, {}))
    if "reference" in proxy.needs:
        options["reference"] = other or reference(train)
    return proxy.score(train, val, seed=seed, **options)


def scores_or_says_why(proxy, train, val, other=None):
    low, high = proxy.range
    try:
        value, reason = run(proxy, train, val, other=other).value, None
    except CannotScore as fault:
        value, reason = None, str(fault)
    if reason is None:
        assert low <= value <= high
    else:
        assert reason.startswith(proxy.name)
        assert len(reason.splitlines()) == 1


def near(proxy, value, tolerance=1e-9):
    limit = max(tolerance, ROUGH.get(proxy.name, 0))
    return pytest.approx(value, rel=limit, abs=limit)


def mapped(probe, function):
    return changed(probe, features=function(np.asarray(probe.features, dtype=np.float64)))


@every_proxy
@LAW
@given(seed=st.integers(0, 10**6), data=st.data())
def test_names_of_classes_do_not_matter(proxy, seed, data):
    train, val = parts(seed)
    # Gaps, negative ids and strings: any names, in any order.
    names = np.array(data.draw(st.lists(st.integers(-(10**9), 10**9), min_size=4, max_size=4, unique=True)))
    kind = data.draw(st.sampled_from([np.int64, np.str_]))
    renamed = [changed(p, labels=names.astype(kind)[p.labels]) for p in (train, val)]
    assert run(proxy, *renamed).value == near(proxy, run(proxy, train, val).value)


@every_proxy
@LAW
@given(seed=st.integers(0, 10**6))
def test_order_of_the_examples_does_not_matter(proxy, seed):
    train, val = parts(seed)
    rng = np.random.default_rng(seed)

    def shuffled(part):
        order = rng.permutation(len(part))
        return Probe(part.features[order], part.labels[order], part.source_probs[order])

    # Training draws its batches by place and so keeps its own order.
    first = train if proxy.cost == "training" else shuffled(train)
    assert run(proxy, first, shuffled(val)).value == near(proxy, run(proxy, train, val).value)


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
    again = run(proxy, *parts(seed), seed)  # from new probes: nothing kept between them
    assert score == again
    low, high = proxy.range
    assert all(low - 1e-12 <= v <= high + 1e-12 for v in (score.value, *score.values))
    assert pickle.loads(pickle.dumps(score)) == score
    if score.influence is None:
        assert again.influence is None
    else:
        assert np.array_equal(score.influence, again.influence)
        assert len(score.influence) in (len(train), len(val))
        assert abs(score.influence.mean()) < 1e-6 * (1 + np.abs(score.influence).max())


@every_proxy
def test_what_was_asked_before_does_not_matter(proxy):
    train, val = parts()
    alone = run(proxy, *parts())
    for other in PROXIES.values():
        run(other, train, val)
    assert run(proxy, train, val).value == near(proxy, alone.value, 1e-12)


@every_proxy
@LAW
@given(seed=st.integers(0, 10**6))
def test_single_precision_features_give_the_same_score(proxy, seed):
    train, val = parts(seed)
    single = [changed(p, features=p.features.astype(np.float32)) for p in (train, val)]
    tensors = [changed(p, features=torch.tensor(p.features)) for p in single]
    found = run(proxy, *single).value
    # An accuracy may move by one example whose prediction hangs on the eighth digit.
    assert found == near(proxy, run(proxy, train, val).value, 1e-5 + 1 / len(val) * (proxy.range == (0, 1)))
    assert run(proxy, *tensors).value == found


@every_proxy
@pytest.mark.parametrize(
    ("n", "m", "d"), [(12, 9, 40), (24, 9, 24), (25, 9, 24), (23, 9, 24)], ids=["n<d", "n=d", "n=d+1", "n=d-1"]
)
def test_few_examples_of_many_features(proxy, n, m, d):
    found = run(proxy, *parts(n=n, m=m, d=d))
    low, high = proxy.range
    assert low <= found.value <= high


@every_proxy
@LAW
@given(seed=st.integers(0, 10**6))
def test_dead_features_do_not_matter(proxy, seed):
    if proxy.name in DEAD_FEATURES_COUNT:
        pytest.skip(DEAD_FEATURES_COUNT[proxy.name])
    train, val = parts(seed)
    other = reference(train)

    def dead(part):
        return mapped(part, lambda x: np.hstack([x, np.zeros((len(x), 30))]))

    assert run(proxy, dead(train), dead(val), other=dead(other)).value == near(
        proxy, run(proxy, train, val, other=other).value
    )


DEAD_FEATURES_COUNT = {
    "shrinkage_hscore": "the shrinkage target is the mean variance over all d features",
    "lda": "the shrinkage target is the mean variance over all d features",
    "sfda": "the shrinkage target is the mean variance over all d features",
    "energy": "a zero feature adds exp(0) to every sum",
    "pactran": "the bound counts all D weights",
    "parc": "distances correlate rows over all features",
}


@every_proxy
def test_duplicated_features_and_examples_still_score(proxy):
    train, val = parts()
    wide = [mapped(p, lambda x: np.hstack([x, x, x[:, :1]])) for p in (train, val)]
    twice = Probe(*(np.concatenate([a, a]) for a in (train.features, train.labels, train.source_probs)))
    low, high = proxy.range
    for pair in (wide, (twice, val)):
        assert low <= run(proxy, *pair).value <= high


@every_proxy
def test_features_that_say_nothing_still_score_or_say_why(proxy):
    train, val = parts()
    for constant in (0.0, 3.5):
        flat = [changed(p, features=np.full_like(p.features, constant)) for p in (train, val)]
        scores_or_says_why(proxy, *flat, other=mapped(reference(train), lambda x: 0 * x))


@every_proxy
def test_one_example_per_class_scores_or_says_why(proxy):
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(5), size=6)
    lone = Probe(rng.standard_normal((6, 9)), np.arange(6), probs)
    scores_or_says_why(proxy, lone, parts(d=9)[1])


@every_proxy
def test_two_classes_of_uneven_size(proxy):
    train, val = parts(classes=2, n=60)
    few = np.concatenate([np.flatnonzero(train.labels == 0)[:2], np.flatnonzero(train.labels == 1)])
    uneven = Probe(train.features[few], train.labels[few], train.source_probs[few])
    low, high = proxy.range
    assert low <= run(proxy, uneven, val).value <= high


def orthogonal(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


CHANGES = {
    "shift": lambda x, seed: x + np.random.default_rng(seed).normal(0, 5, x.shape[1]),
    "scale": lambda x, seed: x * float(np.random.default_rng(seed).choice([0.5, 4.0])),
    "rotation": lambda x, seed: x @ orthogonal(x.shape[1], seed),
    "linear": lambda x, seed: (
        x @ orthogonal(x.shape[1], seed) @ np.diag(np.linspace(0.3, 2, x.shape[1])) @ orthogonal(x.shape[1], seed + 1)
    ),
}


@every_proxy
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("shape", [(48, 6), (14, 25)], ids=["n>d", "n<d"])
def test_invariances_are_those_of_the_table(proxy, change, shape):
    moved, kept = [], []
    for seed in range(4):
        train, val = parts(seed, n=shape[0], d=shape[1])
        other = reference(train)
        pair = [mapped(p, lambda x, seed=seed: CHANGES[change](x, seed)) for p in (train, val)]
        turned = mapped(other, lambda x, seed=seed: CHANGES[change](x, seed))
        moved.append(run(proxy, *pair, other=turned).value)
        kept.append(run(proxy, train, val, other=other).value)
    if change in proxy.invariant_to:
        for one, two in zip(moved, kept, strict=True):
            assert one == near(proxy, two, 1e-6 if change == "linear" else 1e-7)
    elif shape == (48, 6) and any(abs(48 * value - round(48 * value)) > 1e-6 for value in kept):
        # An accuracy may well be the same; anything else is not.
        assert any(abs(one - two) > 1e-9 for one, two in zip(moved, kept, strict=True)), (
            "an invariance not in the table"
        )


@every_proxy
def test_one_class_cannot_be_scored(proxy):
    train, val = parts()
    one = changed(train, labels=np.zeros(len(train), dtype=int))
    if "labels" not in proxy.needs:
        assert math.isfinite(run(proxy, one, val).value)
        return
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
    if "reference" in proxy.needs:
        with pytest.raises(CannotScore, match=f"{proxy.name} needs a reference task, got none"):
            proxy.score(train, val, seed=0)
    unneeded = {"source_probs": None} if "source_probs" not in proxy.needs else {}
    bare = [changed(p, **unneeded) for p in (train, val)]
    assert run(proxy, *bare) == run(proxy, train, val)


@every_proxy
def test_labels_of_a_kind_it_is_not_defined_for_are_refused(proxy):
    train, val = parts()
    rng = np.random.default_rng(0)
    kinds = {"values": rng.standard_normal, "multilabel": lambda n: rng.integers(0, 2, (n, 3))}
    for kind, draw in kinds.items():
        pair = [changed(p, labels=draw(len(p))) for p in (train, val)]
        if kind in proxy.targets:
            low, high = proxy.range
            assert low <= run(proxy, *pair).value <= high
        else:
            with pytest.raises(CannotScore, match=f"{proxy.name} needs .* as labels, got"):
                run(proxy, *pair)


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
    given = {"reference": reference(train)} if "reference" in proxy.needs else {}
    with pytest.raises(TypeError, match="no_such_setting"):
        proxy.score(train, val, seed=0, no_such_setting=1, **given)


@every_proxy
def test_table_entries_are_described(proxy):
    assert PROXIES[proxy.name] is proxy
    assert proxy.summary
    assert proxy.citation
    assert proxy.range[0] < proxy.range[1]
    doc = inspect.getdoc(proxy.resolve())
    assert all(part in doc for part in ("Args:", "Returns:", "Source:"))


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
    assert by_place.settings() == {"k": 1, "metric": "euclidean", "ties": "nearest"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"needs": frozenset({"feature"})}, r"needs must be among .*, got \['feature'\]"),
        ({"targets": frozenset({"class"})}, r"targets must be among .*, got \['class'\]"),
        ({"invariant_to": frozenset({"noise"})}, r"invariant_to must be among .*, got \['noise'\]"),
        ({"version": 0}, "version must be at least 1, got 0"),
        ({"function": "taskrel.proxies.knn"}, "function must be 'module:attribute'"),
        ({"sums": "taskrel.proxies.knn"}, "function must be 'module:attribute'"),
    ],
)
def test_entries_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Proxy(**(ENTRY | changes))
