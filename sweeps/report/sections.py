"""The sections of the page: what each shows, and what it says when there is nothing to show. Knows no HTML."""

import re
from collections.abc import Sequence
from html import unescape
from typing import NamedTuple

from markupsafe import Markup

from sweeps.report import figures, neighbours, panels, relatedness, study, tables, terms, transfer, words
from sweeps.report.evidence import Evidence
from sweeps.report.forest import forest
from sweeps.report.tables import Table
from sweeps.types import Row

MOST_PROXIES = 4  # drawn; all are in the table


_LABEL = re.compile(r'aria-label="([^"]*)"')


class Picture(NamedTuple):
    """An SVG element of ours, whose texts were escaped when it was drawn, and the pool that it is about."""

    svg: Markup
    pool: str = ""

    @property
    def label(self) -> str:
        """What it shows, in words."""
        found = _LABEL.search(self.svg)
        return unescape(found[1]) if found else ""


class Folded(NamedTuple):
    """Pictures that are shown when asked for."""

    title: str
    pictures: Sequence[Picture]
    open: bool = False
    pool: str = ""


class Section(NamedTuple):
    """A part of the page; ``missing`` says why there is nothing to show, when there is nothing.

    ``table`` stands above the pictures, ``below`` below them; ``narrow`` replaces ``pictures`` on a narrow screen;
    ``paired`` pictures stand side by side.
    """

    key: str
    title: str
    lead: str = ""
    missing: str = ""
    pictures: Sequence[Picture] = ()
    narrow: Sequence[Picture] = ()
    paired: bool = False
    below: Table | None = None
    folded: Sequence[Folded] = ()
    table: Table | None = None
    more: Sequence[Table] = ()
    notes: Sequence[str] = ()


def sections(
    evidence: Evidence, rows: dict[str, list[Row]], order: Sequence[Row], notes: Sequence[str]
) -> list[Section]:
    """All of them, in the order of the page.

    Args:
        evidence: the measured rows.
        rows: the derived tables.
        order: how sure the ranking by a score is.
        notes: what was left out of the derived tables.
    """
    return [
        _picks(rows["answer"]), _strategies(evidence, rows), _regret(evidence, rows), _duels(rows), _hits(rows),
        _proxies(evidence, rows, order), _neighbours(evidence, rows), _bounds(evidence, rows),
        _layers(evidence, rows), _accuracies(evidence, rows), _searches(evidence, rows), _cost(evidence, rows),
        _failures(evidence), _missing(evidence, notes), _models(evidence),
    ]  # fmt: skip


def pictures(*svgs: str, pool: str = "") -> list[Picture]:
    """Those that there was something to draw for."""
    return [Picture(Markup(svg), pool) for svg in svgs if svg]


def _unplanned(evidence: Evidence, key: str, title: str, kind: str, said: tuple[str, str]) -> Section:
    """A section of a part that a sweep may leave out: what to say while it waits for its jobs, and without any."""
    planned = any(row["kind"] == kind for row in evidence.plan)
    return Section(key, title, missing=said[0] if planned else f"This sweep {said[1]}.")


def _picks(answer: Sequence[Row]) -> Section:
    missing = "" if answer else "No model has been picked yet."
    return Section("picks", "Why these models", missing=missing, table=tables.picks(answer) if answer else None,
                   lead="Of the picked models the one that validates best is the answer.")  # fmt: skip


def _strategies(evidence: Evidence, rows: dict[str, list[Row]]) -> Section:
    if not rows["strategies"]:
        return Section("strategies", "How much do the strategies lose?", missing=_no_regret(evidence))
    pools = list(dict.fromkeys(row["pool"] for row in rows["strategies"]))
    first = _main_pool(pools)
    lead = ("Relative regret is the share of the remaining error that a perfect search over the pool would have "
            "removed: 0% means the best model was among those fine-tuned. Intervals are bootstrap intervals; with few "
            "repeats and tasks read them as a lower bound on the uncertainty.")  # fmt: skip
    drawn = {pool: pictures(panels.regret_by_budget(rows["strategies"], pool),
                            panels.regret_against_cost(rows["strategies"], rows["regret"], pool), pool=pool)
             for pool in pools}  # fmt: skip
    return Section("strategies", "How much do the strategies lose?", lead, pictures=drawn[first],
                   paired=len(drawn[first]) > 1, table=tables.strategies(rows["strategies"], first),
                   folded=[Folded(f"Pool {pool}, by budget and by cost", drawn[pool], pool=pool)
                           for pool in pools if pool != first and drawn[pool]],
                   more=[tables.strategies(rows["strategies"], pool) for pool in pools if pool != first])  # fmt: skip


def _no_regret(evidence: Evidence) -> str:
    if evidence.plan and not evidence.fine_tuning_planned:
        return "Regret stays unknown, because this sweep fine-tunes no models."
    return "Regret is not known yet: it needs a task on which every model of a pool was fine-tuned."


def _main_pool(pools: Sequence[str]) -> str:
    return "all" if "all" in pools else pools[0]


def _regret(evidence: Evidence, rows: dict[str, list[Row]]) -> Section:
    pools = list(dict.fromkeys(row["pool"] for row in rows["regret"]))
    drawn = {pool: figures.regret_bars(rows["regret"], rows["strategies"], pool, evidence.task_names) for pool in pools}
    if not any(drawn.values()):
        return Section("regret", "Regret on every task", missing=_no_regret(evidence))
    first = _main_pool(pools)
    sizes = {row["pool"]: row["models"] for row in sorted(rows["regret"], key=lambda row: row["models"])}
    lead = (f"Pool {first}, up to {words.count(sizes[first], 'model')}. Lower is better, a dot on the axis is zero, "
            "thin lines are bootstrap intervals over repeats.")  # fmt: skip
    folded = [Folded(f"Pool {pool}, up to {words.count(sizes[pool], 'model')}", pictures(svg, pool=pool), pool=pool)
              for pool, svg in drawn.items() if svg and pool != first]  # fmt: skip
    return Section("regret", "Regret on every task", lead, pictures=pictures(drawn[first], pool=first), folded=folded)


def _duels(rows: dict[str, list[Row]]) -> Section:
    title, found = "Is one strategy better than another?", rows["comparisons"]
    if not found:
        return Section("duels", title, missing="Nothing can be compared yet: it takes two strategies with a regret.")
    pools = list(dict.fromkeys(row["pool"] for row in found))
    first = _main_pool(pools)
    lead = (f"Pool {first}. Every strategy against the one that the answer follows, or with too small a budget for "
            "that one against the score it reads. Few tasks prove little: a p-value above 0.05 means that the "
            "difference may be luck.")  # fmt: skip
    return Section("duels", title, lead, pictures=pictures(study.duels(found, first), pool=first),
                   narrow=pictures(study.duels(found, first, figures.NARROW), pool=first),
                   more=[tables.comparisons(found, pool) for pool in pools])  # fmt: skip


def _hits(rows: dict[str, list[Row]]) -> Section:
    title = "How many models until the best is among them?"
    pools = list(dict.fromkeys(row["pool"] for row in rows["budgets"]))
    if not pools:
        return Section(
            "budgets", title, missing="Not known yet: it needs a task with every model of a pool fine-tuned."
        )
    first = _main_pool(pools)
    lead = (f"Pool {first}. A cell is the number of models that a strategy must fine-tune on a task; a range where its "
            "scores are tied, and chance decides.")  # fmt: skip
    return Section("budgets", title, lead, pictures=pictures(study.solved(rows["solved"], first), pool=first),
                   below=tables.budgets(rows["budgets"], first),
                   more=[tables.budgets(rows["budgets"], pool) for pool in pools if pool != first])  # fmt: skip


def _proxies(evidence: Evidence, rows: dict[str, list[Row]], order: Sequence[Row]) -> Section:
    title = "Which proxy can be trusted?"
    trusted = rows["proxies"]
    pools = list(dict.fromkeys(row["pool"] for row in rows["proxies"]))
    first = _main_pool(pools) if pools else ""
    here = [row for row in trusted if row["pool"] == first]
    scatters = [
        (name, svg) for name in _drawn(evidence, rows["answer"], here) if (svg := _scatter(evidence, rows, name))
    ]
    more = [tables.trust(trusted, pool) for pool in pools if pool != first]
    more += [tables.order(order, rows["answer"])] if order else []
    more += [tables.correlations(rows["correlations"])] if rows["correlations"] else []
    if not (scatters or more or here):
        return Section("proxies", title, missing="Scores cannot be compared with accuracy yet, because no model is "
                       "fine-tuned." if evidence.scores else "No proxy has been scored yet.")  # fmt: skip
    lead = ("A proxy scores a model from one forward pass. Regret asks whether its best-scored model was worth "
            "fine-tuning; τ, the weighted rank correlation with accuracy, whether it orders all of them. Intervals "
            "resample tasks, fine-tuning repeats and, where possible, the examples behind the scores.")  # fmt: skip
    folded = [Folded(f"{words.proxy(name)} against accuracy", pictures(svg), number == 0)
              for number, (name, svg) in enumerate(scatters)]  # fmt: skip
    dims = study.dimension(evidence.scores, evidence.models, evidence.task_names, evidence.pool)
    asides = {"Correlation against regret": study.correlation_and_regret(rows["correlations"]),
              "kNN score against feature dimension": dims}  # fmt: skip
    folded += [Folded(caption, pictures(drawn)) for caption, drawn in asides.items() if drawn]
    return Section("proxies", title, lead, notes=words.trust(here), folded=folded, more=more,
                   pictures=pictures(forest(trusted, first), pool=first),
                   narrow=pictures(forest(trusted, first, figures.NARROW), pool=first),
                   below=tables.trust(trusted, first) if here else None)  # fmt: skip


def _drawn(evidence: Evidence, answer: Sequence[Row], trusted: Sequence[Row]) -> list[str]:
    """The proxies worth a picture: the answer's, the study's two, then those that lose least."""
    asked = [row["strategy"].removeprefix("hybrid_") for row in answer]
    scored = {row["proxy"] for row in evidence.scores}
    wanted = [*asked, *words.STUDY, *(row["proxy"] for row in trusted), *sorted(scored)]
    return [name for name in dict.fromkeys(wanted) if name in scored][:MOST_PROXIES]


def _scatter(evidence: Evidence, rows: dict[str, list[Row]], name: str) -> str:
    accuracies = [row for row in rows["accuracies"] if row["model"] not in evidence.scratch]
    return panels.scatter(evidence.scores, accuracies, rows["answer"], rows["correlations"], name, evidence.task_names)


def _bounds(evidence: Evidence, rows: dict[str, list[Row]]) -> Section:
    title, found = "How related are the tasks?", evidence.bounds
    if not found:
        return _unplanned(evidence, "bounds", title, "bound",
                          ("No bound has been computed yet.",
                           "computes no bounds: it has no [bound] section"))  # fmt: skip
    tuned = relatedness.tuned_taus(found, rows["accuracies"], evidence.task_names, evidence.pool)
    names = words.listing(dict.fromkeys(row["reference"] for row in found))
    lead = (f"An upper bound, in nats, on what a linear head on frozen features loses on a task, from the reference "
            f"{names}: its classes re-weighted and matched, its features moved. Lower is more related.")  # fmt: skip
    return Section("bounds", title, lead, notes=terms.said(found, tuned),
                   pictures=pictures(terms.bars(found, rows["accuracies"], evidence.task_names, evidence.pool)),
                   folded=[Folded(name, pictures(svg)) for name, svg in {
                       "The terms over tau": terms.curves(found, evidence.task_names, evidence.pool),
                       "The terms in logits, at the aligned map": terms.bars(
                           found, rows["accuracies"], evidence.task_names, evidence.pool, "aligned"),
                   }.items() if svg],
                   more=[terms.agreement(rows["relatedness"])] if rows["relatedness"] else [])  # fmt: skip


def _layers(evidence: Evidence, rows: dict[str, list[Row]]) -> Section:
    title, found = "Is the last layer enough?", rows["transfer"]
    if not found:
        return _unplanned(evidence, "layers", title, "head2toe", ("No selection of layers has finished yet.",
                          "selects no layers: it has no [head2toe] section"))  # fmt: skip
    lead = "Head2Toe: a linear head on selected features of all layers, beside one on the last layer and fine-tuning."
    shares = transfer.layers([row for row in evidence.head2toe if row["model"] in evidence.pool], evidence.task_names)
    return Section("layers", title, lead, notes=transfer.said(found),
                   table=transfer.summary(found), pictures=pictures(transfer.gains(found, evidence.task_names)),
                   folded=[Folded("Which layers are kept", pictures(shares))] if shares else [],
                   more=[transfer.table(found, evidence.task_names)])  # fmt: skip


def _accuracies(evidence: Evidence, rows: dict[str, list[Row]]) -> Section:
    drawn = pictures(*(
        figures.heat_map(rows["accuracies"], rows["answer"], evidence.model_names, tasks, name=f"heat-{title.lower()}")
        for title, tasks in evidence.parts.items()
    ))  # fmt: skip
    if not drawn:
        return Section("accuracies", "Accuracy of every model", missing=_no_accuracy(evidence))
    lead = ("Test accuracy in percent, median over repeats. Shade runs within each task from its worst model to its "
            "best; the framed cell is the best of its task, the dot is the answer.")  # fmt: skip
    return Section("accuracies", "Accuracy of every model", lead, pictures=drawn,
                   more=[tables.accuracies(rows["accuracies"])])  # fmt: skip


def _no_accuracy(evidence: Evidence) -> str:
    if not evidence.fine_tuning_planned:
        return "This sweep fine-tunes no models."
    if not evidence.fine_tuned:
        return "No fine-tuning has finished yet."
    return "No cell is complete yet: an accuracy needs every learning rate and every repeat of its model and task."


def _neighbours(evidence: Evidence, rows: dict[str, list[Row]]) -> Section:
    title, near = "Which tasks are alike?", rows["neighbours"]
    if not near:
        return _unplanned(evidence, "neighbours", title, "task2vec", ("No two tasks are embedded yet.",
                          "embeds no tasks: it has no [task2vec] section"))  # fmt: skip
    followed = neighbours.follow(near, rows["accuracies"], evidence.pool)
    return Section("neighbours", title, neighbours.lead(evidence.embeddings), notes=neighbours.said(followed),
                   pictures=pictures(*neighbours.heat_maps(near)),
                   narrow=pictures(*neighbours.heat_maps(near, figures.NARROW)),
                   below=neighbours.table(followed))  # fmt: skip


def _searches(evidence: Evidence, rows: dict[str, list[Row]]) -> Section:
    svg, left_out = panels.searches(evidence.runs, rows["answer"], evidence.task_names)
    title = "Learning-rate searches"
    if not svg:
        return _unplanned(evidence, "searches", title, "search", ("No search has finished yet.",
                          "searches no learning rates beyond its grid"))  # fmt: skip
    lead = ("Each panel is one searched model on one task. A searched rate is only used for an answer when repeats "
            "confirm it.")  # fmt: skip
    if left_out:
        lead += f" {words.count(left_out, 'further search', 'further searches')} are in the runs table."
    return Section("searches", title, lead, pictures=pictures(svg))


def _cost(evidence: Evidence, rows: dict[str, list[Row]]) -> Section:
    svg = panels.cost_by_model(evidence.jobs, evidence.model_names)
    if not svg:
        return Section("cost", "Cost", missing="No job has finished yet, so nothing has cost anything.")
    lead = "Time of every job, summed over workers; the device is under provenance."
    return Section("cost", "Cost", lead, pictures=pictures(svg), table=tables.jobs(evidence))


def _failures(evidence: Evidence) -> Section:
    table = tables.failures(evidence)
    return Section("failures", "Failures", missing="" if table.rows else "Nothing failed and nothing diverged.",
                   table=table if table.rows else None)  # fmt: skip


def _missing(evidence: Evidence, notes: Sequence[str]) -> Section:
    table = tables.missing(evidence)
    return Section("missing", "Missing", notes=notes, table=table if table.rows else None,
                   missing="" if notes or table.rows else "Nothing is missing and nothing was left out.",
                   lead="" if table.rows else "Every planned job has been tried.")  # fmt: skip


def _models(evidence: Evidence) -> Section:
    return Section("models", "The models", missing="" if evidence.models else "No model is known yet.",
                   more=[tables.models(evidence.models)] if evidence.models else [])  # fmt: skip
