"""LEEP, EEP and NCE: how well the decisions of a source head predict the labels."""

from __future__ import annotations

import torch
from torch import Tensor

from taskrel.rows import rows
from taskrel.stats import Sums
from taskrel.types import Probe, Score


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
    n = len(ids)
    given = _given_source(joint)
    # At least P²/(n P(z)) for the row's largest P: never 0.
    likelihood = (probs @ given.T).gather(1, ids[:, None]).squeeze(1)
    logs = likelihood.log()
    # What a move of P(y|z) does: the sum over the examples of class y of P_iz / likelihood_i.
    per_likelihood = torch.zeros(n, len(joint), dtype=probs.dtype, device=probs.device)
    per_likelihood[torch.arange(n, device=ids.device), ids] = 1 / likelihood
    each = logs + _through_table(probs, ids, joint, given, per_likelihood.T @ probs)
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
    likelihood = (probs @ given.T).gather(1, ids[:, None]).squeeze(1)
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
    return (probs @ by_cell.T).gather(1, ids[:, None]).squeeze(1)
