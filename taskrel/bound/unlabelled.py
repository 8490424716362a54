"""The bound for a target without labels: of the task that pseudo-labels make of it, and a certificate that needs none.

Renaming target labels does not change the bound, so only a partition of the examples and its class sizes matter.
Nothing here takes target labels; how sure the partition is stands beside the number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linprog
from scipy.sparse import csr_matrix
from torch import Tensor

from taskrel.bound.features import Features
from taskrel.bound.fit import Fit, Part, Reference, fit
from taskrel.bound.head import Head
from taskrel.bound.maps import Affine
from taskrel.bound.sample import Floats, Ints, Sample, Scale, Standardise
from taskrel.bound.transport import cost
from taskrel.stats import tensor

Start = Literal["clusters", "reference"]
Prior = Literal["uniform", "estimated"]

_SECOND = 0.01  # what the start counts for beside the transformed classifier


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """A bound on the loss on the pseudo-labelled task, not on the true one.

    Args:
        fit: the bound and its transforms; `fit.terms.target_loss` is against pseudo-labels.
        rows: [m] which examples were used, `pseudo` [m] their class numbers.
        prior: where the class sizes come from: "given", "uniform" or "estimated".
        confidence: mean probability, in [0, 1], that the transformed classifier gives to the pseudo-label. Under a
            small tau it is near 1/K whatever the labels; compare it between models at equal tau only.
        margin: share of examples, in [0, 1], whose pseudo-label the classifier finds likeliest, prior aside.
        totals: the bound from every start; their spread says how much the partition is a matter of luck.
        rounds: of relabelling until nothing changed, or at most.
    """

    fit: Fit
    rows: Ints
    pseudo: Ints
    prior: str
    confidence: float
    margin: float
    totals: tuple[float, ...]
    rounds: int


def fit_unlabelled(
    reference: Reference,
    features: Any,
    *,
    classes: int,
    prior: Prior | npt.ArrayLike = "uniform",
    start: Start = "clusters",
    tau: float = 0.02,
    map_features: Features = "shift",
    starts: int = 3,
    rounds: int = 4,
    per_class: int | None = 100,
    standardise: Standardise = "per_task",
    seed: int = 0,
) -> Unlabelled:
    """The smallest bound over a few starts, pseudo-labels and transforms in turn.

    Args:
        reference: made ready for `tau`.
        features: [n, d] of the target through the same model.
        classes: how many the target has, K_T.
        prior: "uniform", "estimated" (the sizes of the pseudo-classes), or [K_T] given frequencies in any order: the
            largest goes to the largest pseudo-class.
        start: "clusters" of the features, matched to reference classes by the fit; or the "reference" classifier's own
            decisions (needs K_T at most K_R; the classes it decides for most often).
        tau: the cap.
        map_features: as in `fit`, for the last fit; the rounds before are at A = I.
        starts: of the clusters, differently seeded.
        rounds: of relabelling by the transformed classifier at most.
        per_class: examples per class used, on average; drawn by place.
        standardise: as in `Part.of`.
        seed: of everything random.

    Raises:
        ValueError: a setting out of range, or fewer examples than classes.

    Source:
        spec 8, U1 ("clusters") and U2 ("reference"); the authors' own rule is not published.
    """
    if starts < 1 or rounds < 0:
        raise ValueError(f"starts must be at least 1 and rounds 0, got {starts} and {rounds}")
    if start == "reference" and classes > reference.part.sample.classes:
        raise ValueError(f"classes must be at most those of the reference ({reference.part.sample.classes}), "
                         f"got {classes}")  # fmt: skip
    name, shares = _prior(prior, classes)
    z, rows, scale = _drawn(tensor(features), classes, per_class, standardise, seed)
    found = []
    for attempt in range(starts if start == "clusters" else 1):
        costs = _start(z, reference, tau=tau, classes=classes, start=start, seed=seed + attempt)
        found.append(
            _refined(reference, z, scale, costs, shares, tau=tau, map_features=map_features, rounds=rounds, seed=seed)
        )
    totals = tuple(one.terms.total_logits if map_features == "aligned" else one.terms.total for one, _, _ in found)
    best, ids, done = found[int(np.argmin(totals))]
    probs = _probabilities(best, z)
    return Unlabelled(
        fit=best,
        rows=rows,
        pseudo=ids,
        prior=name,
        confidence=float(probs[np.arange(len(ids)), ids].mean()),
        margin=float(np.mean(_balanced(best, z).argmax(axis=1) == ids)),
        totals=totals,
        rounds=done,
    )


def _drawn(
    whole: Tensor, classes: int, per_class: int | None, standardise: Standardise, seed: int
) -> tuple[Tensor, Ints, Scale | None]:
    """The examples used, scaled, and which they are; the scale is that of all of them."""
    if len(whole) < classes:
        raise ValueError(f"features must be at least {classes} rows, got {len(whole)}")
    scale = Scale.of(whole) if standardise == "per_task" else None
    rows = np.arange(len(whole))
    if per_class is not None and len(whole) > per_class * classes:
        rows = np.sort(np.random.default_rng(seed).permutation(len(whole))[: per_class * classes])
    z = whole[torch.from_numpy(rows).to(whole.device)]
    return (z if scale is None else scale.apply(z)), rows, scale


def _prior(prior: Prior | npt.ArrayLike, classes: int) -> tuple[str, Floats | None]:
    if isinstance(prior, str):
        if prior not in ("uniform", "estimated"):
            raise ValueError(f"prior must be 'uniform', 'estimated' or frequencies, got {prior!r}")
        return prior, np.full(classes, 1 / classes) if prior == "uniform" else None
    shares = np.asarray(prior, dtype=np.float64)
    if shares.shape != (classes,) or not np.isfinite(shares).all() or shares.min() <= 0:
        raise ValueError(f"prior must be {classes} positive frequencies, got {prior!r}")
    return "given", shares / shares.sum()


def _start(z: Tensor, reference: Reference, *, tau: float, classes: int, start: Start, seed: int) -> Floats:
    """[n, K_T] how little each example is of each pseudo-class."""
    if start == "clusters":
        return torch.cdist(z, _centres(z, classes, seed)).square().cpu().numpy()
    if start != "reference":
        raise ValueError(f"start must be 'clusters' or 'reference', got {start!r}")
    logs = reference.head(tau).logs(z).cpu().numpy()
    decided = np.bincount(logs.argmax(axis=1), minlength=logs.shape[1])
    return -logs[:, np.sort(np.argsort(-decided, kind="stable")[:classes])]


def _centres(z: Tensor, classes: int, seed: int, rounds: int = 50) -> Tensor:
    """[K, d] k-means from seeded k-means++; neither depends on the order of the rows."""
    rows = z.cpu().numpy()
    ordered = z[torch.from_numpy(np.lexsort(np.round(rows.T, 5))).to(z.device)]
    random = np.random.default_rng(seed)
    centres = ordered[int(random.integers(len(ordered)))][None]
    for _ in range(classes - 1):
        mass = torch.cdist(ordered, centres).amin(dim=1).square().cumsum(dim=0)
        place = int(torch.searchsorted(mass, float(random.random()) * mass[-1]).clamp_max(len(ordered) - 1))
        centres = torch.cat([centres, ordered[place][None]])
    for _ in range(rounds):
        near = torch.nn.functional.one_hot(torch.cdist(ordered, centres).argmin(dim=1), classes).to(z)
        counts = near.sum(dim=0)[:, None]
        moved = torch.where(counts > 0, near.T @ ordered / counts.clamp_min(1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def _labelled(costs: Floats, shares: Floats | None) -> Ints:
    """[n] pseudo-labels at least cost: the cheapest of each, or with known class sizes the cheapest that keeps to them.

    Class sizes rounded to whole examples, every class at least one; the largest known size to the class of most mass.
    """
    n, k = costs.shape
    if shares is None:
        ids = costs.argmin(axis=1)
        for empty in np.flatnonzero(np.bincount(ids, minlength=k) == 0):
            # A class of one example rather than none: the fit needs every class.
            spare = np.bincount(ids, minlength=k)[ids] > 1
            ids[np.where(spare, costs[:, empty], np.inf).argmin()] = empty
        return ids
    from ot.lp import emd  # seconds to import

    order = np.argsort(-np.bincount(costs.argmin(axis=1), minlength=k), kind="stable")
    sizes = np.empty(k)
    sizes[order] = np.sort(shares)[::-1]
    seats = np.maximum(np.floor(sizes * n), 1)
    for _ in range(int(n - seats.sum())):
        seats[np.argmax(sizes * n - seats)] += 1
    while seats.sum() > n:
        seats[np.argmax(seats)] -= 1
    # Whole masses have a whole optimum: every example goes to one class.
    return emd(np.ones(n), seats, costs - costs.min(), numItermax=10**7).argmax(axis=1)


def _refined(
    reference: Reference, z: Tensor, scale: Scale | None, costs: Floats, shares: Floats | None,
    *, tau: float, map_features: Features, rounds: int, seed: int,
) -> tuple[Fit, Ints, int]:  # fmt: skip
    """Fit, relabel, until the labels stay; then the fit with the feature map that was asked for."""
    ids, taken = _labelled(costs, shares), 0

    def fitted(map_features: Features, floor: bool) -> Fit:
        pseudo = Sample(z, ids, costs.shape[1])
        target = Part(pseudo, pseudo.prior, scale, np.arange(costs.shape[1]))
        return fit(reference, target, tau=tau, features=map_features, floor=floor, seed=seed)

    for taken in range(1, rounds + 1):  # noqa: B007 - what it ends at is reported
        logs = -np.log(_balanced(fitted("identity", False), z))
        # Pseudo-classes that share a reference class are equally likely everywhere: between those the start decides.
        found = _labelled(logs + _SECOND * logs.std() / max(costs.std(), 1e-300) * costs, shares)
        if np.array_equal(found, ids):
            break
        ids = found
    return fitted(map_features, True), ids, taken


def _probabilities(found: Fit, z: Tensor) -> Floats:
    """[n, K_T] of the transformed classifier."""
    probs = found.head.logs(found.affine.undo(z)).exp().cpu().numpy() @ found.joint.labels.T
    out: Floats = probs
    return out


def _balanced(found: Fit, z: Tensor) -> Floats:
    """[n, K_T] those probabilities over the prior.

    Under a small cap the prior outweighs the features, and relabelling would end with one class.
    """
    return np.maximum(_probabilities(found, z), 1e-300) / np.maximum(found.joint.prior, 1e-300)


def certificate(head: Head, affine: Affine, reference: Sample, features: Tensor, *, pairs: int = 100_000) -> float:
    """The least that the labelled bound (with `tau`) can be at this head and map, whatever the target's labels.

    A high value proves a high bound; a low one proves nothing. A linear program over reference weights and a coupling.

    Args:
        head: over the classes of `reference`.
        affine: of the features.
        reference: the examples the labelled bound is computed from, every class present.
        features: [n, d] the target's, equally weighted, as in the labelled bound.
        pairs: of points at most.

    Raises:
        ValueError: more pairs of points than that.

    Source:
        spec 8, U0: min over D of sum_j D_j L_j + tau W(sum_j D_j (A R_j + b), T).
    """
    n, m, k = len(reference), len(features), reference.classes
    if n * m > pairs:
        raise ValueError(f"pairs of points must be at most {pairs}, got {n * m}")
    tau = Head(affine.pull(head.weights), head.bias).tau
    costs = tau * cost(affine.apply(reference.features), features).cpu().numpy()
    objective = np.concatenate([costs.ravel(), head.class_losses(reference)])
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(n), np.arange(m), indexing="ij"))
    plan, ones = np.arange(n * m), np.ones(n * m)
    # Every reference example gives its class's weight over the class's size; every target example takes 1/m.
    values = np.concatenate([ones, ones, -1 / reference.counts[reference.ids]])
    rows, columns = np.concatenate([i, n + j, np.arange(n)]), np.concatenate([plan, plan, n * m + reference.ids])
    table = csr_matrix((values, (rows, columns)), shape=(n + m, n * m + k))
    right = np.concatenate([np.zeros(n), np.full(m, 1 / m)])
    found = linprog(objective, A_eq=table, b_eq=right, method="highs")
    return float(found.fun)
