"""What a sweep found, said so that one can act on it: derived tables, page, summary. Computes no formula itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweeps.config import SweepConfig
from sweeps.fingerprint import fingerprint
from sweeps.picks import scores
from sweeps.provenance import provenance
from sweeps.store import DERIVED, Store
from sweeps.types import Row

__all__ = ["build"]


Built = tuple[dict[str, list[Row]], Sequence[Row], Sequence[str], Path]


def build(store: Store, config: SweepConfig, faults: Mapping[str, str], *, fresh: bool = True,
          papers: Path | None = None) -> Built:  # fmt: skip
    """Derive, write the derived tables, write the page.

    Args:
        store: with the measured tables and the current plan.
        config: of the sweep.
        faults: tasks that cannot be read, each with its reason.
        fresh: build again even if nothing was measured, and no setting or code changed, since the last time.
        papers: where to write figures and tables for papers, if anywhere; only with ``fresh``.

    Returns:
        The derived tables; the failures, as rows of ``jobs`` (unreadable tasks among them); notes on what was left
        out, one sentence each; the path of the page.
    """
    state, page, mark = _state(store, config, faults), store.out / "report.html", store.out / ".report.json"
    if not fresh and page.exists() and mark.exists() and (kept := json.loads(mark.read_text()))["state"] == state:
        return {name: store.rows(name) for name in DERIVED}, (), kept["notes"], page

    from sweeps.report.analysis import analyse, write  # SciPy and Matplotlib take seconds: not before they are needed
    from sweeps.report.html import write_report

    judged = config.regret
    derived = analyse(
        store, seed=config.seed, pools=config.pools, budgets=judged.budgets, strategies=judged.strategies,
        bootstrap=judged.bootstrap, answer_strategy=judged.answer, answer_budget=judged.answer_budget,
        proxies=scores(config), faults=faults,
    )  # fmt: skip
    mark.unlink(missing_ok=True)
    write(store, derived)
    page = write_report(store.out, derived, name=config.name, config=config.model_dump_json(indent=2))
    if papers is not None:
        from sweeps.report.export import export

        export(papers, derived)
    if not derived.evidence.failures:
        mark.write_text(json.dumps({"state": state, "notes": derived.notes}))
    return derived.tables, derived.evidence.failures, derived.notes, page


def _state(store: Store, config: SweepConfig, faults: Mapping[str, str]) -> str:
    """Names what a report is made of: every measurement with its time, the settings and the code."""
    jobs = store.read("jobs", columns=["job", "finished"])
    times = [None if when is None else when.isoformat() for when in jobs["finished"].to_pylist()]
    measured = sorted(zip(jobs["job"].to_pylist(), times, strict=True))
    return fingerprint([config.model_dump(mode="json"), measured, dict(faults), provenance()])
