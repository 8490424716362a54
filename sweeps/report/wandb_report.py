"""The report in Weights & Biases: the answer first, then the evidence.

Every number is formatted by ``words``, as in the terminal and on the page; what W&B draws, it draws from the mirror.

Online it is saved, and saved again under the same id; offline its specification is written beside the runs.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from sweeps import mirror, track
from sweeps.config import SweepConfig
from sweeps.fingerprint import fingerprint
from sweeps.mirror import Cursor
from sweeps.report import relatedness, tables, terms, words
from sweeps.report.evidence import Evidence, gather
from sweeps.report.tables import Table
from sweeps.store import Store
from sweeps.types import Row

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as wr

SPEC = "wandb-report.json"
MOST_ROWS, MOST_PANELS = 60, 12
VIEW = "view"
Derived = Mapping[str, Sequence[Row]]


def publish(store: Store, config: SweepConfig, derived: Derived, notes: Sequence[str], faults: Mapping[str, str],
            mode: track.Mode) -> list[str]:  # fmt: skip
    """Mirror what was not mirrored yet, then make the report, or the one that was made before, say what is known now.

    Args:
        store: with the measured and the derived tables.
        config: of the sweep.
        derived: the derived tables.
        notes: what was left out of them.
        faults: tasks that cannot be read, each with its reason.
        mode: offline or online.

    Returns:
        Where the report is, or what W&B refused.
    """
    refused = track.publish(store, config, mode)
    found = Contents(derived, gather(store, faults), notes, config)
    if mode == "offline":
        import wandb_workspaces.reports.v2 as wr

        report = wr.Report(project="", entity="", **found.say(wr.Runset))
        path = store.out / SPEC
        path.write_text(json.dumps(spec(report), indent=1), encoding="utf-8")
        return [*refused, f"W&B takes reports online only: the specification is in {path}"]
    return refused or track.guarded(lambda: _save(store, config, found))


def spec(report: "wr.Report") -> dict[str, Any]:
    """What saving the report sends."""
    model = report._to_model()
    return {"displayName": model.display_name, "description": model.description,
            "spec": json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))}  # fmt: skip


def _lasting(part: Any) -> Any:
    """A specification without the ids that the client draws anew for every block."""
    if isinstance(part, dict):
        return {key: _lasting(value) for key, value in part.items() if key not in ("id", "__id__")}
    return [_lasting(each) for each in part] if isinstance(part, list) else part


def _save(store: Store, config: SweepConfig, found: "Contents") -> list[str]:
    import wandb
    import wandb_workspaces.reports.v2 as wr

    cursor = Cursor(store.out, track.destination("online"))
    place = {"entity": os.environ.get("WANDB_ENTITY") or wandb.Api().default_entity,
             "project": os.environ.get("WANDB_PROJECT") or track.PROJECT}  # fmt: skip
    report = wr.Report(**place, **found.say(lambda **rest: wr.Runset(**place, **rest)))
    report.id = cursor.get(VIEW, "id") or ""
    content = fingerprint(_lasting(spec(report)))
    if not report.id or cursor.get(VIEW, "told") != content:
        report.save()
        cursor.note(VIEW, id=report.id, told=content)
    return [f"the W&B report is at {report.url}"]


class Contents:
    """The report in words, tables and panels."""

    def __init__(self, derived: Derived, evidence: Evidence, notes: Sequence[str], config: SweepConfig) -> None:
        self.rows, self.evidence, self.notes, self.config = derived, evidence, notes, config
        names = [row["pool"] for row in derived["strategies"]]
        self.pools = sorted(dict.fromkeys(names), key=lambda name: name != "all")

    def say(self, runset: Callable[..., "wr.Runset"]) -> dict[str, Any]:
        """The arguments of a report; ``runset`` makes a set of runs from ``name`` and ``filters``."""
        import wandb_workspaces.reports.v2 as wr

        def runs(kind: str, *panels: Any) -> list[Any]:
            filters = f"Config('sweep_id') = '{self.config.fingerprint}' and Config('kind') = '{kind}'"
            return [wr.PanelGrid(runsets=[runset(name=kind, filters=filters)], panels=list(panels))] if panels else []

        hosts = {row["host"] for row in self.evidence.jobs}
        blocks: list[Any] = [wr.MarkdownBlock(text=self.answer()), wr.TableOfContents()]
        for title, texts, panels in (
            ("How much do the strategies lose?", self.regret(), runs("report", *self._regret_panels())),
            ("Which proxy can be trusted?", self.proxies(), runs("model", *self._scatters())),
            ("Model, learning rate and tau", [self.searched()], runs(*self._coordinates())),
            ("Fine-tuning", [markdown(tables.accuracies(self.rows["accuracies"]))], runs("model", *self._curves())),
            ("How related are the tasks?", self.bounds(), runs("model", *self._terms())),
            ("Cost", [markdown(tables.jobs(self.evidence))], runs("model", *self._costs())),
            ("Failures", [self.failures()], []),
            ("Missing", [self.missing()], []),
            ("Provenance", [self.provenance()], []),
        ):
            told = [mirror.discreet(text, hosts) for text in texts if text]
            blocks += [wr.H1(text=title), *(wr.MarkdownBlock(text=text) for text in told), *panels]
        blocks.append(wr.CodeBlock(code=json.dumps(mirror.settings(self.config), indent=1), language="json"))
        return {"title": f"{self.config.name}: which model to fine-tune"[:128], "blocks": blocks, "width": "fixed",
                "description": tables.progress(self.evidence)}  # fmt: skip

    # --- words ---------------------------------------------------------------------------------------------------

    def answer(self) -> str:
        """What to fine-tune, at which rate, and how sure that is."""
        rows = self.rows["answer"]
        if not rows:
            return "There is no answer yet; what is missing is said below."
        said = [f"- {_safe(words.plain(words.answer(row)))}" for row in rows]
        sure = [_safe(text) for text in (*tables.remarks(rows), *words.trust(self._first("proxies")))]
        return "\n".join([*said, "", *(f"{text}\n" for text in sure), markdown(tables.answers(rows)), "",
                          markdown(tables.picks(rows))])  # fmt: skip

    def regret(self) -> list[str]:
        """The strategies of every pool, and how they compare task by task."""
        if not self.pools:
            return ["Regret is not known yet: it needs a task on which every model of a pool was fine-tuned."]
        return [markdown(make(self.rows[name], pool)) for pool in self.pools
                for name, make in (("strategies", tables.strategies), ("comparisons", tables.comparisons))]  # fmt: skip

    def proxies(self) -> list[str]:
        """Every score in every pool."""
        pools = list(dict.fromkeys(row["pool"] for row in self.rows["proxies"]))
        return [markdown(tables.trust(self.rows["proxies"], pool)) for pool in pools] or ["No proxy was scored yet."]

    def searched(self) -> str:
        """What the lines of the parallel coordinates are."""
        return ("A line is a searched model and task: the best of its trials." if self._has_searches else
                "This sweep has no search: a line is a model at the rate of its best cell of the grid.")  # fmt: skip

    def bounds(self) -> list[str]:
        """What the bounds come to."""
        found = self.evidence.bounds
        if not found:
            return ["This sweep has no bounds, or none yet."]
        tuned = relatedness.tuned_taus(found, self.rows["accuracies"], self.evidence.task_names, self.evidence.pool)
        said = "\n".join(f"- {_safe(text)}" for text in terms.said(found, tuned))
        return [said, markdown(terms.agreement(self.rows["relatedness"]))]

    def failures(self) -> str:
        """What failed, and why."""
        table = tables.failures(self.evidence)
        return markdown(table) if table.rows else "Nothing failed and nothing diverged."

    def missing(self) -> str:
        """What is planned and not measured, and what was left out."""
        table = tables.missing(self.evidence)
        said = "\n".join(f"- {_safe(note)}" for note in self.notes)
        return f"{said}\n\n{markdown(table)}".strip() if table.rows or said else "Nothing is missing."

    def provenance(self) -> str:
        """Code, devices and versions; names of machines stay at home."""

        def distinct(column: str) -> list[str]:
            return sorted({str(row[column]) for row in self.evidence.jobs if row[column]})

        hosts = len(distinct("host"))
        return "\n".join(f"- {name}: {_safe(value)}" for name, value in (
            ("commit", words.listing(distinct("commit"))), ("sweep", self.config.fingerprint),
            ("machines", words.count(hosts, "host")), ("devices", words.listing(distinct("device"))),
            ("versions", words.versions(distinct("versions"))),
        ))  # fmt: skip

    # --- panels --------------------------------------------------------------------------------------------------

    def _first(self, name: str) -> list[Row]:
        return [row for row in self.rows[name] if row["pool"] == self.rows[name][0]["pool"]]

    @property
    def _has_searches(self) -> bool:
        return any(row["search"] for row in (*self.evidence.runs, *self.evidence.bounds))

    def _regret_panels(self) -> list[Any]:
        """A panel per pool and budget: the mean relative regret of every strategy."""
        import wandb_workspaces.reports.v2 as wr

        groups: dict[tuple[str, int], list[str]] = {}
        for pool in self.pools:
            for row in self.rows["strategies"]:
                if row["pool"] == pool and row["mean_relative_regret"] is not None:
                    groups.setdefault((pool, row["budget"]), []).append(row["strategy"])
        return [wr.BarPlot(title=f"pool {pool}, {words.count(budget, 'model')} fine-tuned", title_x="relative regret",
                           metrics=[wr.SummaryMetric(f"mean_relative_regret/{pool}/{budget}/{name}") for name in names],
                           layout=_place(place))
                for place, ((pool, budget), names) in enumerate(groups.items())]  # fmt: skip

    def _scatters(self) -> list[Any]:
        """Proxy against accuracy, a dot per model, for the scores that lose least."""
        import wandb_workspaces.reports.v2 as wr

        scored = {row["proxy"] for row in self.evidence.scores if row["value"] is not None}
        best = [row["proxy"] for row in (self._first("proxies") if self.rows["proxies"] else ())]
        names = [name for name in dict.fromkeys([*best, *words.STUDY]) if name in scored]
        cells = [(name, task) for name, task in product(names, self.evidence.task_names)][:MOST_PANELS]
        return [wr.ScatterPlot(title=f"{words.proxy(name)} on {task}", x=wr.SummaryMetric(f"score/{name}/{task}"),
                               y=wr.SummaryMetric(f"accuracy/{task}"), layout=_place(place))
                for place, (name, task) in enumerate(cells)]  # fmt: skip

    def _coordinates(self) -> tuple[Any, ...]:
        """The kind of run, and the parallel coordinates over model, learning rate and tau."""
        import wandb_workspaces.reports.v2 as wr

        if self._has_searches:
            names = ("learning_rate", "tau", "val_accuracy", "seconds")
            columns = [(wr.Config("model"), "model"), (wr.Config("task"), "task"),
                       *((wr.SummaryMetric(name), name.replace("_", " ")) for name in names)]  # fmt: skip
        else:
            cells = [f"{name}/{task}" for task in self.evidence.task_names
                     for name in ("learning_rate", "accuracy")]  # fmt: skip
            columns = [(wr.Config("model"), "model"), *((wr.SummaryMetric(name), name) for name in cells)]
        shown = [wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=name, log=name == "learning rate")
                 for metric, name in columns]  # fmt: skip
        plot = wr.ParallelCoordinatesPlot(columns=shown, layout=wr.Layout(w=24, h=10))
        return ("search" if self._has_searches else "model", plot)

    def _curves(self) -> list[Any]:
        """The validation accuracy of the fine-tunings, a panel per task."""
        import wandb_workspaces.reports.v2 as wr

        found: dict[str, list[str]] = {}
        for row in self.evidence.runs:
            if row["search"] is None:
                name = f"{mirror.where(row)}/val_accuracy"
                found.setdefault(row["task"], []).append(name)
        shown = list(found.items())[:MOST_PANELS]
        return [wr.LinePlot(title=f"fine-tuning on {task}", x="finetune_step", y=list(dict.fromkeys(names)),
                            title_y="validation accuracy", layout=_place(place))
                for place, (task, names) in enumerate(shown)]  # fmt: skip

    def _terms(self) -> list[Any]:
        """The terms of the least bound of every model, a panel per task."""
        import wandb_workspaces.reports.v2 as wr

        bounded = {row["task"] for row in self.evidence.bounds if row["total"] is not None}
        tasks = [task for task in self.evidence.task_names if task in bounded][:MOST_PANELS]
        return [wr.BarPlot(title=f"bound on {task}, nats", layout=_place(place),
                           metrics=[wr.SummaryMetric(f"bound/{task}/{term}") for term in mirror.TERMS])
                for place, task in enumerate(tasks)]  # fmt: skip

    def _costs(self) -> list[Any]:
        import wandb_workspaces.reports.v2 as wr

        kinds = list(dict.fromkeys(row["kind"] for row in self.evidence.jobs))
        metrics = [wr.SummaryMetric(f"seconds/{kind}") for kind in kinds]
        return [wr.BarPlot(title="seconds by kind of job", layout=wr.Layout(w=24, h=8), metrics=metrics)]


def _place(number: int) -> Any:
    import wandb_workspaces.reports.v2 as wr

    return wr.Layout(x=12 * (number % 2), y=8 * (number // 2), w=12, h=8)


def markdown(table: Table) -> str:
    """A table as Markdown, numbers to the right; of a long one the beginning."""
    if not table.rows:
        return ""
    heads = [_safe(column.title) for column in table.columns]
    rules = ["---:" if column.number else "---" for column in table.columns]
    lines = [f"| {' | '.join(row)} |" for row in (heads, rules)]
    lines += [f"| {' | '.join(_safe(entry.text) for entry in row)} |" for row in table.rows[:MOST_ROWS]]
    left = len(table.rows) - MOST_ROWS
    more = f"\n\n{words.count(left, 'further row')} in the artifact." if left > 0 else ""
    return f"**{_safe(table.caption)}**\n\n" + "\n".join(lines) + more


def _safe(text: str) -> str:
    """Text that is neither markup nor the end of a cell."""
    for letter, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\\", "\\\\"), ("|", "\\|"), ("*", "\\*"),
                            ("`", "\\`"), ("](", "]\\(")):  # fmt: skip
        text = text.replace(letter, instead)
    return words.printable(text)
