"""SQL over the tables of one output folder, through DuckDB. Knows the views and no formula.

``models, tasks, scores, runs, checkpoints, jobs, features, embeddings, bounds, head2toe, regret, strategies, answer,
accuracies, correlations, neighbours, relatedness, transfer, plan``: the current sweep. ``all_scores, all_runs`` and so
on hold everything ever measured in the folder, by earlier settings too.
"""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sweeps.errors import ConfigError, OutputError
from sweeps.store import SCHEMAS, Store

MEASURED = ("jobs", "features", "sifted", "scores", "runs", "checkpoints", "embeddings", "bounds", "head2toe")
WIDE = 10_000  # columns of what is no terminal: more than any line has


def connect(out: str | Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with one view per table, of an output folder or address.

    Raises:
        OutputError: when the folder holds no sweep.
    """
    store = Store(out)
    if not store.folder.is_dir():
        raise OutputError(f"the output folder must hold a sweep, got {out}; run 'sweeps run' first or give --out")
    connection = duckdb.connect()
    for name in SCHEMAS:
        connection.register(f"all_{name}" if name in MEASURED else name, store.read(name))
    planned = "job in (select job from plan)"
    for name in ("features", "sifted", "scores", "checkpoints", "embeddings", "head2toe"):
        connection.execute(f"create view {name} as select * from all_{name} where {planned}")
    for name in ("runs", "bounds"):
        connection.execute(
            f"create view {name} as select * from all_{name} where {planned} or search in (select job from plan)"
        )
    connection.execute(f"create view jobs as select * from all_jobs where {planned} or job in (select job from runs) "
                       "or job in (select job from bounds)")  # fmt: skip
    return connection


def query(out: str | Path, text: str) -> pa.Table:
    """The result of one SQL statement.

    Raises:
        ConfigError: when DuckDB refuses the statement, with its first line.
    """
    connection = connect(out)
    try:
        relation = connection.sql(text)
        result = pa.table({}) if relation is None else relation.to_arrow_table()
    except duckdb.Error as error:
        raise ConfigError(f"the query must be valid SQL, got: {str(error).strip().splitlines()[0]}") from None
    return result


def show(console: Console, table: pa.Table) -> None:
    """Print a result, its numbers in six digits. Nothing is cut: a terminal folds, a pipe is as wide as its lines."""
    shown = Table(box=None, pad_edge=False)
    for name in table.column_names:
        shown.add_column(escape(name), overflow="fold")
    for row in table.to_pylist():
        shown.add_row(*(_text(value) for value in row.values()))
    (console if console.is_terminal else Console(file=console.file, width=WIDE)).print(shown)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else escape(str(value))


def export_csv(out: str | Path, folder: Path) -> list[Path]:
    """Write every view of the current sweep as CSV; nested columns become JSON text."""
    connection = connect(out)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in SCHEMAS.items():
        columns = ", ".join(
            f'to_json("{column.name}")::varchar as "{column.name}"'
            if pa.types.is_nested(column.type)
            else f'"{column.name}"'
            for column in schema
        )
        path = folder / f"{name}.csv"
        pa_csv.write_csv(connection.sql(f"select {columns} from {name}").to_arrow_table(), path)
        written.append(path)
    return written
