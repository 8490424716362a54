"""The state of a fine-tuning between two jobs, so that a run is taken on in parts.

It gives the bytes of a run without a break: weights, what the optimiser remembers and the random state are kept. A
state that is gone, or lies on another machine, is trained again.
"""

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sweeps.fingerprint import fingerprint
from sweeps.jobs.recipes import Optimiser
from sweeps.types import Job, Point

APART = ("origin", "until", "test")  # settings by which parts of one run differ


def folder(job: Job, cache: Path) -> Path:
    """Where the states of a run are: the same for all its parts."""
    settings = {key: value for key, value in job.settings.items() if key not in APART}
    return cache / "halfway" / fingerprint([job.model.content, job.task.content, settings])


def latest(place: Path) -> tuple[Path | None, list[Point]]:
    """The state in a folder and the points up to it; none where there is none."""
    states = sorted(place.glob("*.safetensors"), key=lambda path: int(path.stem)) if place.is_dir() else []
    if not states:
        return None, []
    with safe_open(states[-1], framework="pt") as file:
        return states[-1], [Point(**point) for point in json.loads(file.metadata()["points"])]


def load(path: Path, module: torch.nn.Module, descent: Optimiser) -> int:
    """Put a state back; returns after how many steps it was."""
    with safe_open(path, framework="pt") as file:
        parts: dict[str, dict[str, torch.Tensor]] = {"module": {}, "descent": {}, "random": {}}
        for name in file.keys():  # noqa: SIM118  no mapping
            part, _, rest = name.partition("/")
            parts[part][rest] = file.get_tensor(name)
    module.load_state_dict(parts["module"])
    descent.restore(parts["descent"])
    torch.set_rng_state(parts["random"]["cpu"])
    if "cuda" in parts["random"]:
        torch.cuda.set_rng_state(parts["random"]["cuda"])
    return int(path.stem)


def keep(place: Path, module: torch.nn.Module, descent: Optimiser, points: Sequence[Point]) -> None:
    """Write the state after the last point, whole or not at all, in place of the one before."""
    tensors = {f"module/{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"descent/{name}": value for name, value in descent.state().items()}
    tensors["random/cpu"] = torch.get_rng_state()
    if any(value.is_cuda for value in tensors.values()):
        tensors["random/cuda"] = torch.cuda.get_rng_state()
    place.mkdir(parents=True, exist_ok=True)
    temporary, path = place / f".tmp-{uuid.uuid4().hex}", place / f"{points[-1].step}.safetensors"
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, temporary,
              metadata={"points": json.dumps([asdict(point) for point in points])})  # fmt: skip
    os.replace(temporary, path)
    for other in place.glob("*.safetensors"):
        if other != path:
            other.unlink(missing_ok=True)
