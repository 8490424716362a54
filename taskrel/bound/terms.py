"""All terms of the bound at given transforms, each exact on the arrays it is given."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from taskrel.bound.head import Head
from taskrel.bound.lipschitz import contrasts, tau_labels, tau_pair
from taskrel.bound.maps import Affine, Joint
from taskrel.bound.sample import Floats, Sample
from taskrel.bound.transport import EXACT_PAIRS, Blocks, blocks, floor
from taskrel.types import BoundTerms


def evaluate(
    head: Head,
    affine: Affine,
    joint: Joint,
    reference: Sample,
    target: Sample,
    *,
    floor_seed: int | None = None,
    labelled: bool = True,
    exact_pairs: int = EXACT_PAIRS,
    full: Blocks | None = None,
) -> BoundTerms:
    """The bound at these transforms, and everything it is made of.

    The target's measure is its classes' empirical ones in the weights `joint.prior`; nothing is said of other examples.

    Args:
        head: the reference classifier, over the classes of `reference`.
        affine: of the features.
        joint: of the labels, [K_T, K_R].
        reference: examples of every class with weight.
        target: examples of every class with mass.
        floor_seed: splits the target in two for the same-task floor; None to leave it out.
        labelled: whether the target's labels are known, and the transformed classifier's loss on it can be measured.
        exact_pairs: pairs of points per label above which the transport is entropic with a stated gap.
        full: the transport at this `affine` and `joint`, where it is known already.

    Raises:
        ValueError: shapes do not fit, or a class with mass has no example.

    Source:
        spec 3 and 4. The labels' transport splits into one problem per label (4.2), so no weight of a label distance
        is needed.
    """
    if joint.table.shape != (target.classes, reference.classes):
        raise ValueError(f"table must be {(target.classes, reference.classes)}, got {joint.table.shape}")
    rows, labels = affine.pull(head.weights), joint.labels
    moved = reference.mapped(affine.apply(reference.features))
    if full is None:
        full = blocks(moved, target, joint, exact_pairs=exact_pairs)
    taus = tau_labels(rows, labels)
    # Solved apart from a looser one, a tighter one can come out above it by rounding.
    near = np.minimum(_projected(rows, moved, target, joint, exact_pairs), full.by_label)
    scored = (reference.mapped(reference.features @ head.weights.T),
              target.mapped(affine.undo(target.features) @ head.weights.T))  # fmt: skip
    nearest = np.minimum(logits(*scored, joint, exact_pairs).by_label, taus * near)
    loss, accuracy = transformed(head, affine, labels, target, joint.prior) if labelled else (None, None)
    return BoundTerms(
        reference_loss=reweighted(head, reference, joint.weights),
        label_mismatch=joint.entropy,
        wasserstein=full.total(joint.prior),
        tau=tau_pair(rows),
        prior=tuple(joint.prior.tolist()),
        wasserstein_by_label=tuple(full.by_label.tolist()),
        tau_by_label=tuple(taus.tolist()),
        projected_by_label=tuple(near.tolist()),
        logits_by_label=tuple(nearest.tolist()),
        target_loss=loss,
        target_accuracy=accuracy,
        floor=None if floor_seed is None else floor(target, seed=floor_seed),
        gap=full.gap,
        residual_prior=float(np.linalg.norm(labels @ joint.weights - joint.prior)),
        residual_inverse=affine.residual,
        examples_reference=len(reference),
        examples_target=len(target),
    )


def _projected(rows: Tensor, moved: Sample, target: Sample, joint: Joint, exact_pairs: int) -> Floats:
    """[K_T] distances in the directions that the classifier looks at."""
    seen = directions(rows)
    one, two = (part.mapped(part.features @ seen) for part in (moved, target))
    return blocks(one, two, joint, exact_pairs=exact_pairs).by_label


def logits(one: Sample, two: Sample, joint: Joint, exact_pairs: int = EXACT_PAIRS) -> Blocks:
    """Distances in nats of samples of logits [n, K_R]: what the loss at each label can tell apart (`contrasts`)."""
    along = [torch.from_numpy(contrasts(row)).to(one.features) for row in joint.labels]
    return blocks(one, two, joint, exact_pairs=exact_pairs, along=along)


def directions(rows: Tensor) -> Tensor:
    """[d, r] orthonormal directions along which the head's classes differ, r < K; a null direction if they do not."""
    _, values, basis = torch.linalg.svd(rows - rows.mean(dim=0), full_matrices=False)
    kept = int((values > 1e-12 * values[0]).sum()) if len(values) and float(values[0]) > 0 else 0
    return basis[:kept].T if kept else torch.zeros_like(rows[:1]).T


def reweighted(head: Head, reference: Sample, weights: Floats) -> float:
    """Mean loss of the head over classes in these weights, in nats; classes without weight need no example."""
    losses, used = head.class_losses(reference), weights > 0
    if np.isnan(losses[used]).any():
        raise ValueError("reference must have examples of every class with mass, got none of some")
    return float(weights[used] @ losses[used])


def transformed(head: Head, affine: Affine, labels: Floats, target: Sample, prior: Floats) -> tuple[float, float]:
    """Loss in nats and accuracy on the target of B head(A^-1 (z - b)), classes in the weights of the prior."""
    logs = head.logs(affine.undo(target.features))
    table = torch.from_numpy(labels).to(logs)
    own = (logs + table.log()[torch.from_numpy(target.ids).to(logs.device)]).logsumexp(dim=1)
    each = torch.from_numpy(prior / np.maximum(target.counts, 1)).to(logs)[torch.from_numpy(target.ids).to(logs.device)]
    right = (logs.exp() @ table.T).argmax(dim=1) == torch.from_numpy(target.ids).to(logs.device)
    used = each > 0
    return -float(own[used] @ each[used]), float(right.double() @ each)
