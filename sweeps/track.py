"""Tracker: a mirror of finished rows for people to look at. Never the record, never read back, never needed.

W&B is the only back end; without it the null tracker does nothing. Nothing here runs in a worker.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from sweeps.errors import ConfigError
from sweeps.types import Outcome, Row

Mode = Literal["off", "offline", "online"]


class Tracker(Protocol):
    """What the driver tells."""

    def settled(self, outcome: Outcome) -> None:
        """One job was measured or failed."""

    def finish(self, derived: Mapping[str, Sequence[Row]], report: Path | None) -> None:
        """The sweep is over; the derived tables and the report are there."""


class NullTracker:
    """Tells nobody."""

    def settled(self, outcome: Outcome) -> None:
        """See :class:`Tracker`."""

    def finish(self, derived: Mapping[str, Sequence[Row]], report: Path | None) -> None:
        """See :class:`Tracker`."""


class WandbTracker:
    """One W&B run per sweep, grouped by the sweep's name; offline runs are sent later with ``wandb sync``."""

    def __init__(
        self, name: str, identity: str, config: Mapping[str, Any], out: Path, mode: Literal["offline", "online"]
    ) -> None:
        """Args: name of the sweep, its fingerprint (the run's id), the resolved config, where to write, the mode.

        Raises:
            ConfigError: online without a key.
        """
        import wandb

        if mode == "online" and not (os.environ.get("WANDB_API_KEY") or wandb.api.api_key):
            raise ConfigError("--wandb online must have a key, got none; run 'wandb login', set WANDB_API_KEY, "
                              "or use --wandb offline")  # fmt: skip
        self._wandb = wandb
        settings = wandb.Settings(silent=True, console="off", x_disable_stats=True)
        self._run = wandb.init(project="sweeps", group=name, job_type="sweep", id=identity, name=name, resume="allow",
                               config=dict(config), dir=str(out), mode=mode, settings=settings)  # fmt: skip
        self._counts = {"ok": 0, "failed": 0}

    def settled(self, outcome: Outcome) -> None:
        """Log a fine-tuning's accuracies, a score's value, and how many jobs are settled."""
        self._counts["ok" if outcome.ok else "failed"] += 1
        row = outcome.job
        logged: dict[str, Any] = {"jobs/ok": self._counts["ok"], "jobs/failed": self._counts["failed"],
                                  f"seconds/{row['kind']}": row["seconds"]}  # fmt: skip
        for run in outcome.rows.get("runs", []):
            for name in ("val_accuracy", "test_accuracy"):
                if run.get(name) is not None:
                    logged[f"{name}/{row['task']}/{row['model']}"] = run[name]
        for score in outcome.rows.get("scores", []):
            if score["value"] is not None:
                logged[f"{score['proxy']}/{row['task']}/{row['model']}"] = score["value"]
        self._run.log(logged)

    def finish(self, derived: Mapping[str, Sequence[Row]], report: Path | None) -> None:
        """Log the derived tables and the report, and the mean regrets as the run's summary."""
        for name, rows in derived.items():
            if rows:
                columns = list(rows[0])
                data = [[_cell(row.get(column)) for column in columns] for row in rows]
                self._run.log({name: self._wandb.Table(columns=columns, data=data)})
        for row in derived.get("strategies", []):
            key = f"mean_relative_regret/{row['pool']}/{row['strategy']}/{row['budget']}"
            self._run.summary[key] = row["mean_relative_regret"]
        if report is not None:
            self._run.log({"report": self._wandb.Html(report.read_text(encoding="utf-8"))})
        self._run.finish()


def _cell(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def tracker(mode: Mode, name: str, identity: str, config: Mapping[str, Any], out: Path) -> Tracker:
    """The tracker for a mode."""
    return NullTracker() if mode == "off" else WandbTracker(name, identity, config, out, mode)
