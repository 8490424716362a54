"""Small random language models as transformers folders, and a text task whose classes differ in their words."""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "eos_token": "[SEP]"}
WORDS = [f"{kind}{number}" for kind in ("good", "bad", "odd", "the") for number in range(8)]
VOCABULARY = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}


def tokenizer(*, pad: bool = True) -> transformers.PreTrainedTokenizerFast:
    """Words, [CLS] ... [SEP] around them; without a padding token if so wanted."""
    inner = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = SPECIAL if pad else {key: value for key, value in SPECIAL.items() if key != "pad_token"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=64, **names)


SIZE = {"vocab_size": len(VOCABULARY), "pad_token_id": 0}
CONFIGS = {
    "bert": lambda: transformers.BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                            intermediate_size=32, max_position_embeddings=64, **SIZE),
    "distilbert": lambda: transformers.DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32,
                                                        max_position_embeddings=64, **SIZE),
    "roberta": lambda: transformers.RobertaConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                                  intermediate_size=32, max_position_embeddings=34,
                                                  type_vocab_size=1, **SIZE),
    "gpt2": lambda: transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=2,
                                            eos_token_id=3, vocab_size=len(VOCABULARY)),
    "llama": lambda: transformers.LlamaConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                              num_key_value_heads=2, intermediate_size=32, bos_token_id=2,
                                              eos_token_id=3, pad_token_id=None, max_position_embeddings=64,
                                              vocab_size=len(VOCABULARY)),
    "t5": lambda: transformers.T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, eos_token_id=3,
                                        decoder_start_token_id=0, **SIZE),
    "vit": lambda: transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                          intermediate_size=32, image_size=16, patch_size=8),
}  # fmt: skip


def folder(path: Path, kind: str, *, classes: int | None = None, pad: bool = True, seed: int = 0) -> Path:
    """Save a model of that kind, with a classifier of so many classes if asked for, and its tokenizer."""
    torch.manual_seed(seed)
    config = CONFIGS[kind]()
    factory = transformers.AutoModel
    if classes is not None:
        config.num_labels, factory = classes, transformers.AutoModelForSequenceClassification
    if not pad:
        config.pad_token_id = None
    factory.from_config(config).save_pretrained(path)
    tokenizer(pad=pad).save_pretrained(path)
    return path


def sentences(count: int, seed: int = 0, classes: int = 3) -> tuple[list[str], list[str]]:
    """Texts of 2 to 20 words and their labels; a class has a word of its own in every text."""
    random = np.random.default_rng(seed)
    texts, labels = [], []
    for index in range(count):
        label = index % classes
        words = [f"the{random.integers(8)}" for _ in range(random.integers(1, 20))]
        words.insert(int(random.integers(len(words) + 1)), f"{('good', 'bad', 'odd')[label]}{random.integers(8)}")
        texts.append(" ".join(words))
        labels.append(("positive", "negative", "strange")[label])
    return texts, labels


def jsonl(path: Path, count: int = 60, seed: int = 0, classes: int = 3) -> Path:
    """The same as a file of JSON lines with the columns text, label and second."""
    texts, labels = sentences(count, seed, classes)
    rows = ({"text": text, "label": label, "second": text[::-1]} for text, label in zip(texts, labels, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
