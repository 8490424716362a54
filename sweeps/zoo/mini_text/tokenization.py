"""The three tokenizers: bytes, characters and a small byte-pair encoding learned from the whole corpus.

All have the same five special tokens and write [CLS] text [SEP], or [CLS] text [SEP] text [SEP].
"""

import string

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from .corpus import draw
from .recipes import Recipe

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
PAD, UNK, CLS, SEP, MASK = range(5)
_ALPHABET = string.ascii_lowercase + string.digits + string.punctuation


def build(recipe: Recipe) -> PreTrainedTokenizerFast:
    """The recipe's tokenizer; byte pairs are counted on the corpus of all domains, whatever the model is trained on."""
    tokenizer = {"bytes": _bytes, "chars": _chars, "bpe": _bpe}[recipe.tokenizer](recipe)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    # Where segments were not trained, a second text in one would be read through noise.
    segments = ["token_type_ids"] if recipe.loss == "nsp" else []
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=recipe.length, padding_side="right",
        model_input_names=["input_ids", *segments, "attention_mask"],
        **{f"{kind}_token": token for kind, token in SPECIAL.items()},
    )  # fmt: skip


def _bytes(recipe: Recipe) -> Tokenizer:
    symbols = [*SPECIAL.values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({symbol: index for index, symbol in enumerate(symbols)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return tokenizer


def _chars(recipe: Recipe) -> Tokenizer:
    symbols = [*SPECIAL.values(), " ", *_ALPHABET]
    tokenizer = Tokenizer(models.WordLevel({symbol: index for index, symbol in enumerate(symbols)}, "[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return tokenizer


def _bpe(recipe: Recipe) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=list(_ALPHABET),
        show_progress=False,
    )
    texts = draw("all", "upstream", recipe.corpus_seed, min(recipe.corpus_size, 5000)).texts
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
