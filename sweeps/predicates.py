"""Conditions on the rows of an Arrow table: ``parameters <= 24e6 and group = vit*``. Knows no file and no formula."""

import re
from fnmatch import translate

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.errors import DataError, did_you_mean

_CONDITION = re.compile(r"^\s*(?P<column>[^<>=!]+?)\s*(?P<sign><=|>=|==|!=|=|<|>)\s*(?P<value>.+?)\s*$")
_ORDERED = {"<=": pc.less_equal, ">=": pc.greater_equal, "<": pc.less, ">": pc.greater}


def holds(table: pa.Table, text: str) -> pa.ChunkedArray:
    """Which rows meet every condition; an unknown fact meets none.

    Args:
        table: with the columns that the conditions name.
        text: ``column sign value``, joined by ``and``; the signs are <= >= < > = !=. Text compares with = and != only,
            as a pattern with ``*`` and ``?``.

    Raises:
        DataError: for a condition that cannot be read, an unknown column or a comparison that makes no sense.
    """
    found = pa.chunked_array([pa.repeat(True, table.num_rows)])
    for part in re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE):
        match = _CONDITION.match(part)
        if match is None:
            raise DataError(f"a condition must read 'column <= value' (also >= < > = !=), got {part!r}")
        column, sign, value = match["column"].strip(), match["sign"], match["value"].strip("'\"")
        if column not in table.column_names:
            raise DataError(f"a condition must name a column{did_you_mean(column, table.column_names)}")
        found = pc.and_(found, pc.fill_null(_compare(table[column], column, sign, value), False))
    return found


def _compare(values: pa.ChunkedArray, column: str, sign: str, value: str) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_null(kind):
        return pc.is_valid(values)
    if pa.types.is_boolean(kind):
        values, kind = values.cast(pa.int8()), pa.int8()
        value = {"true": "1", "false": "0"}.get(value.lower(), value)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        try:
            number = float(value)
        except ValueError:
            raise DataError(f"a condition on {column!r} must compare with a number, got {value!r}") from None
        numbers = values.cast(pa.float64())
        if sign in _ORDERED:
            return _ORDERED[sign](numbers, number)
        return pc.not_equal(numbers, number) if sign == "!=" else pc.equal(numbers, number)
    if sign in _ORDERED:
        raise DataError(f"a condition on text must use = or !=, got {sign!r} for {column!r}")
    # Python's pattern is anchored; Arrow's expressions know no \Z.
    pattern = "^" + translate(value).removesuffix(r"\Z").removesuffix(r"\z") + "$"
    alike = pc.match_substring_regex(values.cast(pa.string()), pattern)
    return pc.invert(alike) if sign == "!=" else alike
