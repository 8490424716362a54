"""The four pre-training losses on padded batches, and how well each one's own task is solved on held-out texts.

An objective takes (model, batch, generator) and gives the loss in nats and what was right; knows nothing about files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from .tokenization import MASK, PAD

MASKED = 0.3
IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """Padded texts: ids, segments and attention [n, t] int64, labels [n] int64."""

    ids: Tensor
    segments: Tensor
    attention: Tensor
    labels: Tensor


def collate(rows: Sequence[tuple[Tensor, Tensor]], labels: Tensor) -> Batch:
    """The batch of (ids, segments) rows, padded to its longest."""
    ids = pad_sequence([ids for ids, _ in rows], batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(ids) for ids, _ in rows])
    return Batch(
        ids,
        pad_sequence([segments for _, segments in rows], batch_first=True),
        (torch.arange(ids.shape[1]) < lengths[:, None]).long(),
        labels,
    )


Outcome = tuple[Tensor, Mapping[str, tuple[int, int]]]
Objective = Callable[[PreTrainedModel, Batch, torch.Generator], Outcome]


def _right(logits: Tensor, wanted: Tensor) -> tuple[int, int]:
    """How many of the wanted labels have the highest logit, and how many there are."""
    counted = wanted != IGNORED
    return int(((logits.argmax(-1) == wanted) & counted).sum()), int(counted.sum())


def masked(batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """The ids with three words in ten hidden, and the words wanted there.

    Of those chosen 8 in 10 become [MASK], 1 in 10 another token of the batch, 1 in 10 stays.

    Source: Devlin et al. 2019, section 3.1; three tenths instead of 15 %, as the texts are few and seen twice.
    """
    ids, special = batch.ids, batch.ids <= MASK
    chance, fate = (torch.rand(ids.shape, generator=rng) for _ in range(2))
    chosen = (chance < MASKED) & ~special
    others = ids.flatten()[torch.randint(ids.numel(), ids.shape, generator=rng)]
    shown = torch.where(chosen & (fate < 0.8), MASK, torch.where(chosen & (fate > 0.9), others, ids))
    return shown, torch.where(chosen, ids, IGNORED)


def mlm(model: PreTrainedModel, batch: Batch, rng: torch.Generator) -> Outcome:
    """Cross-entropy of the hidden words."""
    shown, wanted = masked(batch, rng)
    out = model(input_ids=shown, attention_mask=batch.attention, labels=wanted)
    return out.loss, {"masked_accuracy": _right(out.logits, wanted)}


def nsp(model: PreTrainedModel, batch: Batch, rng: torch.Generator) -> Outcome:
    """Cross-entropy of the hidden words plus that of whether the second text follows the first."""
    shown, wanted = masked(batch, rng)
    # By transformers' convention 0 is "follows".
    follows = 1 - batch.labels
    out = model(
        input_ids=shown, attention_mask=batch.attention, token_type_ids=batch.segments, labels=wanted,
        next_sentence_label=follows,
    )  # fmt: skip
    return out.loss, {
        "masked_accuracy": _right(out.prediction_logits, wanted),
        "next_sentence_accuracy": _right(out.seq_relationship_logits, follows),
    }


def clm(model: PreTrainedModel, batch: Batch, rng: torch.Generator) -> Outcome:
    """Cross-entropy of each next token."""
    wanted = torch.where(batch.attention == 1, batch.ids, IGNORED)
    out = model(input_ids=batch.ids, attention_mask=batch.attention, labels=wanted)
    return out.loss, {"next_accuracy": _right(out.logits[:, :-1], wanted[:, 1:])}


def supervised(model: PreTrainedModel, batch: Batch, rng: torch.Generator) -> Outcome:
    """Cross-entropy of the labels."""
    out = model(input_ids=batch.ids, attention_mask=batch.attention, labels=batch.labels)
    return out.loss, {"accuracy": _right(out.logits, batch.labels)}


OBJECTIVES: Mapping[str, Objective] = MappingProxyType({"mlm": mlm, "nsp": nsp, "clm": clm, "supervised": supervised})
