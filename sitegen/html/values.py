"""Lenient readers of the values in a record, and their text: numbers, lists, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from sitegen.core.progress import raised
from sitegen.html.views import Results, Table
from sitegen.media.manifest import JSON, Record

_DIGIT_BLANK, _POINT_BLANK = "\u2007", "\u2008"  # as wide as a digit, and as a point


def whole(values: Mapping[str, JSON], name: str) -> int:
    """Return the integer of that name, 0 if there is none."""
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


_SHORT = 6  # maximum rows of a table below a figure


def results_of(record: Record) -> Results | None:
    """Return the measurements of a figure for its page; None if there are none."""
    noted = record.results
    if not noted:
        return None
    tables = [_table(each) for each in sequence(noted.get("tables")) if isinstance(each, Mapping)]
    short = tables[0] if tables and len(tables[0].rows) <= _SHORT else None
    return Results(str(noted.get("summary") or ""), tuple(tables), short)


def _table(noted: Mapping[str, JSON]) -> Table:
    rows = [sequence(row) for row in sequence(noted.get("rows"))]
    columns = list(zip_longest(*rows))
    numbers = (int, float, type(None))  # but not bool
    numeric = tuple(at for at, each in enumerate(columns) if all(type(v) in numbers for v in each))
    words = [list(map(format_value, column)) for column in columns]
    words = [align_decimals(each) if at in numeric else each for at, each in enumerate(words)]
    return Table(
        caption=str(noted.get("caption") or ""),
        columns=tuple(str(each) for each in sequence(noted.get("columns"))),
        rows=tuple(zip(*words, strict=True)),
        numeric=numeric,
    )


def align_decimals(words: Sequence[str]) -> list[str]:
    """Numbers of a column with blanks behind them, so that, set right, their points are in line."""
    parts = [word.partition(".") for word in words]
    longest = max((len(after) for _, _, after in parts), default=0)
    if longest == 0 or any("×" in word for word in words):
        return list(words)
    return [
        word + (not point) * _POINT_BLANK + (longest - len(after)) * _DIGIT_BLANK
        if word[-1:].isdigit()
        else word
        for word, (_, point, after) in zip(words, parts, strict=True)
    ]


def sequence(value: JSON) -> Sequence[JSON]:
    """Return a list of a record, or an empty list for any other value."""
    return value if isinstance(value, list | tuple) else ()


def format_value(value: JSON) -> str:
    """Write a value for a reader."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        digits, _, power = f"{value:.4g}".partition("e")
        return f"{digits} × 10{raised(int(power))}" if power else digits
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, Sequence):
        return ", ".join(format_value(each) for each in value)
    return json.dumps(dict(value), ensure_ascii=False, sort_keys=True)
