"""What both zoos' pre-training shares: a reproducible room, the rate's course, the source's revision."""

import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One thread and a seeded global stream (initialisers read it), both restored afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """The rate of one step: linear warm-up over the first tenth, then half a cosine that ends at 0."""
    warm = max(steps // 10, 1)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


def commit() -> str | None:
    """The git revision of the source, or none outside a repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
