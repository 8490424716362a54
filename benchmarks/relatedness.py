"""How scores of the bound go with accuracy in the output of a sweep, beside the cheap alternatives, with intervals.

    python benchmarks/relatedness.py out/mini_bound            # a Markdown table; the page docs/relatedness.md has two

Regret is relative, of the one model that a score picks, in the pool all, with the interval of the sweep's report.
Correlations are means over tasks (over the models of each) or over models (over the tasks of each); their intervals are
central 95 % of 2000 bootstrap samples of those tasks or models. Seconds are of one (model, task), embedding aside.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from sweeps.report import relatedness
from sweeps.store import Store
from sweeps.types import Row
from taskrel.bootstrap import percentiles

COLUMNS = (("fine-tuning", "models"), ("linear probe", "models"), ("fine-tuning", "tasks"), ("linear probe", "tasks"))
STATISTICS = ("pearson", "spearman", "weighted_tau")


def mean(values: list[float | None], seed: int = 0) -> str:
    """The mean with its interval."""
    known = np.array([value for value in values if value is not None], dtype=float)
    if not len(known):
        return "-"
    drawn = np.random.default_rng(seed).choice(known, size=(2000, len(known))).mean(axis=1)
    low, high = percentiles(drawn, 0.95)
    return f"{known.mean():.2f} [{low:.2f}, {high:.2f}]"


def seconds(store: Store, related: list[Row]) -> dict[str, float]:
    """Mean seconds of one (model, task), by score."""
    took: dict[str, list[float]] = {}
    for row in [*store.rows("scores"), *related]:
        if row["seconds"] is not None:
            took.setdefault(row["proxy"], []).append(row["seconds"])
    return {name: float(np.mean(each)) for name, each in took.items()}


def regrets(store: Store) -> dict[str, str]:
    """Relative regret of one model, by score."""
    return {
        row["proxy"]: " ".join(
            f"{100 * value:.1f}" if at == 0 else f"[{100 * value:.1f}, {100 * row['relative_regret_1_high']:.1f}]"
            for at, value in enumerate((row["relative_regret_1"], row["relative_regret_1_low"])) if value is not None
        )
        for row in store.rows("proxies")
        if row["pool"] == "all" and row["relative_regret_1"] is not None
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="output folder of a sweep with [bound]")
    parser.add_argument("--statistic", choices=STATISTICS, default="weighted_tau")
    options = parser.parse_args()
    store = Store(options.out)
    tasks = list(dict.fromkeys(row["task"] for row in store.rows("tasks")))
    models = [row["model"] for row in store.rows("models") if row["group"] != "scratch"]
    related = relatedness.scores(store.rows("bounds"), store.rows("accuracies"), tasks, models)
    lost, took, found = regrets(store), seconds(store, related), store.rows("relatedness")
    names = list(dict.fromkeys(row["score"] for row in found))
    print("| score | relative regret, % | " + " | ".join(f"{a}, over {o}" for a, o in COLUMNS) + " | s |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for name in names:
        mine = [row for row in found if row["score"] == name]
        cells = [
            mean([row[options.statistic] for row in mine if (row["against"], row["over"]) == column])
            for column in COLUMNS
        ]
        cost = f"{took[name]:.2f}" if name in took else "-"
        print(f"| `{name}` | {lost.get(name, '-')} | " + " | ".join(cells) + f" | {cost} |")


if __name__ == "__main__":
    main()
