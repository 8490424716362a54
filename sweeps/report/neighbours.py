"""Which tasks are alike by their Task2Vec embeddings: distances, what following the nearest task gives, the picture."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from sweeps.report import words
from sweeps.report.figures import WIDE
from sweeps.report.ink import boxes, colour, drawing, svg
from sweeps.report.labels import fit, short_names, two_lines, width
from sweeps.report.markup import Mark
from sweeps.report.tables import Column, Entry, Table
from sweeps.types import Row
from taskrel.neighbours import nearest
from taskrel.regret import relative_regret

MOST_TASKS, LEAST_STEP = 40, 13  # drawn; pixels of a row, for its name
_METHODS = {"montecarlo": "a Monte-Carlo estimate", "variational": "a variational estimate"}


class Followed(NamedTuple):
    """What the best model of another task is worth on a task; None where it is not fine-tuned on both.

    ``place`` counts the models that are better here, from 1; ``lost`` is a relative regret.
    """

    task: str
    other: str
    distance: float
    rank: int
    model: str | None
    place: int | None
    models: int
    lost: float | None


def distances(embeddings: Iterable[Row], tasks: Sequence[str]) -> list[Row]:
    """Rows of ``neighbours``: for every task the others of its probe, nearest first, by normalised cosine distance."""
    by_probe: dict[str, dict[str, Sequence[float]]] = {}
    for row in embeddings:
        by_probe.setdefault(row["probe"], {})[row["task"]] = row["units"]
    near: list[Row] = []
    for found in by_probe.values():
        vectors = {task: found[task] for task in tasks if task in found}
        near += [{"task": task, "other": other, "distance": apart, "rank": rank}
                 for task, others in nearest(vectors).items()
                 for rank, (other, apart) in enumerate(others.items(), start=1)]  # fmt: skip
    return sorted(near, key=lambda row: tasks.index(row["task"]))


def follow(near: Iterable[Row], accuracies: Iterable[Row], pool: Collection[str]) -> list[Followed]:
    """For every pair of tasks: the best model of the one, on the other.

    Args:
        near: rows of ``neighbours``.
        accuracies: rows of ``accuracies``.
        pool: the models that count.
    """
    reached: dict[str, dict[str, float]] = {}
    for row in accuracies:
        if row["accuracy"] is not None and row["model"] in pool:
            reached.setdefault(row["task"], {})[row["model"]] = row["accuracy"]
    return [_followed(row, reached.get(row["task"], {}), reached.get(row["other"], {})) for row in near]


def _followed(row: Row, here: Mapping[str, float], there: Mapping[str, float]) -> Followed:
    pair = row["task"], row["other"], row["distance"], row["rank"]
    best = min(there, key=lambda model: (-there[model], model), default=None)
    if best is None or best not in here:
        return Followed(*pair, best, None, len(here), None)
    place = 1 + sum(value > here[best] for value in here.values())
    return Followed(*pair, best, place, len(here), float(relative_regret(max(here.values()), here[best])))


def lead(embeddings: Sequence[Row]) -> str:
    """What the distances are, in sentences."""
    probes = words.listing(dict.fromkeys(row["probe"] for row in embeddings))
    return (f"Each task is embedded as the Fisher information of {probes}, {_METHODS[embeddings[0]['method']]} with a "
            "head fitted to the task (Task2Vec). Distances are between 0 (alike) and 1, and comparable within one "
            "sweep only. The stronger the shade, the nearer; the frame is the nearest task of each row.")  # fmt: skip


def said(followed: Sequence[Followed]) -> list[str]:
    """Whether being near helps: what the best model of the nearest task loses, and that of any other task."""
    tasks = {one.task for one in followed if one.rank == 1 and one.lost is not None}
    first = [one.lost for one in followed if one.rank == 1 and one.lost is not None]
    every = [one.lost for one in followed if one.task in tasks and one.lost is not None]
    if not first:
        return []
    return [f"Fine-tuning the best model of the nearest task loses {words.percent(fmean(first))} of the remaining "
            f"error, on average over {words.count(len(first), 'task')}; that of a task drawn at random, "
            f"{words.percent(fmean(every))}."]  # fmt: skip


def table(followed: Sequence[Followed]) -> Table:
    """The nearest task of each, and what its best model is worth here."""
    columns = (Column("task"), Column("nearest task"), Column("distance", True), Column("best model there"),
               Column("its place here", True, "among the models of the pool that are fine-tuned here"),
               Column("relative regret", True, "of fine-tuning that model alone"))  # fmt: skip
    rows = [
        (
            Entry(one.task, one.task.lower()), Entry(one.other, one.other.lower()),
            Entry(words.real(one.distance, 3), one.distance),
            Entry(one.model or words.MISSING, (one.model or "").lower(), "strong" if one.place == 1 else ""),
            Entry(words.MISSING if one.place is None else f"{one.place} of {one.models}", one.place or ""),
            Entry(words.percent(one.lost), "" if one.lost is None else one.lost),
        )
        for one in followed if one.rank == 1
    ]  # fmt: skip
    return Table("The nearest task of each, and its best model; bold where it is the best here too", columns, rows)


def heat_maps(near: Sequence[Row], wide: int = WIDE) -> list[str]:
    """A picture for each set of tasks that share a probe."""
    sets: list[set[str]] = []
    for row in near:
        if not any(row["task"] in one for one in sets):
            sets.append({row["task"]} | {other["other"] for other in near if other["task"] == row["task"]})
    return [heat_map([row for row in near if row["task"] in one], wide, name=f"neighbours{number}-{wide}")
            for number, one in enumerate(sets)]  # fmt: skip


def heat_map(near: Sequence[Row], wide: int = WIDE, *, name: str = "neighbours") -> str:
    """The distance of every two tasks, alike ones side by side; an SVG element, or "" without two tasks.

    Args:
        near: rows of ``neighbours``.
        wide: pixels; a narrow picture turns the names of its columns.
        name: of the picture, unique on the page.
    """
    rows = {(row["task"], row["other"]): row for row in near}
    apart = {pair: row["distance"] for pair, row in rows.items()}
    known = list(dict.fromkeys(task for task, _ in apart))
    if len(known) < 2:
        return ""
    narrow = wide < 600
    most = min(MOST_TASKS, int((wide - (110 if narrow else 240) - 8) / LEAST_STEP))
    tasks = _order(known[:most], apart)
    names = short_names(tasks, 18 if narrow else 22)
    longest = max(width(label, 10.5) for label in names.values())
    left = min(110.0 if narrow else 240.0, 18 + longest)
    step = min((wide - left - 8) / len(tasks), 92)
    high = min(step, 40) if not narrow else step
    labels = {task: two_lines(label, step - 8, 10.5) for task, label in names.items()}
    turned = max(width(line, 10.5) for text in labels.values() for line in text.split("\n")) > step - 8
    top = min(110, 18 + longest) if turned else 44
    bottom = 28 if len(tasks) < len(known) else 6
    across, up = left + step * len(tasks) + 8, top + bottom + high * len(tasks)
    with drawing(round(across), round(up)) as figure:
        if len(tasks) < len(known):
            figure.text(8 / across, 8 / up, f"{len(tasks)} of {len(known)} tasks; all are in the table below",
                        color=colour("muted"))  # fmt: skip
        axes = figure.add_axes((left / across, bottom / up, step * len(tasks) / across, high * len(tasks) / up))
        _cells(axes, tasks, apart, {pair for pair, row in rows.items() if row["rank"] == 1}, step >= 34)
        axes.set_xlim(-0.5, len(tasks) - 0.5)
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        shown = [fit(names[task], 92, 10.5) if turned else labels[task] for task in tasks]
        axes.set_xticks(range(len(tasks)), shown, rotation=90 if turned else 0)
        axes.set_yticks(range(len(tasks)), [fit(names[task], left - 14, 10.5) for task in tasks])
        axes.tick_params(labeltop=True, labelbottom=False, labelcolor=colour("ink"))
        for spine in axes.spines.values():
            spine.set_visible(False)
        return svg(figure, name, "Task2Vec distance of every two tasks.")


def _order(tasks: list[str], apart: Mapping[tuple[str, str], float]) -> list[str]:
    """Tasks such that alike ones stand side by side."""
    if len(tasks) < 3:
        return tasks
    square = np.array([[apart.get((one, other), 0.0) for other in tasks] for one in tasks])
    leaves = leaves_list(linkage(squareform(square), "average", optimal_ordering=True))
    return [tasks[leaf] for leaf in leaves]


def _cells(axes: Axes, tasks: Sequence[str], apart: Mapping[tuple[str, str], float],
           framed: Collection[tuple[str, str]], written: bool) -> None:  # fmt: skip
    drawn = [apart[one, other] for one in tasks for other in tasks if one != other]
    low, high = min(drawn), max(drawn)
    digits = 3 if high < 0.1 else 2
    pairs = [(across, down, task, other) for down, task in enumerate(tasks) for across, other in enumerate(tasks)
             if other != task]  # fmt: skip
    strengths = [0.05 + 0.85 * (1.0 if high == low else (high - apart[task, other]) / (high - low)) ** 1.5
                 for _, _, task, other in pairs]  # fmt: skip
    boxes(axes, [(across - 0.485, down - 0.47, 0.97, 0.94) for across, down, _, _ in pairs],
          [Mark(f"{task} and {other}: {words.real(apart[task, other], 3)}", task=task) for _, _, task, other in pairs],
          [colour("heat")] * len(pairs), strengths)  # fmt: skip
    for place in range(len(tasks)):
        axes.text(place, place, "–", ha="center", va="center", color=colour("muted"))
    for (across, down, task, other), strength in zip(pairs, strengths, strict=True):
        won = (task, other) in framed
        if written:
            axes.text(across, down, words.real(apart[task, other], digits), ha="center", va="center", fontsize=10.5,
                      color=colour("surface" if strength > 0.75 else "ink"),
                      weight="bold" if won else "normal")  # fmt: skip
        if won:
            axes.add_patch(Rectangle((across - 0.485, down - 0.47), 0.97, 0.94, fill=False, edgecolor=colour("ink"),
                                     linewidth=1.8, zorder=3))  # fmt: skip
