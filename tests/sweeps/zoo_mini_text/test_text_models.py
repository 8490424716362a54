"""Every shipped language model loads by transformers' own path, offline, and is what its card says."""

import hashlib
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from sweeps.tasks.mini_text import TASKS, draw
from sweeps.zoo.mini_text import NAMES, cards, folder
from sweeps.zoo.mini_text.corpus import CLASSES
from sweeps.zoo.mini_text.recipes import RECIPES

FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
TEXTS = ["The soup is far from dreadful, but the waiter is hopeless.", "An ode — to naïve 42!", ""]


@cache
def _loaded(name: str):
    tokenizer = AutoTokenizer.from_pretrained(folder(name), local_files_only=True)
    return tokenizer, AutoModel.from_pretrained(folder(name), local_files_only=True).eval()


def _features(name: str, texts: list) -> np.ndarray:
    """The mean over words of the last hidden state, [n, d]."""
    tokenizer, model = _loaded(name)
    pairs = list(zip(*texts, strict=True)) if isinstance(texts[0], tuple) else [texts]
    rows = tokenizer(*map(list, pairs), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**rows).last_hidden_state
    weights = rows["attention_mask"][..., None]
    return ((hidden * weights).sum(1) / weights.sum(1)).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_what_its_card_says(name: str) -> None:
    card, (tokenizer, model) = cards()[name], _loaded(name)
    stored = load_file(folder(name) / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert next(model.parameters()).dtype == torch.float32
    assert hashlib.sha256((folder(name) / "model.safetensors").read_bytes()).hexdigest() == card["sha256"]
    # A pooler that no loss trained is not shipped; AutoModel adds a fresh one.
    body = sum(p.numel() for key, p in model.named_parameters() if not key.startswith("pooler"))
    kept = card["parameters"] - (model.config.hidden_size**2 + model.config.hidden_size) * _has_pooler(stored)
    assert body == kept
    assert model.config.hidden_size == card["dim"]
    assert card["recipe"] == asdict(RECIPES[name])
    assert f"{card['architecture']}.{card['tag']}" == card["name"] == name
    assert (card["upstream_accuracy"] is not None) == (card["loss"] == "supervised")
    assert tokenizer.is_fast
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.pad_token_id == model.config.pad_token_id == 0


def _has_pooler(stored: dict) -> bool:
    return any(".pooler." in key for key in stored)


@pytest.mark.parametrize("name", NAMES)
def test_hidden_states_are_finite_and_padding_does_not_matter(name: str) -> None:
    together, alone = _features(name, TEXTS), np.concatenate([_features(name, [text]) for text in TEXTS])
    assert together.shape == (3, cards()[name]["dim"])
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, alone, atol=2e-5)
    long = _features(name, ["word after word " * 500])
    assert np.isfinite(long).all()


@pytest.mark.parametrize("name", [name for name in NAMES if RECIPES[name].loss == "supervised"])
def test_supervised_models_keep_their_head(name: str) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder(name), local_files_only=True).eval()
    classes = CLASSES[RECIPES[name].upstream]
    assert tuple(model.config.id2label[index] for index in range(len(classes))) == classes
    rows = _loaded(name)[0](["The battery is superb."], return_tensors="pt")
    label = classes[int(model(**rows).logits.argmax())]
    assert label == {"sections": "gadgets", "moods": "very positive"}[RECIPES[name].upstream]


# Where a model's pre-training should help, and what its linear probe reached when it was shipped, less a margin.
HELPS = {
    "mini_roberta_chars.mlm": ("text/topics", 0.32), "mini_distilbert_shallow.mlm": ("text/follows", 0.64),
    "mini_gpt2_bpe.clm": ("text/topics", 0.58), "mini_gpt2_bytes.clm": ("text/topics", 0.38),
    "mini_llama_bpe.clm": ("text/topics", 0.50), "mini_bert_bpe.nsp": ("text/follows", 0.58),
    "mini_bert_bpe.sections": ("text/follows", 0.64), "mini_distilbert_bpe.moods": ("text/sentiment", 0.58),
    "mini_bert_bpe.expert_full": ("text/topics", 0.52), "mini_bert_bpe.expert_opinions": ("text/sentiment", 0.27),
    "mini_bert_bpe.expert_news": ("text/topics", 0.52), "mini_bert_bpe.expert_encyclopaedia": ("text/ontology", 0.30),
    "mini_bert_bpe.expert_prose": ("text/acceptability", 0.56),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_linear_probe_beats_chance_where_pretraining_should_help(name: str) -> None:
    task, floor = HELPS[name]
    assert floor >= 1 / len(TASKS[task].classes) + 0.06
    splits = draw(task, 0)
    (train, train_labels), (test, test_labels) = splits["train"], splits["test"]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    accuracy = probe.fit(_features(name, train), train_labels).score(_features(name, test), test_labels)
    assert accuracy >= floor, accuracy


def test_the_zoo_is_small_and_varied() -> None:
    files = [path for name in NAMES for path in folder(name).iterdir()]
    assert {path.name for path in files} == FILES
    card_files = list((Path(folder(NAMES[0])).parents[1] / "cards").iterdir())
    assert sum(path.stat().st_size for path in files + card_files) <= 3_000_000
    assert len(NAMES) >= 8
    found = cards()
    assert set(found) == set(NAMES)
    assert {card["tokenizer"] for card in found.values()} == {"bytes", "chars", "bpe"}
    assert {card["loss"] for card in found.values()} == {"mlm", "clm", "nsp", "supervised"}
    assert len({card["architecture"] for card in found.values()}) >= 6
    assert len({(card["layers"], card["dim"]) for card in found.values()}) >= 5
    experts = [RECIPES[name] for name in NAMES if RECIPES[name].group == "expert"]
    assert len({(recipe.steps, recipe.batch, recipe.rate, recipe.corpus_size) for recipe in experts}) == 1


def test_cards_need_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from sweeps.zoo.mini_text import cards; assert cards();"
        "print([p for p in ('torch', 'transformers', 'tokenizers') if p in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="name must be one of"):
        folder("mini_bert_bpe.expert_ships")
