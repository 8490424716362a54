"""How each model of the language zoo was made: one frozen row per model. Data only; must not import torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True)
class Recipe:
    """One pre-training run.

    Attributes:
        group: "architecture", "expert" or "other", as in the study's pools.
        architecture: "bert", "roberta", "distilbert", "gpt2" or "llama", as transformers names them.
        tokenizer: "bpe", "chars" or "bytes".
        upstream: the upstream set (`corpus.UPSTREAMS`).
        loss: "mlm" (masked words), "clm" (the next word), "nsp" (masked words and next sentence) or "supervised".
        vocabulary: tokens of a byte-pair encoding.
        layers, width, heads: of the transformer; the inner width of a block is twice its width (Llama: 3/2).
        length: tokens at most, special ones included.
        steps: optimiser steps.
        batch: texts per step.
        rate: peak learning rate; warm-up over a tenth of the steps, then a cosine to 0.
        corpus_seed: seed of the upstream draw.
        corpus_size: texts drawn.
    """

    group: str
    architecture: str
    tokenizer: str
    upstream: str
    loss: str
    vocabulary: int = 1024
    layers: int = 2
    width: int = 48
    heads: int = 4
    length: int = 96
    steps: int = 2200
    batch: int = 32
    rate: float = 3e-3
    corpus_seed: int = 0
    corpus_size: int = 20_000


_BERT = Recipe("other", "bert", "bpe", "all", "mlm")
_EXPERT = replace(_BERT, group="expert")
_DOMAINS = ("opinions", "news", "encyclopaedia", "prose")

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "mini_roberta_chars.mlm": Recipe("architecture", "roberta", "chars", "all", "mlm", length=256, steps=1000),
        "mini_distilbert_shallow.mlm": Recipe(
            "architecture", "distilbert", "bpe", "all", "mlm", layers=1, width=64, steps=2000
        ),
        "mini_gpt2_bpe.clm": Recipe("architecture", "gpt2", "bpe", "all", "clm", layers=3, steps=2000),
        "mini_gpt2_bytes.clm": Recipe("architecture", "gpt2", "bytes", "all", "clm", width=56, length=256, steps=800),
        "mini_llama_bpe.clm": Recipe("architecture", "llama", "bpe", "all", "clm", width=64, steps=2000),
        "mini_bert_bpe.nsp": replace(_BERT, upstream="pairs", loss="nsp"),
        "mini_bert_bpe.sections": replace(_BERT, upstream="sections", loss="supervised", steps=1000),
        "mini_distilbert_bpe.moods": Recipe(
            "other", "distilbert", "bpe", "moods", "supervised", vocabulary=512, layers=3, steps=2500
        ),
        # The experts and their generalist: the same but for the texts.
        "mini_bert_bpe.expert_full": _EXPERT,
        **{f"mini_bert_bpe.expert_{domain}": replace(_EXPERT, upstream=domain) for domain in _DOMAINS},
    }
)
