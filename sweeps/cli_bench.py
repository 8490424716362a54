"""``sweeps bench-proxy``: arguments in, one call, the table out."""

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table


def bench_proxy(
    target: Annotated[str, typer.Argument(help="module:function, found from here.", show_default=False)],
    strategy: Annotated[bool, typer.Option("--strategy", help="The function is a strategy, not a proxy.")] = False,
    truth: Annotated[Path | None, typer.Option(help="Folder of a packed truth. Default: the shipped one.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where features are kept.")] = Path("out/bench"),
    executor: Annotated[Literal["ray", "inline"], typer.Option(help="Actors on Ray, or all in this process.")] = "ray",
    workers: Annotated[int | None, typer.Option(min=1, help="Workers. Default: one per GPU or core.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document; progress goes to stderr.")] = False,
) -> None:
    """Your own proxy, or strategy, on all models and tasks of the embedded zoo's truth, beside all built-in ones.

    Example: `sweeps bench-proxy mine:score`
    """
    from sweeps.bench import bench_proxy as proxy
    from sweeps.bench import bench_strategy, show
    from sweeps.hands import How
    from sweeps.progress import LiveDisplay
    from sweeps.truth import FOLDER, load

    known, console = load(truth or FOLDER), Console(stderr=as_json)
    if strategy:
        found = bench_strategy(target, known)
    else:
        display = LiveDisplay(console)
        try:
            found = proxy(target, known, out, How(executor=executor, workers=workers), display)
        finally:
            display.close()
    if as_json:
        print(json.dumps({"name": found.name, "rows": list(found.rows), "missing": list(found.missing)}))
        return
    head, *lines = show(found)
    shown = Table(box=None, pad_edge=False)
    for place, text in enumerate(head):
        shown.add_column(text, justify="right" if place else "left", no_wrap=True)
    for line in lines:
        shown.add_row(*line, style="bold" if line[0].startswith(">") else None)
    wide = max(console.width, 100) if not os.isatty(1) else console.width
    Console(width=wide).print(shown)
    for task, model, reason in found.missing[:3]:
        console.print(f"- no score for {model} on {task}: {reason}", markup=False, highlight=False, soft_wrap=True)
    if len(found.missing) > 3:
        console.print(f"- and {len(found.missing) - 3} more cells without a score")
