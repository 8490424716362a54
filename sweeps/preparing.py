"""``sweeps tasks``: the list of tasks, and preparing some with progress, in the terminal."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sweeps.errors import DataError, SweepError
from sweeps.tasks.prepare import Need, check_room, matching, needs, prepare
from sweeps.tasks.prepared import faults, is_prepared
from sweeps.tasks.splits import SPLITS
from sweeps.tasks.vtab import GROUP, TRAIN, VAL, VTAB


def list_tasks(console: Console) -> None:
    """Print the embedded tasks, then those that are prepared once."""
    from sweeps.tasks.registry import embedded

    table = Table("task", "group", "classes", "train", "val", "test", "what", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for task in embedded().values():
        sizes = [str(task.sizes[split]) for split in SPLITS]
        table.add_row(task.name, task.group, str(len(task.classes)), *sizes, task.summary)
    for name, known in VTAB.items():
        table.add_row(name, known.group, str(known.classes), str(TRAIN), str(VAL), str(known.test), known.summary)
    console.print(table)
    console.print(f"{GROUP}/... are prepared once: sweeps tasks prepare {GROUP} --out prepared", highlight=False)


def prepare_tasks(console: Console, name: str, out: Path, folder: Path | None) -> int:
    """Prepare what is not prepared yet, and check what is; returns how many tasks are not whole at the end.

    Raises:
        DataError: when the disk has no room for it.
    """
    names = matching(name)
    if folder is not None and not folder.is_dir():
        raise DataError(f"--from must be a folder, got {folder}")
    console.print(f"checking {len(names)} tasks in {out}", highlight=False, markup=False)
    found = needs(names, out, folder)
    todo = [need for need in found if need.source is not None]
    whole = [need.name for need in found if need.source is None and not need.fault]
    if whole:
        console.print(f"{len(whole)} whole, every checksum holds", highlight=False)
    needed, free = check_room(todo, out)
    if todo:
        download = sum(need.source.download for need in todo if need.source)
        console.print(f"{len(todo)} to prepare: about {needed / 1e9:.2f} GB in {out}, {free / 1e9:.2f} GB free; "
                      f"{download / 1e9:.2f} GB to download at most", highlight=False, markup=False)  # fmt: skip
    lines = [need.fault for need in found if need.fault]
    with _progress(console) as bars:
        lines += [line for need in todo if (line := _prepare(need, out, bars))]
    for line in lines:
        console.print(f"not prepared: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    if len(lines) < len(names):
        console.print(f'next: data = "{out}" and tasks = ["{name}"] in a sweep file, then sweeps plan', highlight=False,
                      markup=False, soft_wrap=True)  # fmt: skip
    return len(lines)


def verify_tasks(console: Console, name: str, out: Path) -> int:
    """Hold every prepared task against its checksums; returns how many are missing or not as they were written."""
    wrong = 0
    for task in matching(name):
        lines = faults(out / task) if is_prepared(out / task) else [f"{out / task} is not prepared"]
        wrong += bool(lines)
        console.print(f"{task}: {'; '.join(lines) or 'whole'}", markup=False, highlight=False, soft_wrap=True)
    return wrong


def _prepare(need: Need, out: Path, bars: Progress) -> str:
    sizes = {"train": TRAIN, "val": VAL, "test": need.known.test}
    bar = bars.add_task(need.name, total=sum(sizes.values()))
    before = dict(zip(SPLITS, (0, TRAIN, TRAIN + VAL), strict=True))
    try:
        prepare(need, out, lambda split, count: bars.update(bar, completed=before[split] + count))
    except SweepError as error:
        return str(error)
    bars.update(bar, completed=sum(sizes.values()))
    return ""


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                    console=console)  # fmt: skip
