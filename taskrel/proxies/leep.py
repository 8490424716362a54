"""LEEP, EEP and NCE: how well the decisions of a source head predict the labels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from taskrel.rows import rows
from taskrel.stats import Sums
from taskrel.types import Probe, Score

_BLOCK = 1 << 18  # numbers: 2 MiB


def score(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """Mean log likelihood of the labels under "draw a source class z from the head, then y from P(y|z)", in nats.

    P(y|z) is estimated from the same examples, so the value is optimistic with many source classes.

    Args:
        train: n examples with source_probs [n, Cs].
        val: unused.
        seed: unused.

    Returns:
        At most 0: 0 for perfectly predictive probabilities, minus the entropy of the labels for constant ones.
        `influence` is per training example and counts what the example does to P(y|z).

    Source:
        Nguyen et al., LEEP, ICML 2020. Source classes without mass contribute nothing, where tllib and thuml return
        NaN; several copies forget the logarithm (that is `eep`); spec/proxies.md 4.10.
    """
    del val, seed
    seen = rows(train)
    value, influence = log_likelihood(seen.source_probs, seen.ids.to(seen.source_probs.device), seen.joint)
    return Score(value, (value,), influence=influence.cpu().numpy())


def log_likelihood(probs: Tensor, ids: Tensor, joint: Tensor) -> tuple[float, Tensor]:
    """LEEP of any probabilities, and each example's influence on it.

    Args:
        probs: [n, Cs] rows that sum to 1: of a source head, or posteriors of a mixture.
        ids: [n] place of each label among the C classes.
        joint: [C, Cs] sums of the probabilities over the examples of a class.

    Returns:
        (nats, [n]).
    """
    given = _given_source(joint)
    # At least P²/(n P(z)) for the row's largest P: never 0.
    likelihood = _own(probs, given, ids)
    logs = likelihood.log()
    # What a move of P(y|z) does: the sum over the examples of class y of P_iz / likelihood_i.
    slope = torch.zeros_like(joint)
    for some in _blocks(probs):
        slope.index_add_(0, ids[some], probs[some] / likelihood[some, None])
    each = logs + _through_table(probs, ids, joint, given, slope)
    # A sum of logarithms of numbers that may round to just above 1 is not positive.
    return min(float(logs.mean()), 0.0), each - each.mean()


def expected(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """LEEP without the logarithm: mean likelihood of the labels.

    Args:
        train: n examples with source_probs [n, Cs].
        val: unused.
        seed: unused.

    Returns:
        In (0, 1]; `influence` as for `score`.

    Source:
        What SFDA, EMMS, ETran and PED call LEEP; spec/proxies.md 4.10.
    """
    del val, seed
    seen = rows(train)
    probs, ids, given = seen.source_probs, seen.ids.to(seen.source_probs.device), _given_source(seen.joint)
    likelihood = _own(probs, given, ids)
    each = likelihood + _through_table(probs, ids, seen.joint, given, seen.joint)
    value = eep(seen)
    return Score(value, (value,), influence=(each - each.mean()).cpu().numpy())


def eep(sums: Sums) -> float:
    """The same from sums over the examples."""
    joint = sums.joint
    return min(float((_given_source(joint) * joint).sum() / joint.sum()), 1.0)


def conditional(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """Minus the conditional entropy of the labels given the source head's most probable class, in nats.

    Args:
        train: n examples with source_probs [n, Cs].
        val: unused.
        seed: unused.

    Returns:
        In [-H(y), 0]; `influence` is per training example and exact to first order.

    Source:
        Tran et al., Transferability and hardness of supervised classification tasks, ICCV 2019. Nothing is added to
        empty cells, unlike PARC's copy; spec/proxies.md 4.10.
    """
    del val, seed
    seen = rows(train)
    value = nce(seen)
    # The table terms cancel: the derivative of sum T ln(T/q) is ln(T/q) alone.
    place = seen.source_probs.argmax(dim=1)
    each = _given_source(seen.joint_hard)[seen.ids.to(place.device), place].log()
    return Score(value, (value,), influence=(each - each.mean()).cpu().numpy())


def nce(sums: Sums) -> float:
    """The same from sums over the examples."""
    joint = sums.joint_hard
    return min(float(torch.xlogy(joint, _given_source(joint)).sum() / joint.sum()), 0.0)


def _given_source(joint: Tensor) -> Tensor:
    """[C, Cs] P(y|z); 0 for source classes without mass."""
    mass = joint.sum(dim=0)
    return torch.where(mass > 0, joint / mass, 0.0)


def _through_table(probs: Tensor, ids: Tensor, joint: Tensor, given: Tensor, slope: Tensor) -> Tensor:
    """[n] what each example changes through P(y|z), where `slope` [C, Cs] is n times the derivative by P(y|z)."""
    mass = joint.sum(dim=0)
    by_cell = torch.where(mass > 0, (slope - (slope * given).sum(dim=0)) / mass, 0.0)
    return _own(probs, by_cell, ids)


def _own(probs: Tensor, table: Tensor, ids: Tensor) -> Tensor:
    """[n] each row's product with the row of its class in `table` [C, Cs]."""
    parts = [torch.linalg.vecdot(probs[some], table[ids[some]]) for some in _blocks(probs)]
    return torch.cat(parts)


def _blocks(probs: Tensor) -> Iterator[slice]:
    """Rows at a time, so that what is made of them stays in the cache."""
    step = max(1, _BLOCK // probs.shape[1])
    return (slice(start, start + step) for start in range(0, len(probs), step))
