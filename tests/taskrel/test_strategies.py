"""Conformance of every strategy of the table, then each ranking by hand-worked pools."""

import copy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrel.strategies import STRATEGIES, TaskView, hybrid_builder, proxy_builder, rank_builder
from taskrel.types import Candidate, Pick

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
    others = draw(st.lists(st.sampled_from(["cars", "dogs", "eggs", "fish"]), unique=True))
    return TaskView(
        task=draw(st.sampled_from(["digits", "birds"])),
        candidates=candidates,
        scores={proxy: column() for proxy in proxies},
        score_seconds={proxy: column() for proxy in proxies},
        accuracies=column(),
        elsewhere={task: column() for task in others},
        scores_elsewhere={task: {proxy: column() for proxy in proxies} for task in others},
        neighbours={task: draw(st.sampled_from([0.0, 0.1, 0.5])) for task in others},
    )


def drain(strategy, steps):
    """What each ask gave, told after each one: an accuracy that depends on the name."""
    asked = []
    for n in steps:
        asked.append(strategy.ask(n))
        strategy.tell({pick.model: (len(pick.model) % 4) / 4 for pick in asked[-1]})
    return asked, [pick for picks in asked for pick in picks]


@every_strategy
@LAW
@given(view=views(), seed=st.integers(0, 2**32), steps=st.lists(st.integers(0, 4), max_size=8))
def test_conformance(build, view, seed, steps):
    before = copy.deepcopy(view)
    pool = {c.model for c in view.candidates}
    asked, picks = drain(build(view, seed=seed), steps)
    assert {pick.model for pick in picks} <= pool, "stays in the pool"
    assert len({(pick.model, pick.share) for pick in picks}) == len(picks), "never repeats"
    assert all(len(got) <= n for n, got in zip(steps, asked, strict=True)), "honours n"
    if not build.partial:
        assert {pick.share for pick in picks} <= {1.0}
        left = len(pool)
        for n, got in zip(steps, asked, strict=True):
            assert len(got) == min(n, left), "returns what is left"
            left -= len(got)
    assert drain(build(view, seed=seed), steps)[1] == picks, "same seed, same asks"
    assert all(pick.reason and 1 <= pick.tied <= len(pool) for pick in picks)
    assert view == before, "input not written"


@every_strategy
@LAW
@given(view=views(), data=st.data())
def test_the_order_of_the_pool_and_of_asking_does_not_matter(build, view, data):
    other = replace(view, candidates=tuple(data.draw(st.permutations(view.candidates))))
    enough = len(other.candidates)
    first, second = build(view, seed=1), build(other, seed=1)
    at_once = first.ask(enough)
    assert [pick for _ in range(enough) for pick in second.ask(1)] == at_once
    for told in (first, second):
        told.tell({pick.model: 0.5 for pick in at_once})
    later = first.ask(enough)
    assert second.ask(enough) == later
    assert bool(later) <= build.partial
    strategy = build(other, seed=1)
    while picks := strategy.ask(1):  # terminates
        strategy.tell({picks[0].model: 0.5})
    assert strategy.ask(5) == []


@every_strategy
@LAW
@given(view=views())
def test_only_adaptive_strategies_listen(build, view):
    silent, told = build(view), build(view)
    while picks := told.ask(1):
        assert build.adaptive or silent.ask(1) == picks
        told.tell({picks[0].model: 0.25})


@every_strategy
def test_told_nonsense_is_refused(build):
    strategy = build(view_of(a=0.5))
    with pytest.raises(ValueError, match="observations must be of models in the pool, got 'z'"):
        strategy.tell({"z": 0.5})
    with pytest.raises(ValueError, match=r"accuracy must lie in \[0, 1\], got 73.0 for 'a'"):
        strategy.tell({"a": 73.0})
    strategy.tell({"a": None})
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        strategy.ask(-1)


@every_strategy
def test_a_builder_says_what_it_needs(build):
    assert STRATEGIES[build.name] is build
    assert build.summary
    bare = TaskView("t", (Candidate("a"),))
    for proxy in build.proxies:
        others = {other: {} for other in build.proxies if other != proxy}
        with pytest.raises(ValueError, match=f"scores must hold '{proxy}' for strategy"):
            build(replace(bare, scores=others))
    if build.proxies:
        bare = replace(bare, scores={proxy: {"a": 1.0} for proxy in build.proxies})
    for need in build.needs:
        with pytest.raises(ValueError, match=f"{need} must be given for strategy '{build.name}', got None"):
            build(bare)
        bare = replace(bare, **{need: {}})
    assert [pick.model for pick in build(bare).ask(3)] == ["a"]
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        build(bare, seed=-1)


def test_table():
    assert list(STRATEGIES) == [
        "agnostic",
        "linear",
        "knn",
        "linear+knn",
        "hybrid_linear",
        "hybrid_knn",
        "task2vec",
        "hybrid_task2vec",
        "halving",
        "learned",
        "oracle",
        "oracle_elsewhere",
        "random",
    ]
    assert [name for name, build in STRATEGIES.items() if build.adaptive] == ["halving", "learned"]
    assert [name for name, build in STRATEGIES.items() if build.partial] == ["halving"]
    assert [name for name, build in STRATEGIES.items() if build.needs_accuracies] == ["oracle"]
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
        elsewhere={},
        neighbours={},
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


def elsewhere(neighbours=None):
    """Four models; "near" lacks b and d, "far" lacks d."""
    return TaskView(
        "t",
        tuple(Candidate(m, upstream_accuracy=u) for m, u in zip("abcd", (0.1, 0.2, 0.3, 0.9), strict=True)),
        score_seconds={"task2vec": dict.fromkeys("abcd", 1.5)},
        elsewhere={"near": {"a": 0.5, "c": 0.6, "b": None, "z": 1.0}, "far": {"a": 0.9, "b": 0.3, "c": 0.8}},
        neighbours={"far": 0.4, "near": 0.1, "unknown": 0.0} if neighbours is None else neighbours,
    )


def test_task2vec_takes_the_best_of_the_nearest_task_first():
    picks = STRATEGIES["task2vec"](elsewhere()).ask(9)
    assert [(p.model, p.reason, p.cost_seconds) for p in picks] == [
        ("c", "task2vec #1: on 'near' (distance 0.1) 0.600", 1.5),
        ("a", "task2vec #2: on 'near' (distance 0.1) 0.500", 1.5),
        ("b", "task2vec #3: on 'far' (distance 0.4) 0.300", 1.5),
        ("d", "task2vec #4: no accuracy elsewhere", 1.5),
    ]


def test_tasks_at_equal_distance_are_said():
    first = STRATEGIES["task2vec"](elsewhere({"near": 0.2, "far": 0.2})).ask(1)[0]
    assert first.reason == "task2vec #1: on 'far' (distance 0.2, 2 tasks tied) 0.900"


def test_task2vec_without_other_tasks_is_agnostic_and_says_so():
    first = STRATEGIES["task2vec"](elsewhere({})).ask(1)[0]
    assert first == Pick("d", "task2vec: no other task is known, so agnostic #1: upstream accuracy 0.900", 0.0)


def test_hybrid_task2vec_is_the_agnostic_and_the_nearest():
    picks = STRATEGIES["hybrid_task2vec"](elsewhere()).ask(2)
    assert [(p.model, p.reason.split(":")[0]) for p in picks] == [("d", "agnostic #1"), ("c", "task2vec #1")]
    assert STRATEGIES["hybrid_task2vec"].min_budget == 2


def test_the_oracle_elsewhere_gives_nothing_for_being_absent_on_a_hard_task():
    picks = STRATEGIES["oracle_elsewhere"](elsewhere()).ask(9)
    # Leads over the means 0.55 and 2/3: c (0.05 + 0.1333) / 2, a (-0.05 + 0.2333) / 2, b -0.3667.
    assert sorted(p.model for p in picks[:2]) == ["a", "c"]
    assert [(p.model, p.reason) for p in picks[2:]] == [
        ("b", "oracle_elsewhere #3: mean lead elsewhere -0.367"),
        ("d", "oracle_elsewhere #4: no mean lead elsewhere"),
    ]


@LAW
@given(view=views(), table=st.lists(st.lists(st.integers(0, 1000), min_size=3, max_size=3), min_size=1, max_size=4))
def test_the_oracle_elsewhere_ranks_by_mean_accuracy_where_nothing_is_missing(view, table):
    full = {str(task): dict(zip("abc", (v / 1024 for v in row), strict=True)) for task, row in enumerate(table)}
    view = TaskView("t", tuple(map(Candidate, "abc")), elsewhere=full)
    means = {model: sum(column[model] for column in full.values()) for model in "abc"}
    found = order("oracle_elsewhere", view)
    assert [means[model] for model in found] == pytest.approx(sorted(means.values(), reverse=True), abs=1e-12)


def test_mean_rank_over_any_proxies():
    scores = {"x": {"a": 3.0, "b": 2.0, "c": 1.0}, "y": {"a": 0.1, "b": 0.9, "c": 0.9}, "z": {"a": 1.0, "b": 9.0}}
    seconds = {"x": {"a": 1.0, "b": 1.0}, "y": {"a": 2.0, "b": 2.0, "c": 2.0}}
    view = TaskView("t", tuple(map(Candidate, "abc")), scores, seconds)
    picks = rank_builder("x", "y")(view).ask(3)
    # Mean ranks: a (1 + 3) / 2, b (2 + 1.5) / 2, c (3 + 1.5) / 2.
    assert [(p.model, p.reason, p.cost_seconds) for p in picks] == [
        ("b", "x+y #1: minus mean rank -1.750", 3.0),
        ("a", "x+y #2: minus mean rank -2.000", 3.0),
        ("c", "x+y #3: minus mean rank -2.250", None),
    ]
    assert [p.model for p in rank_builder("x", "z")(view).ask(3)] == ["a", "b", "c"]
    assert rank_builder("x", "z")(view).ask(3)[2].reason == "x+z #3: no minus mean rank"
    both = rank_builder("x", "y", hybrid_with_agnostic=True)
    assert (both.name, both.proxies, both.min_budget) == ("hybrid_x+y", ("x", "y"), 2)
    assert [p.model for p in both(view).ask(2)] == ["a", "b"]
    for wrong in ((), ("x", "x")):
        with pytest.raises(ValueError, match="proxies must be one or more distinct names"):
            rank_builder(*wrong)


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
        ({"elsewhere": {"u": {"a": float("nan")}}}, r"elsewhere\['u'\] must be finite or None, got nan for 'a'"),
        ({"elsewhere": {"t": {}}}, "elsewhere must leave the task itself out, got 't'"),
        ({"scores_elsewhere": {"t": {}}}, "scores_elsewhere must leave the task itself out, got 't'"),
        ({"neighbours": {"t": 0.0}}, "neighbours must leave the task itself out, got 't'"),
    ],
)
def test_views_that_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TaskView(**({"task": "t", "candidates": (Candidate("a"),)} | fields))
