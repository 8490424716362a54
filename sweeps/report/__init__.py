"""What a sweep found, said so that one can act on it: derived tables, page, summary. Computes no formula itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sweeps.config import SweepConfig
from sweeps.store import Store
from sweeps.types import Row

__all__ = ["build"]


def build(store: Store, config: SweepConfig, faults: Mapping[str, str]
          ) -> tuple[dict[str, list[Row]], Sequence[Row], tuple[str, ...], Path]:  # fmt: skip
    """Derive, write the derived tables, write the page.

    Args:
        store: with the measured tables and the current plan.
        config: of the sweep.
        faults: tasks that cannot be read, each with its reason.

    Returns:
        The derived tables; the failures, as rows of ``jobs`` (unreadable tasks among them); notes on what was left
        out, one sentence each; the path of the page.
    """
    from sweeps.report.analysis import analyse, write  # SciPy and Matplotlib take a second: not before they are needed
    from sweeps.report.html import write_report

    judged = config.regret
    derived = analyse(
        store, seed=config.seed, pools=config.pools, budgets=judged.budgets, strategies=judged.strategies,
        bootstrap=judged.bootstrap, answer_strategy=judged.answer, answer_budget=judged.answer_budget,
        proxies=config.proxies, faults=faults,
    )  # fmt: skip
    write(store, derived)
    page = write_report(store.out, derived, name=config.name, config=config.model_dump_json(indent=2))
    return derived.tables, derived.evidence.failures, derived.notes, page
