"""Task-agnostic search: the best upstream model, whatever the task."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from taskrel.strategies.ranking import ordered, sentence
from taskrel.strategies.view import TaskView
from taskrel.types import Candidate, Pick

# Upstream accuracies are published to three digits; the study calls such ties approximate. The
# excess is for 0.756 - 0.755, which floating point makes a little more than 0.001.
_APPROXIMATE = 1e-3 + 1e-9


def agnostic(view: TaskView, seed: int = 0) -> list[Pick]:
    """The pool by upstream accuracy, then by upstream data, parameters and name.

    Models with a known upstream accuracy come first, in descending order; those without follow by
    the number of upstream examples; those with neither come last. Values within 1e-3 of the best of
    their group (accuracies) or equal (examples) are ties, which more parameters win.

    Args:
        view: the task; only its candidates are read.
        seed: unused.

    Returns:
        Every candidate once. Cost 0: the evidence is published.

    Source:
        "Which Model to Transfer?", CVPR 2022, section 3; spec/model_search.md section 3.
    """
    del seed
    level = _levels(view.candidates)

    def key(candidate: Candidate) -> tuple[float, ...]:
        parameters = candidate.parameters
        return (*level[candidate.model], 1 if parameters is None else -parameters)

    return [
        Pick(c.model, sentence("agnostic", i, _evidence(c, -level[c.model][1]), tied), 0.0, tied)
        for i, (c, tied) in enumerate(ordered(view.candidates, key), start=1)
    ]


def _levels(candidates: Iterable[Candidate]) -> dict[str, tuple[int, float]]:
    """model -> (kind of evidence, minus the largest value of its tie group): ascending is worse."""
    pool = list(candidates)
    rated = [c for c in pool if c.upstream_accuracy is not None]
    sized = [c for c in pool if c.upstream_accuracy is None and c.upstream_size is not None]
    levels = {c.model: (2, 0.0) for c in pool}
    levels |= _groups(0, rated, lambda c: c.upstream_accuracy or 0.0, _APPROXIMATE)
    levels |= _groups(1, sized, lambda c: float(c.upstream_size or 0), 0.0)
    return levels


def _groups(
    kind: int, members: list[Candidate], value: Callable[[Candidate], float], width: float
) -> dict[str, tuple[int, float]]:
    """Groups from the top down: a group holds all within `width` of its largest value."""
    groups: dict[str, tuple[int, float]] = {}
    leader = float("inf")
    for candidate in sorted(members, key=value, reverse=True):
        if value(candidate) < leader - width:
            leader = value(candidate)
        groups[candidate.model] = (kind, -leader)
    return groups


def _evidence(candidate: Candidate, leader: float) -> str:
    accuracy = candidate.upstream_accuracy
    if accuracy is not None:
        close = f", as good as {leader:.3f}" if accuracy < leader else ""
        return f"upstream accuracy {accuracy:.3f}{close}"
    if candidate.upstream_size is not None:
        return f"no upstream accuracy, {candidate.upstream_size} upstream examples"
    return "upstream accuracy and data unknown"
