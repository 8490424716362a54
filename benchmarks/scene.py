"""What the benchmarks share: drawn image folders, entries for models without weights, and the printed line."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sweeps.settings import ModelEntry, TaskEntry
from sweeps.tasks.registry import from_images
from sweeps.types import Model, Task
from sweeps.zoo.registry import resolve_entry


def image_folder(folder: Path, side: int, sizes: dict[str, int], classes: int = 4) -> Task:
    """A task of random JPEG photographs, so to speak: ``sizes`` images per split in all."""
    random = np.random.default_rng(0)
    for split, count in sizes.items():
        for index in range(count):
            target = folder / split / f"class_{index % classes}"
            target.mkdir(parents=True, exist_ok=True)
            coarse = random.integers(0, 255, (side // 8, side // 8, 3)).astype(np.uint8)
            Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(
                target / f"{index}.jpg", quality=90
            )
    return from_images(TaskEntry(name=folder.name, path=str(folder)), seed=0)


def untrained(name: str, side: int | None = None) -> Model:
    """A timm model with random weights: as fast as the real one, and nothing to download."""
    args = {} if side is None else {"pretrained_cfg_overlay": {"input_size": [3, side, side], "crop_pct": 1.0}}
    return resolve_entry(ModelEntry(name=name, source=f"timm:{name}", pretrained=False, args=args))


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The fastest of a few calls, in seconds."""
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def line(what: str, ours: float, theirs: float, unit: str, aim: str) -> None:
    """Print one comparison: both rates, their ratio, and what was aimed at."""
    print(
        f"{what:<58} ours {ours:>9.1f}  bare {theirs:>9.1f} {unit:<9} ratio {ours / theirs:5.2f}   aim {aim}",
        flush=True,
    )
