"""The chance of being near the best: certain cases, laws, a world made as it assumes, and the shipped evidence."""

import numpy as np
import pytest

from taskrel.within import Lesson, chance_within, learn


def world(rng, models=8, level=0.3, slope=1.2, spread=0.2):
    """One task of a world as the forecast takes it to be: probes and accuracies."""
    odds = rng.normal(0.8, 0.8, models)
    return [1 / (1 + np.exp(-each)) for each in (odds, level + slope * odds + rng.normal(0, spread, models))]


def test_a_line_is_found_and_nothing_is_left_over():
    probe = np.array([0.2, 0.4, 0.6, 0.9])
    odds = np.log(probe / (1 - probe))
    lesson = learn(probe, 1 / (1 + np.exp(-(0.3 + 1.5 * odds))))
    assert (lesson.level, lesson.slope) == pytest.approx((0.3, 1.5))
    assert np.abs(lesson.errors).max() < 1e-12


def test_without_errors_the_order_is_certain():
    exact = [Lesson(0.0, 1.0, np.zeros(3))]
    probe = np.array([0.9, 0.8, 0.5])
    assert chance_within(exact, probe, {0: 0.9}) == 1.0
    assert chance_within(exact, probe, {1: 0.8}) == 0.0
    assert chance_within(exact, probe, {1: 0.8}, margin=0.11) == 1.0
    assert chance_within(exact, probe, {}) == 1.0  # the best probe is the best model


def test_all_fine_tuned_is_certain_and_a_model_without_a_probe_is_passed_over():
    lesson = [Lesson(0.0, 1.0, np.array([-1.0, 1.0]))]
    assert chance_within(lesson, [0.5, 0.6], {0: 0.5, 1: 0.4}) == 1.0
    assert chance_within(lesson, [0.5, np.nan], {0: 0.5}) == 1.0


def test_the_chance_rises_with_the_margin_and_falls_with_the_pool():
    rng = np.random.default_rng(1)
    lessons = [learn(*world(rng)) for _ in range(4)]
    probe, accuracy = world(rng)
    first = int(np.argmax(probe))
    chances = [chance_within(lessons, probe, {first: accuracy[first]}, margin) for margin in (0.0, 0.01, 0.05, 0.5)]
    assert chances == sorted(chances)
    more = chance_within(lessons, np.append(probe, [probe.max()] * 3), {first: accuracy[first]}, samples=20000)
    assert more < chance_within(lessons, probe, {first: accuracy[first]}, samples=20000)


def test_in_a_world_as_assumed_it_is_calibrated():
    rng = np.random.default_rng(0)
    lessons = [learn(*world(rng, level=rng.normal(0, 0.3))) for _ in range(12)]
    said, was = [], []
    for _ in range(400):
        probe, accuracy = world(rng, level=rng.normal(0, 0.3))
        picks = np.argsort(-probe)[:2]
        said.append(chance_within(lessons, probe, {int(pick): accuracy[pick] for pick in picks}, samples=240))
        was.append(accuracy.max() - accuracy[picks].max() <= 0.01)
    assert np.mean(said) == pytest.approx(np.mean(was), abs=0.06)
    unsure = np.array(said) < np.median(said)
    assert np.mean(np.array(was)[unsure]) < np.mean(np.array(was)[~unsure])


@pytest.mark.parametrize("wrong", [{"lessons": []}, {"probe": [np.nan]}, {"margin": -1.0}])
def test_nothing_to_go_by_is_refused(wrong):
    given = {"lessons": [Lesson(0.0, 1.0, np.zeros(3))], "probe": [0.5], "reached": {}} | wrong
    with pytest.raises(ValueError, match="must"):
        chance_within(**given)
    with pytest.raises(ValueError, match="three"):
        learn([0.5, 0.6], [0.5, 0.6])


def test_on_the_embedded_zoo_it_is_cautious():
    """Task by task, taught by the others, over drawn pools: what docs/rank.md says."""
    from sweeps.ranking.answer import EVIDENCE

    rows = [line.split(",") for line in EVIDENCE.read_text().splitlines()[1:]]
    tasks = {}
    for zoo, task, _, probe, accuracy in rows:
        tasks.setdefault((zoo, task), []).append((float(probe), float(accuracy)))
    rng, said, was = np.random.default_rng(0), [], []
    for key, cells in tasks.items():
        if key[0] != "embedded":
            continue
        lessons = [learn(*zip(*other, strict=True)) for name, other in tasks.items() if name != key]
        for _ in range(20):
            probe, accuracy = np.array(cells)[rng.permutation(len(cells))[: rng.integers(4, 13)]].T
            picks = np.argsort(-probe, kind="stable")[:2]
            said.append(chance_within(lessons, probe, {int(pick): accuracy[pick] for pick in picks}, samples=450))
            was.append(accuracy.max() - accuracy[picks].max() <= 0.01 + 1e-9)
    assert 0.75 < np.mean(said) <= np.mean(was)
