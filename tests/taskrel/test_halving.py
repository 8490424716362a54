"""Successive halving: the schedule of the specification, over fine-tuning steps and over data."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrel.strategies import STRATEGIES, DataHalving, Doubling, Halving, ModelCost, TaskView, halving_builder
from taskrel.types import Candidate

LAW = settings(deadline=None, max_examples=60)


def test_the_example_of_the_specification():
    plan = Halving(46, 276)
    assert plan.sizes == (46, 23, 12, 6, 3, 2)
    assert plan.each == (1, 2, 3, 7, 15, 23)
    assert sum(plan.each) == 51
    assert plan.shares[-1] == 1
    assert plan.shares[0] == 1 / 51
    assert Halving(46) == Halving(46, None)
    assert Halving(46).each == plan.each, "276 = 46 x 6 is the least there can be"
    with pytest.raises(ValueError, match=r"pulls must be at least 276 \(models x rounds\), got 275"):
        Halving(46, 275)


@LAW
@given(models=st.integers(1, 300), factor=st.integers(1, 7))
def test_every_schedule(models, factor):
    least = models * max(1, math.ceil(math.log2(models)))
    plan = Halving(models, least * factor)
    assert plan.sizes[0] == models
    assert plan.sizes[-1] == min(models, 2)
    assert sum(size * each for size, each in zip(plan.sizes, plan.each, strict=True)) <= least * factor
    assert all(each >= factor for each in plan.each)
    assert plan.shares[-1] == 1, "survivors see everything"
    assert list(plan.shares) == sorted(set(plan.shares))
    assert plan.cost * sum(plan.each) == pytest.approx(sum(map(math.prod, zip(plan.sizes, plan.each, strict=True))))
    assert 1 - 1e-9 <= plan.cost <= models + 1e-9
    rounds = DataHalving(models, 10_000, pulls=least).rounds
    assert [turn.first for turn in rounds] == [0, *(turn.stop for turn in rounds[:-1])]
    assert rounds[-1].stop == 10_000
    assert all(turn.first < turn.stop for turn in rounds)


def pool(names):
    return TaskView("t", tuple(Candidate(name) for name in names))


def play(strategy, curve, n=3):
    """Everything asked for, told as curve(model, share)."""
    picks = []
    while asked := strategy.ask(n):
        picks += asked
        strategy.tell({pick.model: curve(pick.model, pick.share) for pick in asked})
    return picks


@LAW
@given(best=st.lists(st.integers(0, 100), min_size=1, max_size=40), n=st.integers(1, 50))
def test_curves_that_do_not_cross_keep_the_best(best, n):
    worth = {f"m{i:02}": value / 100 for i, value in enumerate(best)}
    picks = play(STRATEGIES["halving"](pool(worth)), lambda model, share: worth[model] * share, n)
    plan = Halving(len(best))
    whole = {pick.model for pick in picks if pick.share == 1}
    assert len(whole) == plan.sizes[-1]
    assert max(worth[model] for model in whole) == max(best) / 100
    had = {}
    for pick in picks:
        assert pick.share > had.get(pick.model, 0), "only ever more"
        had[pick.model] = pick.share
    assert sum(had.values()) == pytest.approx(plan.cost)


def test_rounds_and_reasons_by_hand():
    strategy = STRATEGIES["halving"](pool("abcde"))
    first = strategy.ask(9)
    # ceil(log2 5) = 3 rounds of 5, 3, 2 models, 15 pulls: 1, 1 and 2 each.
    assert [(p.model, p.share, p.reason) for p in first[:1]] == [
        ("a", 0.25, "halving round 1 of 3: to 25.0% of a fine-tuning, all 5 models")
    ]
    assert strategy.ask(1) == [], "nothing before the round is told"
    strategy.tell({"a": 0.5, "b": 0.1, "c": 0.3, "d": 0.3})
    assert strategy.ask(1) == []
    strategy.tell({"e": 0.3})
    second = strategy.ask(9)
    assert [p.model for p in second] == ["a", "c", "d"]
    assert [p.tied for p in second] == [1, 3, 3]
    assert second[1].reason == "halving round 2 of 3: to 50.0% of a fine-tuning, after 0.300 at 25.0%, 3 tied"
    strategy.tell({"a": 0.2, "c": 0.3, "d": 0.4, "b": 1.0})
    assert [(p.model, p.share) for p in strategy.ask(9)] == [("d", 1.0), ("c", 1.0)]
    strategy.tell({"c": 0.1, "d": 0.2})
    assert strategy.ask(9) == []


def test_failed_models_are_dropped():
    strategy = STRATEGIES["halving"](pool("abcd"))
    strategy.ask(4)
    strategy.tell({"a": 0.1, "b": None, "c": None, "d": None})
    assert [pick.model for pick in strategy.ask(4)] == ["a"]
    strategy.tell({"a": None})
    assert strategy.ask(4) == []


def test_one_model_is_fine_tuned_at_once():
    assert [(p.model, p.share) for p in STRATEGIES["halving"](pool("a")).ask(2)] == [("a", 1.0)]
    assert halving_builder(pulls=7)(pool("a")).ask(1)[0].share == 1


def test_data_halving_by_hand():
    plan = DataHalving(models=4, examples=300, test_examples=100)
    # Rounds of 4 and 2 models, 8 pulls: 1 and 2 each, of 100 examples.
    assert [(turn.models, turn.first, turn.stop) for turn in plan.rounds] == [(4, 0, 100), (2, 100, 300)]
    assert plan.keep({"a": 1.0, "b": None, "c": 1.0, "d": 2.0}) == ["d", "a"]
    costs = {name: ModelCost(load=10, example=slow, proxy=0.5) for name, slow in zip("abcd", (1, 2, 3, 4), strict=True)}
    verdict = plan.verdict(costs, devices=1, read=0.1)
    # Without: 400 examples each at 1.1, 2.1, 3.1, 4.1 and 4 x (20 + 150).
    assert verdict.without == pytest.approx(400 * 10.4 + 4 * 170)
    # With: 200 at all speeds, 4 x (20 + 50); then the slowest two: 200 at 3.1 and 4.1, 2 x (10 + 150).
    assert verdict.with_halving == pytest.approx(200 * 10.4 + 4 * 70 + 200 * 7.2 + 2 * 160)
    assert str(verdict) == "halving pays: at most 4,120.0 s instead of 4,840.0 s (1.2x)"
    assert verdict.pays
    four = plan.verdict(costs, devices=4, read=0.1)
    assert four.without == pytest.approx(verdict.without / 4)
    assert four.with_halving == pytest.approx((200 * 10.4 + 4 * 70) / 4 + (200 * 7.2 + 2 * 160) / 2)
    assert not four.pays
    assert str(four) == (
        "halving does not pay: up to 1,470.0 s against 1,210.0 s for all models on all data; score them all"
    )


def test_doubling_by_hand():
    plan = Doubling(models=9, examples=401, least=4)
    assert [(turn.models, turn.first, turn.stop) for turn in plan.rounds] == [(9, 0, 100), (5, 100, 200), (4, 200, 401)]
    verdict = plan.verdict([ModelCost(load=10, example=slow, proxy=0.5) for slow in range(1, 10)])
    # Without: 401 examples each at 1 to 9, and 9 x (20 + 200.5).
    assert verdict.without == pytest.approx(401 * 45 + 9 * 220.5)
    # With: 100 at all speeds, 9 x (20 + 50); the slowest five another 100, 5 x (10 + 100); the slowest four the rest.
    assert verdict.with_halving == pytest.approx(100 * 45 + 9 * 70 + 100 * 35 + 5 * 110 + 201 * 30 + 4 * 210.5)
    assert Doubling(4, 50, 4).rounds == Doubling(4, 50, 9).rounds
    assert [turn.stop for turn in Doubling(4, 50, 9).rounds] == [50]
    assert [turn.stop for turn in Doubling(4, 3).rounds] == [0, 1, 3]


@LAW
@given(models=st.integers(1, 300), least=st.integers(1, 60), examples=st.integers(1000, 90_000))
def test_every_doubling(models, least, examples):
    rounds = Doubling(models, examples, least).rounds
    assert [turn.first for turn in rounds] == [0, *(turn.stop for turn in rounds[:-1])]
    assert (rounds[0].models, rounds[-1].stop) == (models, examples)
    assert rounds[-1].models == min(models, least)
    for one, other in pairwise(rounds):
        assert other.models == max(least, math.ceil(one.models / 2)) < one.models
        assert 2 * one.stop <= other.stop <= 2 * one.stop + 1


def test_halving_pays_with_much_data_not_with_a_thousand_examples():
    costs = [ModelCost(load=5.0, example=0.005, proxy=1e-4)] * 46
    assert not DataHalving(46, 1_000).verdict(costs).pays
    assert DataHalving(46, 100_000).verdict(costs).pays


def test_one_model_costs_the_same_with_and_without():
    verdict = DataHalving(1, 100, 10).verdict([ModelCost(3, 0.1, 0.2)])
    assert verdict.with_halving == verdict.without
    assert not verdict.pays


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Halving(0), "models must be at least 1, got 0"),
        (lambda: DataHalving(46, 50), "examples must be at least 51, one for each pull of a survivor, got 50"),
        (lambda: Doubling(0, 9), "models and least must be at least 1, got 0 and 1"),
        (lambda: DataHalving(2, 50, -1), "test_examples must be at least 0, got -1"),
        (lambda: DataHalving(2, 50).verdict([]), r"costs must be as many as models \(2\), got 0"),
        (lambda: DataHalving(1, 50).verdict([ModelCost(0, 0, 0)], 0), "devices must be at least 1, got 0"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
