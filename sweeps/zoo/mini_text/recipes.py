"""How each model of the language zoo was made: one frozen row per model. Data only; must not import torch."""

from collections.abc import Mapping
from dataclasses import dataclass
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
    layers: int = 2
    width: int = 64
    heads: int = 4
    length: int = 96
    steps: int = 2500
    batch: int = 32
    rate: float = 3e-3
    corpus_seed: int = 0
    corpus_size: int = 20_000


_DOMAINS = ("opinions", "news", "encyclopaedia", "prose")

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "mini_roberta_chars.mlm": Recipe(
            "architecture", "roberta", "chars", "all", "mlm", width=48, length=256, steps=1200
        ),
        "mini_distilbert_bpe.mlm": Recipe("architecture", "distilbert", "bpe", "all", "mlm", layers=1, width=80),
        "mini_gpt2_bpe.clm": Recipe("architecture", "gpt2", "bpe", "all", "clm", layers=3, width=48),
        "mini_gpt2_bytes.clm": Recipe("architecture", "gpt2", "bytes", "all", "clm", width=64, length=256, steps=1000),
        "mini_llama_bpe.clm": Recipe("architecture", "llama", "bpe", "all", "clm", width=72),
        "mini_bert_bpe.nsp": Recipe("other", "bert", "bpe", "pairs", "nsp"),
        "mini_bert_bpe.sections": Recipe("other", "bert", "bpe", "sections", "supervised", rate=1e-3),
        "mini_distilbert_bpe.moods": Recipe("other", "distilbert", "bpe", "moods", "supervised", layers=3, width=48),
        # The experts and their generalist: the same but for the texts.
        "mini_bert_bpe.expert_full": Recipe("expert", "bert", "bpe", "all", "mlm"),
        **{f"mini_bert_bpe.expert_{domain}": Recipe("expert", "bert", "bpe", domain, "mlm") for domain in _DOMAINS},
    }
)
