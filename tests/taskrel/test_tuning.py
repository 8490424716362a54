"""The setting chosen on other tasks: by hand, against brute force, and never by the task itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from taskrel.tuning import elsewhere, lost

GRID = [0.0, 0.25, 0.5, 0.75, 1.0]


def test_by_hand():
    means = [[0.5, 0.9], [0.5, 0.9], [0.9, 0.5]]
    right, wrong = [[0, 1], [0, 1], [1, 0]], [[1, 0], [1, 0], [0, 1]]
    assert lost(right, means).tolist() == [0, 0, 0]
    assert lost(wrong, means) == pytest.approx([0.8, 0.8, 0.8])
    assert elsewhere([wrong, right], means).tolist() == [1, 1, 1]
    # The first setting is right on the first task only: for that task it is judged by the others, where it is wrong.
    mixed = [right[0], wrong[1], wrong[2]]
    assert elsewhere([mixed, wrong], means).tolist() == [0, 0, 0]  # equal elsewhere, or better


def test_equal_scores_are_the_mean_of_what_they_pick():
    assert lost([[1.0, 1.0, 0.0]], [[0.9, 0.5, 0.1]]) == pytest.approx([0.4])


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, (3, 4, 3), elements=st.sampled_from([*GRID, np.nan])),
    arrays(np.float64, (4, 3), elements=st.sampled_from([*GRID, np.nan])),
)
def test_brute_force(scores, means):
    for task, chosen in enumerate(elsewhere(scores, means)):
        others = [other for other in range(4) if other != task]
        sums = []
        for setting in range(3):
            found = []
            for other in others:
                both = [m for m in range(3) if not np.isnan(scores[setting, other, m] + means[other, m])]
                if both:
                    top = max(scores[setting, other, m] for m in both)
                    best = np.nanmax(means[other])
                    picks = [means[other, m] for m in both if scores[setting, other, m] == top]
                    found.append(np.mean([0 if p >= 1 else (best - p) / (1 - p) for p in picks]))
            sums.append(round(float(np.mean(found)), 12) if found else np.inf)
        assert chosen == (int(np.argmin(sums)) if np.isfinite(sums).any() else -1)


def test_the_task_itself_has_no_say():
    rng = np.random.default_rng(0)
    scores, means = rng.random((4, 5, 6)), rng.random((5, 6))
    changed = means.copy()
    changed[2] = rng.random(6)
    assert elsewhere(scores, means)[2] == elsewhere(scores, changed)[2]


def test_nothing_to_learn_from():
    assert elsewhere(np.ones((2, 1, 3)), np.ones((1, 3))).tolist() == [-1]
    with pytest.raises(ValueError, match="scores must be"):
        elsewhere(np.ones((2, 3)), np.ones((2, 3)))
