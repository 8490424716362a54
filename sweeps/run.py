"""The page to read first: config -> plan - done -> executor -> store -> report. Everything else is called from here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps import config as configuration
from sweeps import sifting, sql, track
from sweeps.config import SweepConfig
from sweeps.errors import DataError
from sweeps.hands import Hands, How
from sweeps.ledger import note_facts
from sweeps.output import hold, write_config
from sweeps.plan import measurements, met
from sweeps.progress import Display, Silent
from sweeps.stages import Course, after, measure
from sweeps.store import Store
from sweeps.tasks import registry as tasks_registry
from sweeps.types import Job, Model, Outcome, Row, Task
from sweeps.zoo import registry as zoo_registry

if TYPE_CHECKING:
    import pyarrow as pa

load = configuration.load


@dataclass(frozen=True)
class Result:
    """What a sweep came to: the derived tables, the report, and SQL over everything.

    ``ran`` and ``reused`` count the jobs of each kind that were measured now, and before.
    """

    out: Path
    derived: Mapping[str, Sequence[Row]] = field(repr=False)
    failures: Sequence[Row] = ()
    notes: Sequence[str] = ()
    report: Path | None = None
    ran: Mapping[str, int] = field(default_factory=dict)
    reused: Mapping[str, int] = field(default_factory=dict)

    @property
    def answer(self) -> Sequence[Row]:
        """One row per task: model, learning rate, accuracy with interval, regret, picks with reasons."""
        return self.derived["answer"]

    def sql(self, text: str) -> "pa.Table":
        """One SQL statement over the tables, as an Arrow table."""
        return sql.query(self.out, text)


Plan = tuple[tuple[Model, ...], tuple[Task, ...], tuple[Job, ...], dict[str, str]]
MEASURING = 0.5  # of a limit may be used before anything is fine-tuned


def plan(config: SweepConfig) -> Plan:
    """Models, tasks, the jobs known beforehand, and the faults of tasks that cannot be read (name -> one line)."""
    sifting.check(config)
    models, (tasks, faults) = zoo_registry.resolve(config), tasks_registry.resolve(config)
    if not tasks:
        raise DataError("\n".join(faults.values()))
    models = met(config, models, tasks)
    return models, tasks, jobs(config, models, tasks), faults


def jobs(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task]) -> tuple[Job, ...]:
    """The jobs known beforehand, of models and tasks that are known already."""
    sifting.check(config)
    return measurements(config, models, tasks)


def run(
    sweep: SweepConfig | str | Path, out: str | Path, how: How | None = None, display: Display | None = None,
    planned: Plan | None = None,
) -> Result:  # fmt: skip
    """Do what a sweep still lacks and report.

    Args:
        sweep: a config or the path of its TOML file.
        out: output folder, or s3:// or gs:// address; what it already holds is not measured again.
        how: executor, cluster, workers, W&B; none of it can change a number.
        display: told of the progress; silent by default.
        planned: what :func:`plan` says of the config, where that is known already.
    """
    config = sweep if isinstance(sweep, SweepConfig) else load(Path(sweep))
    models, tasks, known, faults = planned or plan(config)
    how, display, store = how or How(), display or Silent(), Store(out)
    track.check(how.wandb)
    store.prepare()
    with hold(store, how.wait), Hands(store, how) as hands, track.live(store, config, how.wandb):
        write_config(store, config)

        def settle(outcome: Outcome) -> None:
            store.append(outcome)
            display.settled(outcome)

        course = Course(config, models, tasks, store, hands, settle, display)
        note_facts(store, models, tasks)
        hands.limit.share = MEASURING if config.finetune is not None else 1.0
        left = measure(course, known)
        hands.limit.share = 1.0
        after(course, left, note_facts(store, models, tasks))
        display.close()
        store.compact()
    found = report(store, config, faults, how.wandb, fresh=False)
    return replace(found, ran=dict(hands.ran), reused=dict(hands.reused))


def report(
    store: Store, config: SweepConfig, faults: Mapping[str, str], wandb: track.Mode = "off", *, fresh: bool = True,
    papers: Path | None = None,
) -> Result:  # fmt: skip
    """Derive regret and answer from the tables, write them and the HTML page, and mirror all of it in W&B.

    Figures and tables for papers go to ``papers``, if it is given.
    """
    from sweeps.report import build

    track.check(wandb)
    derived, failures, notes, page = build(store, config, faults, fresh=fresh, papers=papers)
    store.send("report.html", ".report.json")
    if wandb != "off":
        from sweeps.report.wandb_report import publish

        notes = [*notes, *publish(store, config, derived, notes, faults, wandb)]
    return Result(store.out, derived, failures, notes, page)
