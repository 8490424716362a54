"""The miniature study beside the published one, from the shipped truth. Some seconds; measures nothing.

    python benchmarks/study.py                 # the Markdown tables of docs/study.md
    python benchmarks/study.py out/packed      # those of another packed truth

Relative regret is the share of the remaining error that a perfect search would have removed. The numbers of the
published study are recomputed from its figures and its Appendix G (shared/spec/model_search.md, sections 6 and 7).
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sweeps.bench import table_of
from sweeps.replay.judging import Asked, Replayed, replay
from sweeps.truth import FOLDER, Truth, load
from sweeps.types import Row

# pool -> (mean relative regret, tasks above a quarter) of the published study, by strategy and budget.
POOLS = ("all", "dim2048", "resnet50", "expert", "imagenet")
REGRET = {
    ("agnostic", 1): ((0.151, 3), (0.250, 7), (0.249, 7), (0.200, 6), (0.026, 0)),
    ("linear", 1): ((0.124, 2), (0.105, 1), (0.127, 3), (0.063, 1), (0.182, 4)),
    ("linear", 2): ((0.108, 2), (0.087, 1), (0.074, 1), (0.050, 1), (0.151, 4)),
    ("knn", 1): ((0.181, 4), (0.168, 4), (0.165, 4), (0.130, 4), (0.214, 6)),
    ("knn", 2): ((0.152, 3), (0.142, 3), (0.137, 3), (0.070, 1), (0.188, 5)),
    ("hybrid_linear", 2): ((0.034, 0), (0.086, 1), (0.088, 2), (0.050, 1), (0.019, 0)),
    ("hybrid_knn", 2): ((0.060, 1), (0.118, 2), (0.115, 2), (0.111, 3), (0.021, 0)),
}
# Sum over 19 tasks of the budget to zero regret; tasks solved by the first pick, by the first two.
BUDGETS = {
    "agnostic": ((221, 6, 7), (264, 2, 3), (238, 2, 3), (113, 4, 7), (40, 11, 17)),
    "linear": ((191, 6, 8), (125, 7, 8), (104, 7, 9), (52, 9, 13), (166, 0, 4)),
    "knn": ((246, 2, 5), (146, 3, 5), (121, 4, 7), (92, 5, 9), (184, 0, 2)),
}
MORE = (("logme", 1), ("oracle_elsewhere", 1), ("random", 1), ("random", 2))
STRATEGIES = ("agnostic", "linear", "knn", "logme", "hybrid_linear", "hybrid_knn")  # the others come with any replay


@dataclass(frozen=True)
class Task:
    """One task: what there is to win, and how sure a fine-tuning is.

    Args:
        best: the winner, by mean test accuracy over repeats at its better learning rate.
        group: of the winner.
        top: the accuracies (fractions) of the best model, the median and the worst one.
        noise: standard deviation between a model's repeats, root of the mean variance over models.
        near: models within two standard errors of the difference from the best.
    """

    name: str
    classes: int
    best: str
    group: str
    top: tuple[float, float, float]
    noise: float
    near: int


def judged(truth: Truth) -> Replayed:
    """Strategies, budgets to zero and agreements in the study's five pools."""
    table, facts = table_of(truth)
    rows = truth.models.to_pylist()
    pools = {}
    for name, pool in truth.config.pools.items():
        members = set(pool.members(rows))
        pools[name] = np.array([model in members for model in table.models])
    return replay(table, replace(facts, pools=pools), Asked(STRATEGIES, budgets=(1, 2)))


def tasks(truth: Truth) -> list[Task]:
    """The 19 tasks with their winners."""
    table, facts = table_of(truth)
    classes = dict(zip(truth.tasks["task"].to_pylist(), truth.tasks["classes"].to_pylist(), strict=True))
    found = []
    for place, name in enumerate(table.tasks):
        repeats = table.accuracy[place]
        means, noise = repeats.mean(axis=1), float(np.sqrt(repeats.var(axis=1, ddof=1).mean()))
        best = int(means.argmax())
        error = noise * np.sqrt(2 / repeats.shape[1])
        found.append(Task(name, classes[name], table.models[best], facts.candidates[best].group,
                          (float(means[best]), float(np.median(means)), float(means.min())), noise,
                          int((means > means[best] - 2 * error).sum())))  # fmt: skip
    return found


def regrets(found: Replayed) -> Iterator[str]:
    """Mean relative regret in per cent and the tasks above a quarter: published, here."""
    rows: dict[tuple[str, int, str], Row] = {
        (row["strategy"], row["budget"], row["pool"]): row for row in found.tables["strategies"]
    }
    sizes = {row["pool"]: row["models"] for row in found.tables["strategies"]}
    yield "| strategy | B | " + " | ".join(f"{pool} ({sizes[pool]})" for pool in POOLS) + " |"
    yield "|---|---" + "|---" * len(POOLS) + "|"
    for name, budget in (*REGRET, *MORE):
        cells = []
        for place, pool in enumerate(POOLS):
            row = rows[name, budget, pool]
            here = f"**{100 * row['mean_relative_regret']:.1f}** ({row['tasks_above_quarter']})"
            known = REGRET.get((name, budget))
            cells.append(f"{100 * known[place][0]:.1f} ({known[place][1]}), {here}" if known else here)
        yield f"| `{name}` | {budget} | " + " | ".join(cells) + " |"


def shares(found: Replayed) -> Iterator[str]:
    """Share of tasks on which the agnostic pick loses more than a quarter: published, here."""
    first = [row for row in found.tables["strategies"] if (row["strategy"], row["budget"]) == ("agnostic", 1)]
    rows = {row["pool"]: row for row in first}
    yield "| | " + " | ".join(POOLS) + " |"
    yield "|---" * (len(POOLS) + 1) + "|"
    published = [REGRET["agnostic", 1][place][1] / 19 for place in range(len(POOLS))]
    here = [rows[pool]["tasks_above_quarter"] / rows[pool]["tasks"] for pool in POOLS]
    for name, values in (("published", published), ("here", here)):
        yield f"| {name} | " + " | ".join(f"{100 * value:.0f}%" for value in values) + " |"


def budgets(found: Replayed) -> Iterator[str]:
    """Sum over tasks of the models that must be fine-tuned; tasks solved by one, by two: published, here."""
    yield "| strategy | " + " | ".join(POOLS) + " |"
    yield "|---" * (len(POOLS) + 1) + "|"
    for name, known in BUDGETS.items():
        cells = []
        for pool, published in zip(POOLS, known, strict=True):
            needed = _needed(found.tables["budgets"], name, pool)
            here = (sum(needed), sum(value <= 1 for value in needed), sum(value <= 2 for value in needed))
            cells.append("{:.0f}; {}, {} / **{:.0f}; {}, {}**".format(*published, *here))
        yield f"| `{name}` | " + " | ".join(cells) + " |"


def each(found: Replayed) -> Iterator[str]:
    """Models that must be fine-tuned until the best is among them: agnostic/linear/knn, by task and pool."""
    yield "| task | " + " | ".join(POOLS) + " |"
    yield "|---" * (len(POOLS) + 1) + "|"
    rows = {(row["task"], row["pool"], row["strategy"]): row["optimistic"] for row in found.tables["budgets"]}
    for task in dict.fromkeys(row["task"] for row in found.tables["budgets"]):
        cells = ("/".join(f"{rows[task, pool, name]:.0f}" for name in BUDGETS) for pool in POOLS)
        yield f"| {task.removeprefix('mini/')} | " + " | ".join(cells) + " |"


def _needed(rows: Sequence[Row], strategy: str, pool: str) -> list[float]:
    return [row["optimistic"] for row in rows if (row["strategy"], row["pool"]) == (strategy, pool)]


def winners(found: Sequence[Task]) -> Iterator[str]:
    """A row per task: classes, its winner, how far the middle and the worst are, and the noise."""
    yield "| task | classes | best model | group | best | median | worst | lead | repeats' deviation | near the best |"
    yield "|---" * 10 + "|"
    for one in found:
        best, middle, worst = (100 * value for value in one.top)
        model = one.best.removeprefix("mini_")
        yield (f"| {one.name.removeprefix('mini/')} | {one.classes} | {model} | {one.group} | {best:.1f} | "
               f"{middle:.1f} | {worst:.1f} | {best - middle:.1f} | {100 * one.noise:.1f} | {one.near} |")  # fmt: skip


def diversity(found: Sequence[Task]) -> Iterator[str]:
    """The table of winners in a few sentences."""
    names, groups = Counter(one.best for one in found), Counter(one.group for one in found)
    spread = [one.top[0] - one.top[1] for one in found]
    noise = [one.noise for one in found]
    ratio = np.median([a / b for a, b in zip(spread, noise, strict=True)])
    yield f"- distinct winners: {len(names)} on {len(found)} tasks"
    yield "- tasks won by " + ", ".join(f"{'an' if name[0] in 'aeo' else 'a'} {name} model: {groups[name]}"
                                        for name in ("architecture", "expert", "other"))  # fmt: skip
    yield (f"- best minus median model: {100 * np.mean(spread):.1f} points on average, {100 * min(spread):.1f} to "
           f"{100 * max(spread):.1f}")  # fmt: skip
    yield (f"- standard deviation between repeats: {100 * np.mean(noise):.1f} points on average; the spread is "
           f"{ratio:.0f} times it (median over tasks)")  # fmt: skip
    yield f"- models within two standard errors of the best: {np.median([one.near for one in found]):.0f} (median)"


def pages(truth: Truth) -> Iterator[tuple[str, Iterator[str]]]:
    """Title and lines of every table."""
    replayed, known = judged(truth), tasks(truth)
    yield "Tasks on which the agnostic pick loses more than a quarter of the remaining error", shares(replayed)
    yield "Mean relative regret, % (tasks above 25 %): published, **here**", regrets(replayed)
    yield "Budget to zero: sum over tasks; solved at B = 1, B <= 2: published / **here**", budgets(replayed)
    yield "Budget to zero by task: agnostic/linear/knn", each(replayed)
    yield "Winners", winners(known)
    yield "Diversity", diversity(known)


def main(folder: Path = FOLDER) -> None:
    """Print the tables."""
    for title, lines in pages(load(folder)):
        print(f"## {title}\n", *lines, "", sep="\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
