"""Pre-train one model of the mini zoo: `pretrain(name, folder, seed=...)` writes its weights and its card.

One device (the CPU), one process, one thread: the same seed gives the same bytes on the same machine and libraries,
however many other models are trained beside it. Knows nothing about Ray, plans or tables.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sweeps.zoo.training import commit, learning_rate, reproducible

from . import architectures  # noqa: F401  (registers the architectures with timm)
from .objective import Objective
from .objectives import OBJECTIVES
from .recipes import RECIPES, Recipe
from .world import Images, cached

LICENCE = "apache-2.0"


def pretrain(name: str, folder: Path, *, seed: int, recipe: Recipe | None = None) -> dict[str, Any]:
    """Train one model by its recipe; write `<name>.safetensors` and `<name>.json`; return the card.

    Args:
        name: a key of `recipes.RECIPES`.
        folder: where both files go; made when absent.
        seed: of the initial weights, the order of the images and the views (the images have the recipe's own seed).
        recipe: another recipe than the table's, for trials and tests.

    Raises:
        ValueError: unknown name.
    """
    if name not in RECIPES:
        raise ValueError(f"name must be one of the zoo's {len(RECIPES)} models, got {name!r}")
    recipe = recipe or RECIPES[name]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with reproducible(seed):
        train = cached(recipe.upstream, "train", recipe.world_seed, per_class=recipe.per_class)
        objective = _objective(name, recipe, train)
        final_loss = _optimise(objective, train, recipe, seed)
        weights = folder / f"{name}.safetensors"
        save_file(_compact(objective.body.state_dict()), weights)
        # Measured with the rounded weights, since those are what a reader of the card will load.
        objective.body.load_state_dict(load_file(weights))
        own = _held_out(objective, recipe)
    card = {
        **_identity(name, recipe, train, objective.body),
        "upstream_accuracy": own if recipe.group == "architecture" else None,
        "own_accuracy": own,
        "final_loss": final_loss,
        "recipe": asdict(recipe),
        "seed": seed,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    (folder / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


def _objective(name: str, recipe: Recipe, train: Images) -> Objective:
    heads = len(train.classes) if recipe.loss == "supervised" else 0
    body = timm.create_model(name.split(".")[0], pretrained=False, num_classes=heads)
    return OBJECTIVES[recipe.loss](body, len(train.classes)).to(memory_format=torch.channels_last)


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": vectors, "weight_decay": 0.0}]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.rate, momentum=0.9, nesterov=True, foreach=True)
    betas = (0.5, 0.99) if recipe.optimiser == "adversarial" else (0.9, 0.999)
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=betas, foreach=True)


def _optimise(objective: Objective, train: Images, recipe: Recipe, seed: int) -> float:
    """Train in place; return the mean loss of the last hundred steps (fewer if there were fewer)."""
    pixels, labels = torch.from_numpy(train.pixels), objective.seen(torch.from_numpy(train.labels))
    optimiser, rng = _optimiser(objective, recipe), torch.Generator().manual_seed(seed)
    batches = _batches(len(labels), recipe.batch, rng)
    recent: list[float] = []
    objective.train()
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, recipe.steps, recipe.rate)
        index = next(batches)
        loss = objective(pixels[index], labels[index], rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        recent = [*recent[-99:], float(loss.detach())]
    return sum(recent) / len(recent)


def _batches(n: int, batch: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Indices of one batch after another, every image once per epoch, the short last batch left out."""
    while True:
        order = torch.randperm(n, generator=rng)
        yield from order[: n - n % batch].split(batch) if n >= batch else (order,)


def _compact(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state as shipped: matrices in half precision; vectors as they are.

    Running variances can lie below half precision's normal range, and weigh next to nothing.
    """
    return {key: (value.half() if value.ndim > 1 else value).contiguous() for key, value in state.items()}


def _held_out(objective: Objective, recipe: Recipe) -> float:
    val = cached(recipe.upstream, "val", recipe.world_seed, per_class=recipe.per_class)
    objective.eval()
    return round(objective.held_out(torch.from_numpy(val.pixels), torch.from_numpy(val.labels)), 4)


def _identity(name: str, recipe: Recipe, train: Images, body: nn.Module) -> dict[str, Any]:
    architecture, tag = name.split(".")
    timm_body: Any = body
    head = timm_body.get_classifier()
    with_head = sum(p.numel() for p in body.parameters())
    return {
        "name": name,
        "architecture": architecture,
        "tag": tag,
        "group": recipe.group,
        "upstream": recipe.upstream,
        "upstream_classes": len(train.classes) if recipe.loss == "supervised" else None,
        "upstream_size": len(train.labels),
        "loss": recipe.loss,
        "parameters": with_head - sum(p.numel() for p in head.parameters()),
        "dim": timm_body.num_features,
        "input_size": 32,
        "licence": LICENCE,
        "libraries": {package: version(package) for package in ("torch", "timm", "numpy", "safetensors", "pillow")},
        "commit": commit(),
    }
