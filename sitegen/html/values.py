"""Lenient readers of the values in a record, and their text: numbers, lists, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from sitegen.core.progress import raised
from sitegen.media.manifest import JSON, Record

_DIGIT_BLANK, _POINT_BLANK = "\u2007", "\u2008"  # as wide as a digit, and as a point


def whole(values: Mapping[str, JSON], name: str) -> int:
    """Return the integer of that name, 0 if there is none."""
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


_SHORT = 6  # maximum rows of a table below a figure


def results_of(record: Record) -> dict[str, Any] | None:
    """Return the measurements of a figure: `summary`, `tables`, and `short`, the first if short.

    A table has a `caption`, `columns`, `rows` of text, and `numeric`, its columns of numbers.
    """
    if not record.results:
        return None
    noted = sequence(record.results.get("tables"))
    tables = [_table(table) for table in noted if isinstance(table, Mapping)]
    short = tables[0] if tables and len(tables[0]["rows"]) <= _SHORT else None
    summary = str(record.results.get("summary") or "")
    return {"summary": summary, "tables": tables, "short": short}


def _table(noted: Mapping[str, JSON]) -> dict[str, Any]:
    rows = [sequence(row) for row in sequence(noted.get("rows"))]
    columns = list(zip_longest(*rows))
    numbers = (int, float, type(None))  # but not bool
    numeric = [n for n, column in enumerate(columns) if all(type(v) in numbers for v in column)]
    texts = [list(map(format_value, column)) for column in columns]
    texts = [align_decimals(column) if n in numeric else column for n, column in enumerate(texts)]
    return {
        "caption": str(noted.get("caption") or ""),
        "columns": [str(name) for name in sequence(noted.get("columns"))],
        "rows": list(zip(*texts, strict=True)),
        "numeric": numeric,
    }


def align_decimals(texts: Sequence[str]) -> list[str]:
    """Numbers of a column with blanks behind them, so that, set right, their points are in line."""
    parts = [word.partition(".") for word in texts]
    longest = max((len(after) for _, _, after in parts), default=0)
    if longest == 0 or any("×" in word for word in texts):
        return list(texts)
    return [
        word + (not point) * _POINT_BLANK + (longest - len(after)) * _DIGIT_BLANK
        if word[-1:].isdigit()
        else word
        for word, (_, point, after) in zip(texts, parts, strict=True)
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
        return ", ".join(format_value(item) for item in value)
    return json.dumps(dict(value), ensure_ascii=False, sort_keys=True)
