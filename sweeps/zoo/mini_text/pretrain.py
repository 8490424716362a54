"""Pre-train one model of the language zoo: `pretrain(name, folder, seed=...)` writes its folder and its card.

One device (the CPU), one process, one thread: the same seed gives the same bytes on the same machine and libraries.
Knows nothing about Ray, plans or tables.
"""

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from sweeps.zoo.training import commit, learning_rate, reproducible

from .architectures import build as build_model
from .corpus import Texts, draw
from .objectives import OBJECTIVES, Batch, collate
from .recipes import RECIPES, Recipe
from .tokenization import build as build_tokenizer

LICENCE = "apache-2.0"
HELD_OUT = 1000
Rows = Sequence[tuple[Tensor, Tensor]]


def pretrain(name: str, folder: Path, *, seed: int, recipe: Recipe | None = None) -> dict[str, Any]:
    """Train one model by its recipe; write the folder `<name>` and the card `<name>.json`; return the card.

    Args:
        name: a key of `recipes.RECIPES`.
        folder: where both go; made when absent.
        seed: of the initial weights, the order of the texts and the words hidden (the texts have the recipe's seed).
        recipe: another recipe than the table's, for trials and tests.

    Raises:
        ValueError: unknown name.
    """
    if name not in RECIPES:
        raise ValueError(f"name must be one of the language zoo's {len(RECIPES)} models, got {name!r}")
    recipe = recipe or RECIPES[name]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with reproducible(seed):
        train = draw(recipe.upstream, "upstream", recipe.corpus_seed, recipe.corpus_size)
        tokenizer = build_tokenizer(recipe)
        model = build_model(recipe, len(tokenizer), train.classes if recipe.loss == "supervised" else ())
        final_loss = _optimise(model, _encoded(tokenizer, train), torch.tensor(train.labels), recipe, seed)
        part = folder / f"{name}.part"
        _write(model, tokenizer, part)
        # Measured with the rounded weights, since those are what a reader of the card will load.
        own = _held_out(type(model).from_pretrained(part, local_files_only=True), tokenizer, recipe)
    shutil.rmtree(folder / name, ignore_errors=True)
    part.rename(folder / name)
    weights = folder / name / "model.safetensors"
    card = {
        **_identity(name, recipe, train, model),
        "upstream_accuracy": own["accuracy"] if recipe.loss == "supervised" else None,
        "held_out": own,
        "final_loss": final_loss,
        "recipe": asdict(recipe),
        "seed": seed,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    (folder / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


def _encoded(tokenizer: PreTrainedTokenizerFast, texts: Texts) -> Rows:
    """(ids, segments) of each text, cut to the tokenizer's length."""
    rows = tokenizer(list(texts.texts), truncation=True, return_token_type_ids=True, return_attention_mask=False)
    return [
        (torch.tensor(ids), torch.tensor(segments))
        for ids, segments in zip(rows["input_ids"], rows["token_type_ids"], strict=True)
    ]


def _batches(rows: Rows, labels: Tensor, size: int, rng: torch.Generator) -> Iterator[Batch]:
    """One batch after another, every text once per epoch; texts of a batch are of like length, to save padding."""
    lengths = torch.tensor([len(ids) for ids, _ in rows])
    while True:
        for window in torch.randperm(len(rows), generator=rng).split(16 * size):
            batches = window[lengths[window].argsort(stable=True)].split(size)
            for at in torch.randperm(len(batches), generator=rng).tolist():
                yield collate([rows[index] for index in batches[at].tolist()], labels[batches[at]])


def _optimise(model: PreTrainedModel, rows: Rows, labels: Tensor, recipe: Recipe, seed: int) -> float:
    """Train in place; return the mean loss of the last hundred steps (fewer if there were fewer)."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}], foreach=True
    )
    rng = torch.Generator().manual_seed(seed)
    batches, objective = _batches(rows, labels, recipe.batch, rng), OBJECTIVES[recipe.loss]
    recent: list[float] = []
    model.train()
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, recipe.steps, recipe.rate)
        loss, _ = objective(model, next(batches), rng)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        recent = [*recent[-99:], float(loss.detach())]
    return sum(recent) / len(recent)


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The folder that transformers loads, with the weights halved; the configuration still says float32.

    So AutoModel computes in single precision on every device, from a file of half the size.
    """
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    weights = folder / "model.safetensors"
    save_file({key: value.half() for key, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    # A third of the size, without the indentation.
    words = folder / "tokenizer.json"
    words.write_text(
        json.dumps(json.loads(words.read_text("utf-8")), separators=(",", ":"), ensure_ascii=False), "utf-8"
    )


def _held_out(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> dict[str, float]:
    """Shares of the loss's own questions that the model answers rightly on texts it never saw."""
    texts = draw(recipe.upstream, "held out", recipe.corpus_seed, min(HELD_OUT, recipe.corpus_size))
    rows, labels, rng = _encoded(tokenizer, texts), torch.tensor(texts.labels), torch.Generator().manual_seed(0)
    right, asked = Counter[str](), Counter[str]()
    model.eval()
    with torch.inference_mode():
        for at in range(0, len(rows), 50):
            _, counts = OBJECTIVES[recipe.loss](model, collate(rows[at : at + 50], labels[at : at + 50]), rng)
            right.update({key: hits for key, (hits, _) in counts.items()})
            asked.update({key: of for key, (_, of) in counts.items()})
    return {key: round(right[key] / asked[key], 4) for key in asked}


def _identity(name: str, recipe: Recipe, train: Texts, model: PreTrainedModel) -> dict[str, Any]:
    return {
        "name": name,
        "architecture": name.split(".")[0],
        "tag": name.split(".")[1],
        "group": recipe.group,
        "tokenizer": recipe.tokenizer,
        "upstream": recipe.upstream,
        "upstream_classes": len(train.classes) if recipe.loss == "supervised" else None,
        "upstream_size": len(train.texts),
        "loss": recipe.loss,
        "parameters": sum(p.numel() for p in model.base_model.parameters()),
        "dim": recipe.width,
        "layers": recipe.layers,
        "length": recipe.length,
        "licence": LICENCE,
        "libraries": {
            package: version(package) for package in ("torch", "transformers", "tokenizers", "numpy", "safetensors")
        },
        "commit": commit(),
    }
