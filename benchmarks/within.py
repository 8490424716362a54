"""How often `within_a_point` comes true: Brier score and reliability by bins, on finished tasks.

    PYTHONPATH=. python benchmarks/within.py [--pools 60]

Each task in turn is asked about with the other tasks as lessons (the published ones are asked with the shipped lessons
alone): random pools of 4 to 12 models, 1 to 3 picks by the probe, and hybrids where the upstream accuracy is known.
`base` is the Brier score of always saying how often it came true on those pools: a forecast is of use below it.
Embedded and real: sweeps/ranking/evidence.csv. Published: 46 models on Retinopathy and EuroSAT, digitised.
"""

import argparse
import csv
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from sweeps.ranking.answer import EVIDENCE
from taskrel.within import chance_within, learn

PUBLISHED = Path(__file__).parents[2] / "shared" / "published" / "needle_46x2.csv"
BINS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)
Cells = list[tuple[float, float]]


def evidence() -> dict[str, dict[str, Cells]]:
    """Zoo -> task -> (probe, accuracy) of its models."""
    found: dict[str, dict[str, Cells]] = {}
    with open(EVIDENCE, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            cells = found.setdefault(row["zoo"], {}).setdefault(row["task"], [])
            cells.append((float(row["linear"]), float(row["accuracy"])))
    if PUBLISHED.is_file():
        with open(PUBLISHED, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found["published"] = {
            task: [(float(row[f"{task}_linear"]), float(row[f"{task}_finetune"])) for row in rows
                   if row[f"{task}_linear"] and row[f"{task}_finetune"]]
            for task in ("retinopathy", "eurosat")
        }  # fmt: skip
    return found


def asked(cells: Cells, lessons: Sequence[object], pools: int, rng: np.random.Generator) -> list[tuple[float, bool]]:
    """(said, came true) over random pools of one task."""
    found = []
    for _ in range(pools):
        probe, accuracy = np.array(cells)[rng.permutation(len(cells))[: rng.integers(4, min(12, len(cells)) + 1)]].T
        for count in (1, 2, 3):
            picks = np.argsort(-probe, kind="stable")[:count]
            known = {int(pick): float(accuracy[pick]) for pick in picks}
            said = chance_within(lessons, probe, known, samples=450)  # type: ignore[arg-type]
            found.append((said, bool(accuracy.max() - accuracy[picks].max() <= 0.01 + 1e-9)))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=60, help="random pools per task")
    pools, tables, rng = parser.parse_args().pools, evidence(), np.random.default_rng(0)
    lessons = {(zoo, task): learn(*zip(*cells, strict=True)) for zoo, tasks in tables.items() if zoo != "published"
               for task, cells in tasks.items()}  # fmt: skip
    bins = [f"{low:.1f} to {high:.1f}" for low, high in pairwise(BINS)]
    print("| tasks | asked | said | came true | Brier | base | " + " | ".join(bins) + " |")
    print("|" + "---|" * (6 + len(bins)))
    for zoo, tasks in tables.items():
        found = [pair for task, cells in tasks.items() for pair in asked(
            cells, [lesson for key, lesson in lessons.items() if key != (zoo, task)], pools, rng)]  # fmt: skip
        said, was = np.array([pair[0] for pair in found]), np.array([pair[1] for pair in found], dtype=float)
        parts = []
        for low, high in pairwise(BINS):
            inside = (said >= low) & ((said < high) | (high == 1.0))
            parts.append(f"{was[inside].mean():.2f} ({inside.sum()})" if inside.any() else "")
        brier, base = ((said - was) ** 2).mean(), was.mean() * (1 - was.mean())
        print(f"| {zoo} ({len(tasks)}) | {len(said)} | {said.mean():.2f} | {was.mean():.2f} | {brier:.3f} | {base:.3f} "
              f"| {' | '.join(parts)} |")  # fmt: skip


if __name__ == "__main__":
    main()
