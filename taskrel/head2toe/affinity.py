"""How near a task is to what a model was trained on, seen from the task alone."""

from __future__ import annotations


def domain_affinity(linear: float, scratch: float) -> float:
    """What pre-training gives a linear head over training from scratch: accuracy of the first less the second.

    Args:
        linear: test accuracy, in [0, 1], of a linear head on the last layer of the pre-trained model.
        scratch: test accuracy, in [0, 1], of the same architecture trained on the task from random weights.

    Returns:
        In [-1, 1]; low or negative means far from the source domain. The gain of Head2Toe over linear holds the same
        linear accuracy with the opposite sign, so part of any correlation between the two is mechanical.

    Raises:
        ValueError: an accuracy outside [0, 1].

    Source:
        Head2Toe, figure of the authors' repository; spec/head2toe.md section 6.
    """
    for thing, accuracy in (("linear", linear), ("scratch", scratch)):
        if not 0 <= accuracy <= 1:
            raise ValueError(f"{thing} must be an accuracy in [0, 1], got {accuracy}")
    return linear - scratch
