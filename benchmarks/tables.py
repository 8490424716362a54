"""The Markdown tables of docs/proxies.md and docs/head2toe.md, from a finished sweep's output; measures nothing.

python benchmarks/tables.py out/truth proxies
python benchmarks/tables.py out/truth head2toe
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from sweeps.report import transfer
from sweeps.store import Store
from sweeps.types import Row

COMPARED = ("linear", "knn", "logme", "head2toe", "head2toe_cv", "random")


def percent(row: Row, name: str) -> str:
    """A share in per cent with its interval, if it has one."""
    return _between(row, name, 100, 1)


def _between(row: Row, name: str, scale: float, digits: int) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None:
        return ""
    interval = "" if low is None else f" [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
    return f"{scale * value:.{digits}f}{interval}"


def proxies(store: Store) -> Iterator[str]:
    """Every score in the pool of all models, the least regret first."""
    took: dict[str, list[float]] = {}
    for row in store.rows("scores"):
        if row["seconds"] is not None:
            took.setdefault(row["proxy"], []).append(row["seconds"])
    yield "| score | kind | relative regret, 1 model, % | 2 models, % | weighted τ | luck | Pearson | ms |"
    yield "|---" * 8 + "|"
    rows = [row for row in store.rows("proxies") if row["pool"] == "all" and row["relative_regret_1"] is not None]
    for row in sorted(rows, key=lambda row: (round(row["relative_regret_1"], 3), -(row["weighted_tau"] or 0))):
        spent = f"{1000 * fmean(took[row['proxy']]):.0f}" if row["proxy"] in took else ""
        luck = "" if row["tau_floor"] is None else f"{row['tau_floor']:.2f}"
        yield (f"| `{row['proxy']}` | {row['kind']} | {percent(row, 'relative_regret_1')} | "
               f"{percent(row, 'relative_regret_2')} | {_between(row, 'weighted_tau', 1, 2)} | {luck} | "
               f"{_between(row, 'pearson', 1, 2)} | {spent} |")  # fmt: skip


def head2toe(store: Store) -> Iterator[str]:
    """The methods of transfer over all tasks and on each, and as scores of models."""
    rows = store.rows("transfer")
    whole = transfer.summary(rows)
    yield "| " + " | ".join(column.title for column in whole.columns) + " |"
    yield "|---" * len(whole.columns) + "|"
    yield from ("| " + " | ".join(entry.text for entry in line) + " |" for line in whole.rows)
    yield from ("", *(f"- {line}" for line in transfer.said(rows)), "")
    present = [method for method in transfer.METHODS if any(row["method"] == method for row in rows)]
    yield "| task | " + " | ".join(f"{method}: mean (best)" for method in present) + " | affinity |"
    yield "|---" * (len(present) + 2) + "|"
    for task in sorted({row["task"] for row in rows}):
        here = [row for row in rows if row["task"] == task]
        near = [row["affinity"] for row in here if row["affinity"] is not None]
        cells = [_mean_best([row["accuracy"] for row in here if row["method"] == method]) for method in present]
        affinity = f"{100 * fmean(near):+.1f}" if near else ""
        yield f"| {task.removeprefix('mini/')} | " + " | ".join(cells) + f" | {affinity} |"
    tops = (fmean(max(row["accuracy"] for row in rows if (row["task"], row["method"]) == (task, method))
                  for task in sorted({row["task"] for row in rows})) for method in present)  # fmt: skip
    yield "| best model of each task, mean | " + " | ".join(f"{100 * top:.1f}" for top in tops) + " | |"
    yield from ("", "| score | relative regret, one model, % | two models |", "|---|---|---|")
    found = [row for row in store.rows("proxies") if row["pool"] == "all" and row["proxy"] in COMPARED]
    for row in sorted(found, key=lambda row: row["relative_regret_1"]):
        yield f"| {row['proxy']} | {percent(row, 'relative_regret_1')} | {percent(row, 'relative_regret_2')} |"


def _mean_best(values: Sequence[float]) -> str:
    return f"{100 * fmean(values):.1f} ({100 * max(values):.1f})" if values else ""


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="output folder of a finished sweep")
    parser.add_argument("page", choices=("proxies", "head2toe"))
    asked = parser.parse_args()
    print(*{"proxies": proxies, "head2toe": head2toe}[asked.page](Store(asked.out)), sep="\n")


if __name__ == "__main__":
    main()
