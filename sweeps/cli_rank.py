"""``sweeps rank``: arguments in, one call, the answer out."""

import json
from typing import Annotated, Literal

import typer
from rich.console import Console

from sweeps.errors import ConfigError


def rank(
    data: Annotated[str, typer.Argument(help="Folder, table, arrays, or id of a hub dataset.", show_default=False)],
    zoo: Annotated[list[str], typer.Option(
        "--zoo", "-z", help="Names or patterns, a .toml file, a folder of checkpoints. May be repeated.",
    )] = ["mini_*"],  # noqa: B006  typer wants a list
    budget: Annotated[int | None, typer.Option("--budget", "-b", help="Models to fine-tune. Default: 2.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Fine-tune as many as fit in this time.")] = None,
    max_gpu_hours: Annotated[float | None, typer.Option(help="The same in hours of all GPUs together.")] = None,
    strategy: Annotated[str, typer.Option(help="Who picks: any strategy or proxy.")] = "hybrid_linear",
    finetune: Annotated[bool, typer.Option(help="Fine-tune the picks, or rank only.")] = True,
    out: Annotated[str | None, typer.Option(
        "--out", "-o", help="Output folder, s3:// or gs:// address. Default: out/rank-<data>.",
    )] = None,
    text: Annotated[str | None, typer.Option(help="Column of the texts.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of the images or their paths.")] = None,
    pair: Annotated[str | None, typer.Option(help="Column of second texts.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
    split: Annotated[str | None, typer.Option(help="Column that says train, val or test.")] = None,
    subset: Annotated[str | None, typer.Option(help="Configuration of a dataset of the hub.")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a dataset of the hub.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the task.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    executor: Annotated[Literal["ray", "inline"], typer.Option(help="Actors on Ray, or all in this process.")] = "ray",
    address: Annotated[str | None, typer.Option(help="Ray cluster: auto, or host:port. Default: this machine.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers. Default: one per GPU or core.")] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs per worker; a fraction is fine.")] = None,
    overrides: Annotated[list[str], typer.Option("--set", help="Override a key: --set finetune.steps=20.")] = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document; progress goes to stderr.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Show the plan and stop.")] = False,
) -> None:  # fmt: skip
    """The best model of a zoo for your own data: rank all, fine-tune a few, keep the winner's checkpoint.

    Data: an image folder; a CSV, JSONL or Parquet file of texts or image paths; arrays; or a dataset of the hub.

    Example: `sweeps rank data/ --zoo "mini_*" --budget 3 --out out/mine`
    """
    from sweeps.hands import How
    from sweeps.progress import LiveDisplay
    from sweeps.ranking.prepare import go, prepare
    from sweeps.ranking.show import show_answer, show_plan

    if as_json and dry_run:
        raise ConfigError("--json must come without --dry-run, got both")
    columns = {"text": text, "image": image, "pair": pair, "label": label, "split": split, "subset": subset,
               "revision": revision, "name": name}  # fmt: skip
    how = How(executor=executor, address=address, workers=workers, gpus=gpus)
    ready = prepare(data, zoo, budget=budget, max_seconds=max_seconds, max_gpu_hours=max_gpu_hours, strategy=strategy,
                    finetune=finetune, out=out, seed=seed, columns=columns, overrides=overrides, how=how)  # fmt: skip
    console = Console(stderr=as_json)
    show_plan(console, ready)
    if dry_run:
        return
    display = LiveDisplay(console)
    try:
        found = go(ready, display)
    finally:
        display.close()
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        show_answer(console, found)
    if found.failures or (finetune and found.winner is None):
        raise typer.Exit(1)
