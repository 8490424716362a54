"""The pictures and tables of the bounds: its three terms, how they move with tau, how scores of it go with accuracy.

SVG, or "" without data.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sweeps.report import words
from sweeps.report.ink import boxes, colour, dots
from sweeps.report.labels import short_names
from sweeps.report.markup import Mark
from sweeps.report.panels import grid, panel_title
from sweeps.report.tables import Column, Entry, Table
from sweeps.settings import BOUND_TAUS
from sweeps.types import Row

TERMS: Mapping[str, tuple[str, str]] = {
    "reference_loss": ("reference loss", "s-linear"),
    "label_mismatch": ("label mismatch", "s-knn"),
    "distribution_mismatch": ("distribution mismatch", "s-hybrid-linear"),
}
MOST_BARS = 16  # models in a panel: the least bounds of a task, and the best model


def bars(bounds: Sequence[Row], accuracies: Sequence[Row], tasks: Sequence[str], models: Sequence[str],
         mode: str = "labelled") -> str:  # fmt: skip
    """The three terms, a panel per task, least bound first; the model best by accuracy is marked, never left out."""
    rows = _least(bounds, models, mode)
    reached = {(row["task"], row["model"]): row["accuracy"] for row in accuracies if row["accuracy"] is not None}
    shown = [task for task in tasks if any(row["task"] == task for row in rows)]
    if not shown:
        return ""
    titles = short_names(shown, 24)

    def draw(axes: Axes, number: int) -> None:
        task = shown[number]
        every = sorted((row for row in rows if row["task"] == task), key=lambda row: row["total"])
        best = max((row["model"] for row in every if (task, row["model"]) in reached),
                   key=lambda model: reached[task, model], default=None)  # fmt: skip
        here = every[:MOST_BARS]
        if best not in (None, *(row["model"] for row in here)):
            here = [*here[:-1], *(row for row in every if row["model"] == best)]
        places, marks, tints = [], [], []
        for place, row in enumerate(here):
            start = 0.0
            for term, (label, tint) in TERMS.items():
                places.append((place - 0.39, start, 0.78, row[term]))
                tints.append(colour(tint))
                marks.append(Mark(f"{row['model']}, {label}: {words.real(row[term])} of {words.real(row['total'])} "
                                  "nats", row["model"], task))  # fmt: skip
                start += row[term]
            if row["model"] == best:
                axes.annotate("◆", (place, start), (0, 3), textcoords="offset points", ha="center", fontsize=9,
                              color=colour("good"))  # fmt: skip
        boxes(axes, places, marks, tints)
        axes.set_xlim(-0.9, len(here) - 0.1)
        axes.axhline(here[0]["trivial"], color=colour("bad"), linewidth=1.2, linestyle=(0, (4, 2)))
        axes.set_xticks([])
        axes.set_ylim(0, 1.12 * max(row["total"] for row in here))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        shown_of = f"{len(here)} of " if len(here) < len(every) else ""
        panel_title(axes, titles[task], shown_of + words.count(len(every), "model"))

    key: list[Line2D | Patch] = [Patch(color=colour(tint), label=label) for label, tint in TERMS.values()]
    key += [Line2D([], [], color=colour("bad"), linestyle=(0, (4, 2)), label="what guessing by frequency loses"),
            Line2D([], [], color=colour("good"), marker="D", linewidth=0, label="best after fine-tuning")]  # fmt: skip
    name = "bound-bars" if mode == "labelled" else f"bound-bars-{mode}"
    about = "The three terms of the bound by task: of the models with the least bounds, and of the best."
    return grid(len(shown), draw, key, name, about, ("models, least bound first", "bound, nats"))


def curves(bounds: Sequence[Row], tasks: Sequence[str], models: Sequence[str]) -> str:
    """The terms over tau, a panel per task; means over models and references."""
    rows = [row for row in bounds if row["mode"] == "labelled" and row["total"] is not None and row["model"] in models]
    shown = [task for task in tasks if len({row["tau"] for row in rows if row["task"] == task and row["tau"] > 0}) > 1]
    if not shown:
        return ""
    titles = short_names(shown, 24)

    def draw(axes: Axes, number: int) -> None:
        here = [row for row in rows if row["task"] == shown[number] and row["tau"] > 0]
        taus = sorted({row["tau"] for row in here})
        axes.set_xscale("log")
        trivial = here[0]["trivial"]
        most = 3 * trivial
        lines = {**TERMS, "total": ("bound", "ink"), "held_out": ("bound, held out", "muted"),
                 "target_loss": ("loss that is bounded", "good")}  # fmt: skip
        for column, (label, tint) in lines.items():
            found = [(tau, _mean(row[column] for row in here if row["tau"] == tau)) for tau in taus]
            known = [(tau, value) for tau, value in found if value is not None]
            axes.plot([tau for tau, _ in known], [value for _, value in known], color=colour(tint),
                      linewidth=2.2 if column == "total" else 1.4,
                      linestyle=(0, (3, 2)) if column == "held_out" else "-")  # fmt: skip
            marked = [(tau, value) for tau, value in known if value <= most]
            marks = [Mark(f"τ = {tau:g}, {label}: {words.real(value)} nats", task=shown[number])
                     for tau, value in marked]  # fmt: skip
            dots(axes, marked, marks, "o", color=colour(tint), markersize=3.5)
        axes.axhline(trivial, color=colour("bad"), linewidth=1.2, linestyle=(0, (4, 2)))
        axes.set_ylim(0, most)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel_title(axes, titles[shown[number]], "")

    key = [Line2D([], [], color=colour(tint), label=label) for label, tint in TERMS.values()]
    key += [Line2D([], [], color=colour("ink"), linewidth=2.2, label="bound"),
            Line2D([], [], color=colour("muted"), linestyle=(0, (3, 2)), label="held out"),
            Line2D([], [], color=colour("good"), label="loss that is bounded"),
            Line2D([], [], color=colour("bad"), linestyle=(0, (4, 2)), label="guessing by frequency")]  # fmt: skip
    return grid(len(shown), draw, key, "bound-curves", "The terms of the bound over tau, by task.",
                ("cap τ on the classifier", "nats"))  # fmt: skip


def said(bounds: Sequence[Row], tuned: Mapping[str, float]) -> list[str]:
    """What the bounds come to, in sentences."""
    labelled = [row for row in bounds if row["mode"] == "labelled" and row["total"] is not None]
    lines = []
    for tau in BOUND_TAUS:
        here = [row for row in labelled if row["tau"] == tau]
        if here:
            vacuous = sum(row["vacuous"] for row in here)
            held = sum(row["total"] >= row["target_loss"] for row in here)
            then = "says more than guessing in all."
            if vacuous:
                then = (f"is above what guessing by class frequency loses (vacuous) in {vacuous}: "
                        "it promises nothing there.")  # fmt: skip
            lines.append(f"At τ = {tau:g} the bound holds in {held} of {words.count(len(here), 'case')} and {then}")
    aligned = [row for row in bounds if row["mode"] == "aligned" and row["tau"] == BOUND_TAUS[0]]
    if aligned:
        beaten = sum(not row["vacuous"] for row in aligned)
        kept = sum(row["held_out"] is not None and row["held_out"] < row["trivial"] for row in aligned)
        lines.append(f"In logits, at the map that brings these nearest, it says more than guessing in {beaten} of "
                     f"{words.count(len(aligned), 'case')}; on examples it was not fitted to in {kept}.")  # fmt: skip
    released = [row for row in bounds if row["mode"] == "released" and row["holds"] is not None]
    if released:
        broken = sum(not row["holds"] for row in released)
        lines.append(f"The authors' algorithm reports less than the loss it means to bound in {broken} of "
                     f"{words.count(len(released), 'case')}.")  # fmt: skip
    if tuned:
        each = [f"{tau:g} for {task}" for task, tau in tuned.items()]
        caps = f"{min(tuned.values()):g} for every task" if len(set(tuned.values())) == 1 else words.listing(each)
        lines.append(f"The cap that ranks models best on the other tasks: {caps}.")
    return lines


def agreement(rows: Sequence[Row]) -> Table:
    """How scores of the bound, and the linear probe, go with accuracy: means over tasks, and over models."""
    columns = [Column("score"), Column("against"), Column("over"), Column("Pearson", True, "mean"),
               Column("Spearman", True, "mean"), Column("weighted tau", True, "mean"),
               Column("of", True, "how many tasks or models")]  # fmt: skip
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["score"], row["against"], row["over"]), []).append(row)
    entries = []
    for (score, against, over), found in groups.items():
        means = [_mean(row[column] for row in found) for column in ("pearson", "spearman", "weighted_tau")]
        each = "the models of a task" if over == "models" else "the tasks of a model"
        entries.append([Entry(words.proxy(score), score), Entry(against, against), Entry(each, each),
                        *(Entry(words.real(mean), mean or 0.0) for mean in means),
                        Entry(str(len(found)), len(found))])  # fmt: skip
    return Table("Task-relatedness and accuracy after fine-tuning and after linear probing", columns, entries)


def _least(bounds: Sequence[Row], models: Sequence[str], mode: str) -> list[Row]:
    """Of every model and task the row of the least bound over references, at the first compared cap."""
    found: dict[tuple[str, str], Row] = {}
    for row in bounds:
        if row["mode"] == mode and row["tau"] == BOUND_TAUS[0] and row["total"] is not None:
            key = row["task"], row["model"]
            if row["model"] in models and (key not in found or row["total"] < found[key]["total"]):
                found[key] = row
    return list(found.values())


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
