"""What ``--zoo`` may say: names and patterns, a shipped zoo or a file of one, a checkpoint, a folder of checkpoints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps.config import SHELVES, checkpoint, zoo
from sweeps.settings import Zoo

DEFAULT = ("mini_*",)  # the embedded zoo: what is there without a network


def models(places: Sequence[str]) -> dict[str, Any]:
    """The keys ``models`` and ``model`` of a sweep.

    Raises:
        ConfigError: for a zoo that is not there or has faults, or a folder without checkpoints.
    """
    found: dict[str, Any] = {"models": [], "model": []}
    for place in (part.strip() for one in places for part in one.split(",") if part.strip()):
        known = _zoo(place)
        if known is None:
            found["models"].append(place)
        else:
            found["models"] += known.models
            found["model"] += [entry.model_dump(exclude_unset=True) for entry in known.model]
    return found


def _zoo(place: str) -> Zoo | None:
    """The zoo of that name or place; None for the name or pattern of models."""
    path = Path(place).expanduser()
    if path.is_dir() and (one := checkpoint(path.resolve())) is not None:
        return Zoo(model=(one,))
    if path.is_dir() or path.suffix == ".toml":
        return zoo(str(path.resolve()))
    shipped = any((shelf / f"{place}.toml").is_file() for shelf in SHELVES)
    return zoo(place) if shipped else None
