"""`sweeps regret`: every strategy, pool and budget on a finished table of accuracies of the user's own. No zoo needed.

`read` makes a dense table of a file, `facts` knows the models and pools, `orders` turns strategies into columns of
scores, `judging` makes rows of what :mod:`taskrel` computes, `show` prints and writes them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps.errors import ConfigError
from sweeps.replay.facts import read_facts
from sweeps.replay.judging import Asked, Replayed, replay
from sweeps.replay.read import Layout, read_table
from taskrel.table import Table

__all__ = ["regret_of"]


def regret_of(path: Path, *, task: str = "task", model: str = "model", accuracy: str = "accuracy",
              repeat: str | None = None, wide: Any = None, where: str = "", scores: str | None = None,
              duplicates: Any = "refuse", facts: Path | None = None, fact: Sequence[str] = (),
              pools: Sequence[str] = (), strategies: str = "", budgets: str = "1,2,3,5,10", against: str | None = None,
              bootstrap: int = 1000, seed: int = 0,
              test_size: int | None = None) -> tuple[Table, Replayed]:  # fmt: skip
    """What the command does, with its options: the table that was read, and all that follows from it.

    Raises:
        DataError: for a file that cannot be read or used.
        ConfigError: for an unknown strategy or an option that cannot be read.
    """
    names = None if scores is None else tuple(_split(scores))
    table, notes = read_table(path, Layout(task, model, accuracy, repeat, wide, where, names, duplicates))
    known = read_facts(table, facts, model=model, renames=_renames(fact), pools=pools)
    asked = Asked(tuple(_split(strategies)), _numbers(budgets), against, bootstrap, seed, test_size)
    found = replay(table, known, asked)
    found.notes = [*notes, *known.notes, *found.notes]
    return table, found


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(number) for number in _split(text)}))
    except ValueError:
        raise ConfigError(f"budgets must be whole numbers, comma-separated, got {text!r}") from None


def _renames(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"a fact must read name=column, got {pair!r}")
    return {name.strip(): column.strip() for name, column in (pair.split("=", 1) for pair in pairs)}
