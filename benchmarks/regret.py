"""Regret with intervals, ours against a straightforward pandas version (plain loops without pandas), in one run.

    .venv/bin/python benchmarks/regret.py [--large]

The study: 46 models x 19 tasks x 10 repeats, five pools, eleven strategies and the uniform draw, all budgets, 1,000
bootstrap samples over repeats and tasks. The pandas version does one pool, one strategy, one budget and a few samples,
and its time is multiplied (as if all pools were of 46): it would take hours. Its numbers are compared with ours.
Large: 10,000 models x 1,000 tasks, one repeat and three, one pool, six strategies, four budgets, 1,000 samples.
Memory is the peak of the process.
"""

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from taskrel import columns
from taskrel.bootstrap import draw
from taskrel.panel import Panel, judge, share_at_zero
from taskrel.regret import Floats, nanmean

POOLS = (46, 44, 37, 16, 15)
SAMPLES = 1000
LOOP_SAMPLES = 4


def study(tasks: int, models: int, repeats: int, scores: int) -> tuple[Floats, dict[str, Floats]]:
    """A made-up table: tasks of different difficulty, models of different worth, scores that see some of it."""
    random = np.random.default_rng(0)
    truth = random.uniform(0.3, 0.9, (tasks, 1)) + random.normal(0, 0.05, (1, models))
    truth = truth + random.normal(0, 0.05, (tasks, models))
    table = np.clip(truth[:, :, None] + random.normal(0, 0.01, (tasks, models, repeats)), 0, 1)
    return table, {f"score_{k}": truth + random.normal(0, 0.05, truth.shape) for k in range(scores)}


def panel(table: Floats, scores: dict[str, Floats], budgets: Sequence[int], samples: int = SAMPLES,
          pools: Sequence[int] = ()) -> Panel:  # fmt: skip
    """Ours: every pool (its first models), the columns of the strategies included; the panel of the first."""
    draws = draw(table.shape[0], table.shape[2], samples=samples)
    panels = []
    for size in pools or (table.shape[1],):
        cells = table[:, :size]
        means = nanmean(cells)
        named = {name: score[:, :size] for name, score in scores.items()}
        named |= {"static_rank": columns.rank_elsewhere(means), "oracle": columns.lead_everywhere(means),
                  "oracle_elsewhere": columns.lead_elsewhere(means)}  # fmt: skip
        panels.append(judge(cells, named, budgets=[b for b in budgets if b <= size], draws=draws))
        for column in named.values():
            share_at_zero(np.broadcast_to(column, means.shape), means)
    return panels[0]


def with_pandas(table: Floats, score: Floats, budget: int, samples: int) -> float:
    """One strategy, one budget, some samples: a frame of runs, grouped and joined as one would write it down."""
    import pandas as pd  # type: ignore[import-untyped]

    tasks, models, repeats = table.shape
    index = pd.MultiIndex.from_product([range(tasks), range(models), range(repeats)], names=["task", "model", "repeat"])
    runs = pd.DataFrame({"accuracy": table.ravel()}, index=index).reset_index()
    ranks = pd.DataFrame(score).rank(axis=1, ascending=False, method="first")
    picks = ranks.stack().rename("rank").rename_axis(["task", "model"]).reset_index()
    random = np.random.default_rng(0)

    def regret(frame: pd.DataFrame) -> pd.Series:
        oracle = frame.groupby(["task", "model"])["accuracy"].mean().groupby("task").max()
        chosen = frame.merge(picks[picks["rank"] <= budget], on=["task", "model"])
        reached = chosen.groupby(["task", "copy"])["accuracy"].max().groupby("task").mean()
        return ((oracle - reached) / (1 - np.minimum(oracle, reached))).fillna(0.0)

    point = regret(runs.assign(copy=runs["repeat"])).mean()
    for _ in range(samples):
        drawn = random.integers(repeats, size=(tasks, repeats))
        draws = pd.DataFrame(drawn).stack().rename("repeat").rename_axis(["task", "copy"]).reset_index()
        each = regret(draws.merge(runs, on=["task", "repeat"]))
        each.iloc[random.integers(tasks, size=tasks)].mean()
    return float(point)


def with_loops(table: Floats, score: Floats, budget: int, samples: int) -> float:
    """The same in plain Python over lists."""
    import random
    from statistics import fmean

    cells = table.tolist()
    order = [sorted(range(len(row)), key=row.__getitem__, reverse=True)[:budget] for row in score.tolist()]
    rng = random.Random(0)

    def regret(task: int, repeats: Sequence[int]) -> float:
        best = max(fmean(model[r] for r in repeats) for model in cells[task])
        reached = fmean(max(cells[task][m][r] for m in order[task]) for r in repeats)
        worse = min(best, reached)
        return 0.0 if worse == 1 else (best - reached) / (1 - worse)

    tasks, number = range(len(cells)), table.shape[2]
    point = fmean(regret(task, range(number)) for task in tasks)
    for _ in range(samples):
        each = [regret(task, rng.choices(range(number), k=number)) for task in tasks]
        fmean(rng.choices(each, k=len(each)))
    return point


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The fastest of a few calls."""
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def gigabytes() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def small() -> None:
    """The size of the study against the other ways to write it."""
    table, scores = study(19, 46, 10, 8)
    every, few = range(1, 47), (1, 2, 3, 5, 10)
    for what, budgets in (("all budgets", every), ("budgets 1, 2, 3, 5, 10", few)):
        took = seconds(partial(panel, table, scores, budgets, pools=POOLS), 5)
        print(f"46 x 19 x 10, five pools, {len(scores) + 4} strategies, {what}, {SAMPLES} samples: ours {took:.2f} s, "
              f"peak {gigabytes():.2f} GB   aim < 1 s", flush=True)  # fmt: skip
        cells = sum(len([b for b in budgets if b <= size]) for size in POOLS) * (len(scores) + 3)
        found = panel(table, scores, (2,)).mean_relative[0, 0]
        for name, other in (("pandas", with_pandas), ("plain Python", with_loops)):
            try:
                one = seconds(partial(other, table, scores["score_0"], 2, LOOP_SAMPLES), 2)
                value = other(table, scores["score_0"], 2, 0)
            except ImportError:
                print(f"{name:>16}: not installed")
                continue
            assert abs(value - found) < 1e-9, (value, found)
            each = one / LOOP_SAMPLES
            whole = each * SAMPLES * cells
            print(f"{name:>16}: {each * 1e3:.1f} ms per strategy, budget and sample, {whole:,.0f} s for {cells:,} of "
                  f"these; ratio {whole / took:,.0f}", flush=True)  # fmt: skip


def large() -> None:
    """A zoo of a hub."""
    for repeats in (1, 3):
        table, scores = study(1000, 10_000, repeats, 3)
        begun = time.perf_counter()
        panel(table, scores, (1, 2, 5, 10))
        took = time.perf_counter() - begun
        print(f"10,000 x 1,000 x {repeats}, {len(scores) + 4} strategies, budgets 1, 2, 5, 10, {SAMPLES} samples: "
              f"ours {took:.0f} s, peak {gigabytes():.1f} GB   aim: minutes, 8 GB", flush=True)  # fmt: skip


def main() -> None:
    """Both sizes; the large one only when asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 10,000 models x 1,000 tasks (a few minutes)")
    small()
    if parser.parse_args().large:
        large()


if __name__ == "__main__":
    main()
