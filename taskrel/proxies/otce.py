"""OTCE: how well the classes of a reference task foretell those of the target, by optimal transport of features."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from taskrel.stats import tensor
from taskrel.types import CannotScore, Probe, Score

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.intp]

# Pivots of the network simplex; 1000 x 1000 examples take some 1e5.
_PIVOTS = 10**7


def score(
    train: Probe,
    val: Probe | None,
    *,
    seed: int,
    reference: Probe | None = None,
    limit: int = 1000,
    distance_weight: float = 0.0,
) -> Score:
    """Minus the entropy, in nats, of the target's class given the reference's class under the cheapest coupling.

    The coupling moves the reference features onto the target features at least mean squared distance. It depends on
    inner products only: neither part's own offset or scale changes the entropy.

    Args:
        train: the target, n examples.
        val: unused.
        seed: draws the examples where there are more than `limit`.
        reference: labelled examples of another task through the same model.
        limit: examples of either part that are transported at most, drawn in proportion to the classes.
        distance_weight: how many nats one unit of mean squared distance costs. OTCE learns this weight, and one for the
            entropy, from auxiliary tasks whose accuracies are known; 0 is F-OTCE, which needs none.

    Returns:
        In [-H(y), 0] for distance_weight 0, below otherwise. `detail` has the entropy, the mean squared distance and
        the number of examples used of either part. `influence` is per training example, what it is coupled to held
        fixed; None if only some were drawn.

    Raises:
        CannotScore: no reference, or one without classes, or the transport problem was not solved.
        ValueError: a setting out of range, or a reference of another model.

    Source:
        Tan et al., OTCE, CVPR 2021, with the exact coupling of their code (the paper writes an entropic one); F-OTCE,
        2022, is the entropy alone. Equal rows are one point that carries several labels, so that no order of the
        examples decides between couplings of equal cost.
    """
    del val
    reference = _checked(train, reference, limit, distance_weight)
    target, source = _points(train, limit, seed), _points(reference, limit, seed)
    plan, cost, warned = _transport(source, target)
    joint = source.shares.T @ plan @ target.shares  # [Cr, C]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(joint > 0, np.log(joint / joint.sum(axis=1, keepdims=True)), 0.0)
    entropy, distance = max(-float((joint * logs).sum()), 0.0), float((plan * cost).sum())
    value = -(entropy + distance_weight * distance)
    detail: dict[str, object] = {
        "entropy": entropy, "distance": distance, "examples": target.examples, "reference": source.examples,
    } | ({"warning": warned} if warned else {})  # fmt: skip
    influence = None
    if target.examples == len(train):
        mass = plan.sum(axis=0)
        each = ((plan.T @ source.shares) @ logs / mass[:, None])[target.place, target.ids]
        each -= distance_weight * ((plan * cost).sum(axis=0) / mass)[target.place]
        influence = each - each.mean()
    return Score(value, (value,), detail, influence)


def _checked(train: Probe, reference: Probe | None, limit: int, distance_weight: float) -> Probe:
    if reference is None:
        raise CannotScore("otce needs a reference task, got none")
    if not isinstance(reference, Probe):
        raise ValueError(f"reference must be a Probe, got {type(reference).__name__}")
    if reference.target != "classes":
        raise CannotScore(f"otce needs one class per example of the reference, got {reference.target} labels")
    if reference.dim != train.dim:
        raise ValueError(f"reference features must have dimension {train.dim}, got {reference.dim}")
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if not (math.isfinite(distance_weight) and distance_weight >= 0):
        raise ValueError(f"distance_weight must be at least 0, got {distance_weight}")
    return reference


class _Points(NamedTuple):
    """One side of the transport: distinct rows, in an order that depends on nothing but the rows.

    `rows` [a, d] minus `mean` [d], `masses` [a] that sum to 1, `shares` [a, C] of the classes in each, and per example
    drawn its point `place` and its class `ids`.
    """

    rows: _Floats
    mean: _Floats
    masses: _Floats
    shares: _Floats
    place: _Ints
    ids: _Ints

    @property
    def examples(self) -> int:
        return len(self.place)


def _points(probe: Probe, limit: int, seed: int) -> _Points:
    features: _Floats = tensor(probe.features).cpu().numpy()
    classes, ids = np.unique(probe.labels, return_inverse=True)
    distinct, place = np.unique(features, axis=0, return_inverse=True)
    place = place.reshape(-1)
    if len(ids) > limit:
        drawn = _draw(place, ids, limit, seed)
        ids, kept = ids[drawn], place[drawn]
        used, place = np.unique(kept, return_inverse=True)
        distinct = distinct[used]
    counts = np.zeros((len(distinct), len(classes)))
    np.add.at(counts, (place, ids), 1)
    sizes = counts.sum(axis=1)
    masses = sizes / len(ids)
    mean = masses @ distinct
    return _Points(distinct - mean, mean, masses, counts / sizes[:, None], place, ids)


def _draw(place: _Ints, ids: _Ints, limit: int, seed: int) -> _Ints:
    """[limit] examples, every n/limit-th of a list sorted by class and, within, at random.

    Neither the order of the examples nor the names of the classes matter: chance belongs to the rows.
    """
    chance = np.random.default_rng(seed).permutation(place.max() + 1)[place]
    # Classes by all their chances: the smallest alone ties where equal rows are of two classes.
    classes = sorted(range(ids.max() + 1), key=lambda c: np.sort(chance[ids == c]).tolist())
    queue = np.lexsort((chance, np.argsort(classes)[ids]))
    return queue[((np.arange(limit) + 0.5) * len(place) / limit).astype(np.intp)]


def _transport(source: _Points, target: _Points) -> tuple[_Floats, _Floats, str | None]:
    """[a, b] coupling of least mean squared distance, [a, b] squared distances, what the solver complains of."""
    import ot  # seconds to import

    # Around either mean: an offset moves all couplings' costs by the same number, and only costs digits.
    centred = (
        np.square(source.rows).sum(axis=1)[:, None]
        + np.square(target.rows).sum(axis=1)
        - 2 * source.rows @ target.rows.T
    )
    largest = float(centred.max())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Any = ot.emd(
            source.masses, target.masses, centred / largest if largest > 0 else centred, numItermax=_PIVOTS, log=True
        )
    plan, log = found
    if abs(float(plan.sum()) - 1) > 1e-6:
        raise CannotScore(f"otce needs a transport problem that can be solved, got {log['warning']}")
    apart = source.mean - target.mean
    moved = 2 * ((source.rows @ apart)[:, None] - target.rows @ apart) + apart @ apart
    return plan, (centred + moved).clip(min=0), log["warning"]
