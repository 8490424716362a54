"""Conformance of every strategy of the table, then each ranking by hand-worked pools."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrel.strategies import STRATEGIES, TaskView, hybrid_builder, proxy_builder
from taskrel.types import Candidate

LAW = settings(deadline=None, max_examples=40)
every_strategy = pytest.mark.parametrize("build", STRATEGIES.values(), ids=list(STRATEGIES))

maybe = st.none() | st.sampled_from([0.0, 0.5, 0.745, 0.7455, 0.75, 1.0])
counts = st.none() | st.integers(0, 3)


@st.composite
def views(draw):
    names = draw(st.lists(st.text("abcxyz/-", min_size=1, max_size=3), min_size=1, unique=True))
    candidates = tuple(
        Candidate(
            name,
            parameters=draw(counts),
            upstream_accuracy=draw(maybe),
            upstream_size=draw(counts),
        )
        for name in names
    )

    def column():
        known = draw(st.lists(st.sampled_from(names), unique=True))
        return {name: draw(maybe) for name in known}

    proxies = ["linear", "knn"]
    return TaskView(
        task=draw(st.sampled_from(["digits", "birds"])),
        candidates=candidates,
        scores={proxy: column() for proxy in proxies},
        score_seconds={proxy: column() for proxy in proxies},
        accuracies=column(),
    )


def drain(strategy, steps):
    asked = [strategy.ask(n) for n in steps]
    return asked, [pick for picks in asked for pick in picks]


@every_strategy
@LAW
@given(view=views(), seed=st.integers(0, 2**32), steps=st.lists(st.integers(0, 4), max_size=8))
def test_conformance(build, view, seed, steps):
    before = copy.deepcopy(view)
    pool = {c.model for c in view.candidates}
    asked, picks = drain(build(view, seed=seed), steps)
    models = [pick.model for pick in picks]
    assert set(models) <= pool, "stays in the pool"
    assert len(set(models)) == len(models), "never repeats"
    left = len(pool)
    for n, got in zip(steps, asked, strict=True):
        assert len(got) == min(n, left), "honours n, and returns what is left"
        left -= len(got)
    assert drain(build(view, seed=seed), steps)[1] == picks, "same seed, same asks"
    assert all(pick.reason and 1 <= pick.tied <= len(pool) for pick in picks)
    assert view == before, "input not written"


@every_strategy
@LAW
@given(view=views(), data=st.data())
def test_the_order_of_the_pool_and_of_asking_does_not_matter(build, view, data):
    shuffled = data.draw(st.permutations(view.candidates))
    other = TaskView(view.task, tuple(shuffled), view.scores, view.score_seconds, view.accuracies)
    at_once = build(view, seed=1).ask(len(shuffled))
    strategy = build(other, seed=1)
    one_by_one = []
    while picks := strategy.ask(1):
        one_by_one += picks
        strategy.tell({picks[0].model: 0.5})
    assert one_by_one == at_once
    assert strategy.ask(5) == []


@every_strategy
def test_told_nonsense_is_refused(build):
    strategy = build(view_of(a=0.5))
    with pytest.raises(ValueError, match="observations must be of models in the pool, got 'z'"):
        strategy.tell({"z": 0.5})
    with pytest.raises(ValueError, match=r"accuracy must lie in \[0, 1\], got 73.0 for 'a'"):
        strategy.tell({"a": 73.0})
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        strategy.ask(-1)


@every_strategy
def test_a_builder_says_what_it_needs(build):
    assert STRATEGIES[build.name] is build
    assert build.summary
    bare = TaskView("t", (Candidate("a"),))
    for proxy in build.proxies:
        with pytest.raises(ValueError, match=f"scores must hold '{proxy}' for strategy"):
            build(bare)
    if build.needs_accuracies:
        with pytest.raises(ValueError, match="accuracies must be given for strategy 'oracle'"):
            build(bare)
    if not build.proxies and not build.needs_accuracies:
        assert [pick.model for pick in build(bare).ask(3)] == ["a"]
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        build(bare, seed=-1)


def test_table():
    assert list(STRATEGIES) == [
        "agnostic",
        "linear",
        "knn",
        "hybrid_linear",
        "hybrid_knn",
        "oracle",
        "random",
    ]
    with pytest.raises(TypeError):
        STRATEGIES["mine"] = STRATEGIES["random"]


def view_of(**scores):
    """A pool whose models are the keywords, scored by both proxies and rated upstream alike."""
    return TaskView(
        task="t",
        candidates=tuple(Candidate(m, upstream_accuracy=0.5) for m in scores),
        scores={"linear": scores, "knn": scores},
        score_seconds={"linear": {m: 2.0 for m in scores if m != "a"}},
        accuracies=scores,
    )


def order(name, view, **arguments):
    picks = STRATEGIES[name](view, **arguments).ask(len(view.candidates))
    return [pick.model for pick in picks]


def test_agnostic_order_of_evidence():
    pool = (
        Candidate("unknown_big", parameters=9),
        Candidate("unknown", parameters=0),
        Candidate("unknown_params"),
        Candidate("small_data", upstream_size=10, parameters=99),
        Candidate("large_data", upstream_size=300, parameters=1),
        Candidate("large_data_big", upstream_size=300, parameters=2),
        Candidate("weak", upstream_accuracy=0.1, upstream_size=1),
        Candidate("strong", upstream_accuracy=0.829),
        Candidate("near", upstream_accuracy=0.828, parameters=5),
        Candidate("next", upstream_accuracy=0.8275, parameters=500),
    )
    picks = STRATEGIES["agnostic"](TaskView("t", pool)).ask(10)
    assert [(pick.model, pick.reason) for pick in picks] == [
        ("near", "agnostic #1: upstream accuracy 0.828, as good as 0.829"),
        ("strong", "agnostic #2: upstream accuracy 0.829"),
        ("next", "agnostic #3: upstream accuracy 0.828"),
        ("weak", "agnostic #4: upstream accuracy 0.100"),
        ("large_data_big", "agnostic #5: no upstream accuracy, 300 upstream examples"),
        ("large_data", "agnostic #6: no upstream accuracy, 300 upstream examples"),
        ("small_data", "agnostic #7: no upstream accuracy, 10 upstream examples"),
        ("unknown_big", "agnostic #8: upstream accuracy and data unknown"),
        ("unknown", "agnostic #9: upstream accuracy and data unknown"),
        ("unknown_params", "agnostic #10: upstream accuracy and data unknown"),
    ]
    assert {pick.tied for pick in picks} == {1}
    assert {pick.cost_seconds for pick in picks} == {0.0}


def test_agnostic_ties_left_to_the_name_are_said():
    pool = tuple(Candidate(m, upstream_accuracy=0.7, parameters=3) for m in "cab")
    picks = STRATEGIES["agnostic"](TaskView("t", pool)).ask(3)
    assert [pick.model for pick in picks] == ["a", "b", "c"]
    assert picks[0].reason == "agnostic #1: upstream accuracy 0.700, 3 tied"
    assert picks[0].tied == 3


def test_proxy_order_reasons_and_costs():
    picks = STRATEGIES["linear"](view_of(d=0.5, c=0.745, b=None, a=0.745, e=None)).ask(9)
    assert [(p.model, p.reason, p.cost_seconds, p.tied) for p in picks] == [
        ("a", "linear #1: 0.745, 2 tied", None, 2),
        ("c", "linear #2: 0.745, 2 tied", 2.0, 2),
        ("d", "linear #3: 0.500", 2.0, 1),
        ("b", "linear #4: no score, 2 tied", 2.0, 2),
        ("e", "linear #5: no score, 2 tied", 2.0, 2),
    ]


def test_any_proxy_makes_a_strategy():
    view = TaskView("t", (Candidate("a"), Candidate("b")), {"logme": {"a": -1.5, "b": -0.5}})
    assert proxy_builder("logme").name == "logme"
    assert [p.model for p in proxy_builder("logme")(view).ask(2)] == ["b", "a"]
    assert hybrid_builder("logme").name == "hybrid_logme"
    assert [p.model for p in hybrid_builder("logme")(view).ask(2)] == ["a", "b"]


def test_hybrid_takes_the_next_when_both_prefer_the_same():
    pool = (
        Candidate("best", upstream_accuracy=0.9),
        Candidate("other", upstream_accuracy=0.8),
        Candidate("aware", upstream_accuracy=0.7),
    )
    scores = {"linear": {"best": 0.9, "other": 0.1, "aware": 0.5}}
    picks = STRATEGIES["hybrid_linear"](TaskView("t", pool, scores)).ask(2)
    assert [(p.model, p.reason) for p in picks] == [
        ("best", "agnostic #1: upstream accuracy 0.900"),
        ("aware", "linear #1: 0.500"),
    ]
    assert STRATEGIES["hybrid_linear"].min_budget == 2


def test_hybrid_of_one_model():
    view = view_of(a=0.5)
    assert order("hybrid_linear", view) == ["a"]


def test_oracle_ranks_by_mean_accuracy():
    picks = STRATEGIES["oracle"](view_of(a=0.2, b=0.9, c=None)).ask(3)
    assert [p.reason for p in picks] == [
        "oracle #1: mean accuracy 0.900",
        "oracle #2: mean accuracy 0.200",
        "oracle #3: no mean accuracy",
    ]


def test_random_is_uniform_over_first_picks_and_differs_between_tasks():
    pool = tuple(Candidate(m) for m in "abcd")
    firsts = [order("random", TaskView("t", pool), seed=s)[0] for s in range(400)]
    # Binomial(400, 1/4) has standard deviation 8.7; these draws are fixed by their seeds.
    assert all(abs(firsts.count(m) - 100) < 30 for m in "abcd")
    tasks = {tuple(order("random", TaskView(str(t), pool))) for t in range(20)}
    assert len(tasks) > 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"candidates": ()}, "candidates must hold at least one model, got none"),
        (
            {"candidates": (Candidate("a"), Candidate("a"))},
            r"candidates must have distinct names, got \['a'\] more than once",
        ),
        (
            {"scores": {"knn": {"a": float("nan")}}},
            r"scores\['knn'\] must be finite or None, got nan for 'a'",
        ),
        ({"accuracies": {"a": float("inf")}}, "accuracies must be finite or None, got inf"),
    ],
)
def test_views_that_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TaskView(**({"task": "t", "candidates": (Candidate("a"),)} | fields))
