"""Looking at the embedded models with and without halving over parts of the data: seconds, the cost model's, the picks.

    PYTHONPATH=. python benchmarks/sift.py --out /tmp/sifted [--tasks letters terrain] [--images 8000]

Draws a task of the embedded zoo with more images than it has and ranks its 24 image models on it, one job at a time in
this process: once on all images, once halved.
"""

import argparse
from pathlib import Path

import numpy as np

from sweeps.hands import How
from sweeps.ranking import Answer, prepare
from sweeps.ranking.prepare import go
from sweeps.sifting import verdict
from sweeps.tasks import mini
from sweeps.tasks.splits import SHARES

LOOKING = ("sift", "embed", "score")


def drawn(task: str, images: int, folder: Path) -> Path:
    """A file of so many training images, and validation and test in proportion."""
    path = folder / f"{task}-{images}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        name, count = f"mini/{task}", round(images / SHARES["train"])
        labels = np.arange(count, dtype=np.int64) % len(mini.TASKS[name].classes)
        np.savez(path, images=mini._PAINTERS[name](np.random.default_rng(0), labels), labels=labels)
    return path


def looked(answer: Answer) -> float:
    """Seconds of looking at models."""
    return sum(answer.seconds.get(kind) or 0.0 for kind in LOOKING)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder; what it holds is not measured again")
    parser.add_argument("--tasks", nargs="*", default=["letters", "terrain"])
    parser.add_argument("--images", type=int, default=8000, help="training images")
    parser.add_argument("--zoo", nargs="*", default=["mini_*"])
    asked = parser.parse_args()
    print("| task | models | seconds | halved | times | cost model says | first without | first halved |")
    print("|---|---|---|---|---|---|---|---|")
    for task in asked.tasks:
        found = {}
        for halving in (False, True):
            ready = prepare(drawn(task, asked.images, asked.out), asked.zoo, finetune=False,
                            out=asked.out / f"{task}-{asked.images}-{halving}", how=How(executor="inline"),
                            overrides=[f"embed.halving={str(halving).lower()}"])  # fmt: skip
            found[halving] = go(ready)
        said = verdict(ready.config, ready.planned[0], ready.planned[1][0])
        plain, halved = (looked(found[halving]) for halving in (False, True))
        orders = [", ".join(each.model for each in found[halving].ranking[:4]) for halving in (False, True)]
        print(f"| {task} | {len(found[True].ranking)} | {plain:.0f} | {halved:.0f} | {plain / halved:.1f} | "
              f"{said.without:.0f}, {said.with_halving:.0f}: {said.without / said.with_halving:.1f} | "
              f"{' | '.join(orders)} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
