"""What ``--zoo`` may say: names and patterns, a zoo or sweep file, a checkpoint, a folder of checkpoints."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps.config import read
from sweeps.errors import ConfigError

DEFAULT = ("mini_*",)  # the embedded zoo: what is there without a network


def models(zoo: Sequence[str]) -> dict[str, Any]:
    """The keys ``models`` and ``model`` of a sweep.

    Raises:
        ConfigError: for a file without models or a folder without checkpoints.
    """
    found: dict[str, Any] = {"models": [], "model": []}
    for place in (part.strip() for one in zoo for part in one.split(",") if part.strip()):
        path = Path(place).expanduser()
        if path.suffix == ".toml":
            data = read(path)
            if not (data.get("models") or data.get("model")):
                raise ConfigError(f"a zoo must name models, got {path} without models or [[model]]")
            found["models"] += data.get("models", [])
            found["model"] += data.get("model", [])
        elif path.is_dir():
            found["model"] += _checkpoints(path)
        else:
            found["models"].append(place)
    return found


def _checkpoints(folder: Path) -> list[dict[str, str]]:
    """The checkpoint that a folder is, or those that lie in it."""
    places = [one for one in (folder, *sorted(folder.iterdir()))
              if (one / "config.json").is_file() or (one / "modules.json").is_file()]  # fmt: skip
    places = places[:1] if places[:1] == [folder] else places
    if not places:
        raise ConfigError(
            f"a folder of a zoo must hold checkpoints (config.json beside model.safetensors), got {folder}"
        )
    return [{"name": place.resolve().name, "source": f"{_kind(place)}:{place.resolve()}"} for place in places]


def _kind(folder: Path) -> str:
    """timm's checkpoints name an architecture, those of transformers do not."""
    try:
        stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "transformers"
    return "local-dir" if "architecture" in stated and "model_type" not in stated else "transformers"
