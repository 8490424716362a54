"""The page to read first: config -> plan - done -> executor -> store -> report. Everything else is called from here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps import config as configuration
from sweeps import picks, sql, track
from sweeps.config import SweepConfig
from sweeps.errors import DataError
from sweeps.hands import Hands, How
from sweeps.ledger import note_facts, note_plan
from sweeps.output import hold, write_config
from sweeps.plan import confirmations, measurements, met
from sweeps.progress import Display, Silent
from sweeps.store import Store
from sweeps.tasks import registry as tasks_registry
from sweeps.types import Job, Model, Outcome, Row, Task
from sweeps.zoo import registry as zoo_registry

if TYPE_CHECKING:
    import pyarrow as pa

load = configuration.load


@dataclass(frozen=True)
class Result:
    """What a sweep came to: the derived tables, the report, and SQL over everything."""

    out: Path
    derived: Mapping[str, Sequence[Row]] = field(repr=False)
    failures: Sequence[Row] = ()
    notes: Sequence[str] = ()
    report: Path | None = None

    @property
    def answer(self) -> Sequence[Row]:
        """One row per task: model, learning rate, accuracy with interval, regret, picks with reasons."""
        return self.derived["answer"]

    def sql(self, text: str) -> "pa.Table":
        """One SQL statement over the tables, as an Arrow table."""
        return sql.query(self.out, text)


def plan(config: SweepConfig) -> tuple[tuple[Model, ...], tuple[Task, ...], tuple[Job, ...], dict[str, str]]:
    """Models, tasks, the jobs known beforehand, and the faults of tasks that cannot be read (name -> one line)."""
    picks.check(config)
    models, (tasks, faults) = zoo_registry.resolve(config), tasks_registry.resolve(config)
    if not tasks:
        raise DataError("\n".join(faults.values()))
    models = met(config, models, tasks)
    return models, tasks, measurements(config, models, tasks), faults


def run(
    sweep: SweepConfig | str | Path, out: str | Path, how: How | None = None, display: Display | None = None
) -> Result:
    """Do what a sweep still lacks and report.

    Args:
        sweep: a config or the path of its TOML file.
        out: output folder, or s3:// or gs:// address; what it already holds is not measured again.
        how: executor, cluster, workers, W&B; none of it can change a number.
        display: told of the progress; silent by default.
    """
    config = sweep if isinstance(sweep, SweepConfig) else load(Path(sweep))
    models, tasks, jobs, faults = plan(config)
    how, display, store = how or How(), display or Silent(), Store(out)
    track.check(how.wandb)
    store.prepare()
    with hold(store, how.wait), Hands(store, how) as hands, track.live(store, config, how.wandb):
        write_config(store, config)

        def settle(outcome: Outcome) -> None:
            store.append(outcome)
            display.settled(outcome)

        note_plan(store, "measure", jobs)
        for stage in ("tau", "search", "confirm"):
            note_plan(store, stage, ())
        note_facts(store, models, tasks)
        hands.run("measure", jobs, settle, display)
        facts = note_facts(store, models, tasks)
        taus = picks.tau_searches(config, jobs, store.rows("bounds"))
        note_plan(store, "tau", [cell.job for cell in taus])
        if taus:
            hands.search("tau", taus, settle, display)
        if config.search is not None:
            runs = store.rows("runs", (job.id for job in jobs if job.kind == "finetune"))
            scores = store.rows("scores", (job.id for job in jobs if job.kind == "score"))
            cells = picks.searched(config, models, tasks, facts, scores, runs)
            note_plan(store, "search", [cell.job for cell in cells])
            hands.search("search", cells, settle, display)
            if config.search.confirm:
                ids = {cell.job.id for cell in cells}
                trials = [row for row in store.rows("runs") if row["search"] in ids]
                confirm = confirmations(config, picks.found(cells, trials))
                note_plan(store, "confirm", confirm)
                hands.run("confirm", confirm, settle, display)
        display.close()
        store.compact()
    return report(store, config, faults, how.wandb, fresh=False)


def report(
    store: Store, config: SweepConfig, faults: Mapping[str, str], wandb: track.Mode = "off", *, fresh: bool = True
) -> Result:
    """Derive regret and answer from the tables, write them and the HTML page, and mirror all of it in W&B."""
    from sweeps.report import build

    track.check(wandb)
    derived, failures, notes, page = build(store, config, faults, fresh=fresh)
    store.send("report.html", ".report.json")
    if wandb != "off":
        from sweeps.report.wandb_report import publish

        notes = [*notes, *publish(store, config, derived, notes, faults, wandb)]
    return Result(store.out, derived, failures, notes, page)
