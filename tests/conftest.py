"""Shared fixtures: small real things (models, image folders, stores). No mocks of our own code, no network."""

import json
import os
import tempfile
from pathlib import Path

os.environ["RAY_AUTH_MODE"] = "disabled"  # one machine, and no token file in the user's home
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["SWEEPS_CACHE"] = tempfile.mkdtemp(prefix="sweeps-tests-")  # what was looked at, not in the user's home

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
DOUBLES = Path(__file__).parent / "doubles"

# The same cases each time, so that a red run is red again; HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need what is not part of the repository skip with the reason."""
    for item in items:
        for mark, folder in (("real", SHARED / "real"), ("published", SHARED / "published")):
            if item.get_closest_marker(mark) and not folder.is_dir():
                item.add_marker(pytest.mark.skip(reason=f"{folder} is absent"))


def draw_folder(
    folder: Path, classes: int = 3, sizes: dict[str, int] | None = None, side: int = 16, seed: int = 0
) -> Path:
    """An image folder in which class k is brighter in channel k; ``sizes`` are images per class and split."""
    random = np.random.default_rng(seed)
    for split, count in (sizes or {"train": 12, "val": 6, "test": 6}).items():
        for label in range(classes):
            (folder / split / f"class_{label}").mkdir(parents=True, exist_ok=True)
            for index in range(count):
                pixels = random.integers(0, 150, (side, side, 3))
                pixels[..., label % 3] += 50
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / split / f"class_{label}" / f"{index:03d}.png")
    return folder


def tiny_config(folder: Path, **changes: object) -> dict:
    """A sweep of two tiny models over one or more folders that runs in seconds inline."""
    tasks = sorted(path for path in folder.iterdir() if path.is_dir())
    config: dict = {
        "name": "tiny",
        "model": [
            {"name": f"tiny_{width}", "source": "factory:tiny:build", "path": str(DOUBLES), "group": "user",
             "args": {"width": width, **({"delay": changes["delay"]} if "delay" in changes else {})},
             "upstream_accuracy": 0.5 + width / 100, "parameters": 1000 * width}
            for width in (4, 8)
        ],
        "task": [{"name": path.name, "path": str(path)} for path in tasks],
        "embed": {"image_size": 16, "batch": 16},
        "proxies": {"knn": {}, "linear": {"steps": 30, "repeats": 2}},
        "finetune": {"learning_rates": [0.1, 0.01], "steps": 8, "batch": 8, "repeats": 2},
        "search": {"budget": 1, "models": "linear", "trials": 3},
        "regret": {"bootstrap": 50},
    }  # fmt: skip
    return config | {key: value for key, value in changes.items() if key != "delay"}


@pytest.fixture
def two_tasks(tmp_path: Path) -> Path:
    """A folder with two small image tasks."""
    for index, name in enumerate(("first", "second")):
        draw_folder(tmp_path / "tasks" / name, classes=3 + index, seed=index)
    return tmp_path / "tasks"


def to_toml(value: object) -> str:
    """Plain data as TOML: one line per top-level key, inline tables below."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {to_toml(item)}' for key, item in value.items() if item is not None) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    return (
        {True: "true", False: "false"}[value]
        if isinstance(value, bool)
        else repr(value)
        if isinstance(value, (int, float))
        else json.dumps(value)
    )


def write_toml(path: Path, config: dict) -> Path:
    """Write a sweep file."""
    path.write_text("\n".join(f"{key} = {to_toml(value)}" for key, value in config.items() if value is not None) + "\n")
    return path
