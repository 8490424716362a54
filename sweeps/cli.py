"""The command line: one verb per thing a user wants. Arguments in, library calls, one clear line on a user's error.

Exit codes: 0 all well, 1 some jobs failed, 2 the user can mend it, 130 interrupted.
"""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from sweeps.cli_bench import bench_proxy
from sweeps.cli_rank import rank
from sweeps.errors import SweepError

app = typer.Typer(
    name="sweeps", no_args_is_help=True, rich_markup_mode="markdown", add_completion=False,
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
    help="Which pre-trained model should I fine-tune for my task, with which learning rate, and how sure are we?\n\n"
         "Start with `sweeps run ray_configs/sweeps/mini.toml`, or `make sweep`.",
)  # fmt: skip
zoo_app = typer.Typer(invoke_without_command=True)
app.add_typer(zoo_app, name="zoo")
tasks_app = typer.Typer(invoke_without_command=True)
app.add_typer(tasks_app, name="tasks")
console, errors = Console(), Console(stderr=True)

Sweep = Annotated[Path, typer.Argument(help="TOML file that says what to sweep.", show_default=False)]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", help="Output: a folder, or s3://bucket/folder. Default: out/<name of the sweep>."),
]
Folder = Annotated[str, typer.Option("--out", "-o", help="Output of a sweep: a folder, or s3://bucket/folder.")]
Named = Annotated[str | None, typer.Option("--zoo", help="needle46, a zoo's file, or a folder of checkpoints.")]
Set = Annotated[list[str], typer.Option("--set", help="Override one key: --set finetune.steps=20. May be repeated.")]


def _guard(verb: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(verb)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return verb(*args, **kwargs)
        except SweepError as error:
            errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            errors.print("interrupted: what was measured is kept; the same command goes on from there")
            raise typer.Exit(130) from None

    return guarded


@app.command()
@_guard
def run(
    sweep: Sweep, out: Out = None,
    executor: Annotated[Literal["ray", "inline"], typer.Option(help="Actors on Ray, or all in this process.")] = "ray",
    address: Annotated[str | None, typer.Option(help="Ray cluster: auto, or host:port. Default: this machine.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers. Default: one per GPU or core.")] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs per worker; a fraction is fine.")] = None,
    attempts: Annotated[int, typer.Option(min=1, help="How often a job is tried whose worker dies.")] = 3,
    wandb: Annotated[Literal["off", "offline", "online"], typer.Option(help="Mirror to Weights & Biases.")] = "off",
    overrides: Set = [],  # noqa: B006  typer wants a list
    retry_failed: Annotated[bool, typer.Option(help="Measure jobs again that failed before.")] = True,
    wait: Annotated[bool, typer.Option(help="Wait while another run uses the output folder.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Same as 'sweeps plan'.")] = False,
) -> None:  # fmt: skip
    """Measure what a sweep still lacks, then report. Run it again at any time: nothing is measured twice.

    Example: `sweeps run ray_configs/sweeps/mini.toml --out out/mini --workers 2`
    """
    from sweeps.hands import How
    from sweeps.progress import LiveDisplay
    from sweeps.report.summary import show
    from sweeps.run import load
    from sweeps.run import run as run_sweep

    config = load(sweep, overrides)
    if dry_run:
        _plan(config, out or f"out/{config.name}")
        return
    how = How(executor=executor, address=address, workers=workers, gpus=gpus, attempts=attempts, wandb=wandb,
              retry_failed=retry_failed, wait=wait)  # fmt: skip
    display = LiveDisplay(console)
    try:
        result = run_sweep(config, out or f"out/{config.name}", how, display)
    finally:
        display.close()
    show(console, result.out, result.derived, result.failures, result.notes, result.report)
    if result.failures:
        raise typer.Exit(1)


for verb in (rank, bench_proxy):
    app.command()(_guard(verb))


@app.command()
@_guard
def plan(
    sweep: Sweep, out: Out = None,
    cluster: Annotated[str | None, typer.Option(help="Time and cost on a cluster: 8:gpu, 64:cpu, 8:gpu@1.21.")] = None,
    overrides: Set = [],  # noqa: B006  typer wants a list
) -> None:  # fmt: skip
    """Show what a run would do: jobs, seconds, disk, and what is done already. Runs nothing.

    Example: `sweeps plan ray_configs/sweeps/mini.toml --cluster 8:gpu@1.21`
    """
    from sweeps.run import load

    config = load(sweep, overrides)
    _plan(config, out or f"out/{config.name}", cluster)


def _plan(config: Any, out: str, cluster: str | None = None) -> None:
    from sweeps.forecast import Cluster, forecast, lines
    from sweeps.outlook import outlook, show_outlook

    asked = None if cluster is None else Cluster.parse(cluster)
    found = outlook(config, out)
    show_outlook(console, found, out)
    for line in [] if asked is None else lines(forecast(found, asked), asked):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
@_guard
def status(
    out: Folder, watch: Annotated[bool, typer.Option(help="Keep showing it until the sweep is over.")] = False
) -> None:
    """How far a sweep is: jobs done, failed and missing per kind, and the failures. Works while it runs.

    Example: `sweeps status --out out/mini --watch`
    """
    from sweeps import watch as watching

    show = watching.watch if watch else watching.show_status
    show(console, out)


@app.command()
@_guard
def report(
    out: Folder,
    wandb: Annotated[Literal["off", "offline", "online"], typer.Option(help="Mirror to W&B, report included.")] = "off",
    papers: Annotated[Path | None, typer.Option("--export", help="Folder for SVG, PDF, CSV and LaTeX.")] = None,
) -> None:
    """Derive regret and answer again and rewrite the HTML report, from what is there, also while a sweep runs.

    Example: `sweeps report --out out/mini --export out/mini/paper`
    """
    from sweeps.output import read_config
    from sweeps.report.summary import show
    from sweeps.run import report as build
    from sweeps.store import Store
    from sweeps.tasks.registry import resolve

    store = Store(out)
    config = read_config(store.out)
    result = build(store, config, resolve(config)[1], wandb, papers=papers)
    show(console, store.out, result.derived, result.failures, result.notes, result.report)
    if papers is not None:
        console.print(f"export {papers}", markup=False, highlight=False, soft_wrap=True)


@app.command()
@_guard
def sql(query: Annotated[str, typer.Argument(help="One SQL statement.")], out: Folder,
        csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False) -> None:  # fmt: skip
    """Ask the tables in SQL (DuckDB). Views: models, tasks, scores, runs, jobs, features, regret, answer, ...

    Example: `sweeps sql "select model, avg(accuracy) from accuracies group by 1 order by 2 desc" --out out/mini`
    """
    from sweeps.sql import query as ask
    from sweeps.sql import show

    table = ask(out, query)
    if csv:
        import pyarrow.csv as pa_csv

        pa_csv.write_csv(table, sys.stdout.buffer)
        return
    show(console, table)


@app.command()
@_guard
def score(
    files: Annotated[list[Path], typer.Argument(help="One .npz or .npy per model.", show_default=False)],
    labels: Annotated[Path | None, typer.Option(help="Labels: .npy, or one per line. Default: in the files.")] = None,
    proxies: Annotated[str, typer.Option(help="Names, comma-separated. Default: all, of several files a core.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Score your own features without a sweep: one file gives scores, several give ranks. Higher is better.

    A .npz holds `features` [n, d] and `labels` [n], optionally `val_features`, `val_labels`, `source_probs`.

    Example: `sweeps score resnet.npz vit.npz --proxies logme,knn_loo,rank_mean`
    """
    import json

    from sweeps.scoring import score_files

    found = score_files(files, labels, [name.strip() for name in proxies.split(",") if name.strip()], seed)
    print(json.dumps({"scores": found.to_dicts(), "notes": found.notes}) if as_json else found)


@app.command()
@_guard
def regret(
    table: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet of accuracies.", show_default=False)],
    task: Annotated[str, typer.Option(help="Column of task names.")] = "task",
    model: Annotated[str, typer.Option(help="Column of model names, also of --facts.")] = "model",
    accuracy: Annotated[str, typer.Option(help="Column of accuracies: fractions or per cent.")] = "accuracy",
    repeat: Annotated[str | None, typer.Option(help="Column of repeats. Default: repeat or seed, if any.")] = None,
    wide: Annotated[Literal["tasks", "models"] | None, typer.Option(help="Each column is one of these.")] = None,
    where: Annotated[str, typer.Option(help='Rows to take: "examples = 1000 and model != scratch*".')] = "",
    scores: Annotated[str | None, typer.Option(help="Score columns, comma-separated. Default: other numbers.")] = None,
    duplicates: Annotated[
        Literal["refuse", "mean", "median", "first", "max", "repeats"], typer.Option(help="Several rows of a cell.")
    ] = "refuse",
    facts: Annotated[Path | None, typer.Option(help="Facts of models: parameters, upstream_accuracy, pool_*.")] = None,
    fact: Annotated[list[str], typer.Option(help="Name a fact: --fact parameters=params. May be repeated.")] = [],  # noqa: B006
    pool: Annotated[list[str], typer.Option(help='A pool: "small: parameters <= 24e6". May be repeated.')] = [],  # noqa: B006
    strategies: Annotated[str, typer.Option(help="Names, comma-separated. Default: all (that the table allows).")] = "",
    budgets: Annotated[str, typer.Option(help="Numbers of models to fine-tune.")] = "1,2,3,5,10",
    against: Annotated[str | None, typer.Option(help="Compare with this strategy. Default: with the best.")] = None,
    bootstrap: Annotated[int, typer.Option(min=1, help="Bootstrap samples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    test_size: Annotated[int | None, typer.Option(min=1, help="Test examples per task, for the log odds.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the tables, Parquet and CSV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Regret of every strategy on a finished table of accuracies, yours or a published one. No zoo needed.

    A long table has columns task, model, accuracy, maybe repeat, and any proxy scores; see docs/regret.md.

    Example: `sweeps regret accuracies.csv --facts models.csv --pool "small: parameters <= 24e6" --out out/regret`
    """
    from sweeps.replay import regret_of
    from sweeps.replay.show import show, to_json, write

    dense, found = regret_of(
        table, task=task, model=model, accuracy=accuracy, repeat=repeat, wide=wide, where=where, scores=scores,
        duplicates=duplicates, facts=facts, fact=fact, pools=pool, strategies=strategies, budgets=budgets,
        against=against, bootstrap=bootstrap, seed=seed, test_size=test_size,
    )  # fmt: skip
    if out is not None:
        write(out, found)
    if as_json:
        print(to_json(dense, found))
    else:
        show(console, dense, found, out)


@app.command()
@_guard
def compare(
    one: Annotated[Path, typer.Argument(help="Output folder A.", show_default=False)],
    two: Annotated[Path, typer.Argument(help="Output folder B.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What changed from sweep A to sweep B: answers, accuracy, regret, scores, cost, with paired intervals.

    Example: `sweeps compare out/mini out/mini-new`
    """
    import json

    from sweeps.report.compare import compare as compared
    from sweeps.report.compare import show

    found = compared(one, two)
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        show(console, found, one, two)


@app.command()
@_guard
def export(out: Folder, csv: Annotated[Path, typer.Option("--csv", help="Folder for one CSV file per table.")]) -> None:
    """Write every table as CSV.

    Example: `sweeps export --out out/mini --csv out/mini/csv`
    """
    from sweeps.sql import export_csv

    for path in export_csv(out, csv):
        console.print(str(path), markup=False, highlight=False)


@zoo_app.callback()
@_guard
def zoo(context: typer.Context, zoo: Named = None) -> None:
    """List a zoo with its facts: the embedded models, or those of --zoo. Any timm name can be named in a sweep, too.

    Example: `sweeps zoo --zoo modern46`
    """
    if context.invoked_subcommand is not None:
        return
    from sweeps.zoo.check import facts_table, show_substitutes
    from sweeps.zoo.registry import embedded, listed

    models = list(embedded().values()) if zoo is None else listed(zoo)
    console.print(facts_table(models))
    show_substitutes(console, models)


@zoo_app.command()
@_guard
def check(
    zoo: Named = None,
    loading: Annotated[bool, typer.Option("--load/--no-load", help="Load what is on this disk.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Whether the models of a zoo can be loaded here: local, cached, bytes to download, substitute, or why not.

    Example: `sweeps zoo check --zoo needle46`
    """
    import json

    from sweeps.zoo.check import check as standings
    from sweeps.zoo.check import show
    from sweeps.zoo.registry import embedded, listed

    models = list(embedded().values()) if zoo is None else listed(zoo)
    found = list(standings(models, loading=loading))
    if as_json:
        print(json.dumps([each.row for each in found]))
    else:
        show(console, found)
    if any(each.state == "cannot" for each in found):
        raise typer.Exit(1)


@zoo_app.command()
@_guard
def pretrain(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights and model cards.")] = Path("out/zoo"),
    models: Annotated[list[str] | None, typer.Argument(help="Names; all by default.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers. Default: one per core.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster. Default: this machine.")] = None,
) -> None:
    """Pre-train the embedded zoo from its seeds, as jobs on Ray. What is there already is left alone.

    Example: `sweeps zoo pretrain --out out/zoo`
    """
    from sweeps.hands import How
    from sweeps.pretraining import pretrain_all
    from sweeps.progress import LiveDisplay

    failures = pretrain_all(models, out, How(workers=workers, address=address), LiveDisplay(console))
    console.print(f"weights and cards are in {out}", markup=False, highlight=False)
    if failures:
        raise typer.Exit(1)


@tasks_app.callback()
@_guard
def tasks(context: typer.Context) -> None:
    """List the embedded tasks and those to prepare; images and texts of your own go into a [[task]] entry.

    Example: `sweeps tasks`
    """
    if context.invoked_subcommand is None:
        from sweeps.preparing import list_tasks

        list_tasks(console)


@tasks_app.command()
@_guard
def prepare(
    name: Annotated[str, typer.Argument(help="A group (vtab1k), a task or a pattern.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for prepared tasks.")] = Path("prepared"),
    folder: Annotated[Path | None, typer.Option("--from", help="Your lists or originals. Default: the hub.")] = None,
    verify: Annotated[bool, typer.Option(help="Only hold what is there against its checksums.")] = False,
) -> None:
    """Prepare tasks of a benchmark once. Goes on where it was stopped; again, it checks every checksum.

    Example: `sweeps tasks prepare vtab1k --out prepared`
    """
    from sweeps.preparing import prepare_tasks, verify_tasks

    if verify_tasks(console, name, out) if verify else prepare_tasks(console, name, out, folder):
        raise typer.Exit(1)


def main() -> None:
    """Entry point of the console script."""
    app()
