"""`site.toml` read into a frozen `Site`; everything that is wrong with it is told at once.

A key is one field, with one sentence that says what it is for: that sentence is what an author is
shown. The other tables are in `tables`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import (
    BaseModel,
    ValidationError,
)

from sitegen.config.schema import (
    Site,
    dotted,
)
from sitegen.core.diagnostics import Diagnostic, config_error, rule
from sitegen.core.source import KeyPath, read_text, shown, toml_lines

_HINTS = {
    "cannot overwrite a value": "; the key stands in this table already",
    "invalid value": "; words stand in quotes, numbers and true or false without",
}


def load_site(path: Path) -> Site:
    """Read `site.toml`; ConfigError names everything that is wrong, one line a problem."""
    return parse_site(read_text(path), path)


def parse_site(text: str, path: Path) -> Site:
    """Read the text of a `site.toml` that stands, or is to stand, at `path`; as `load_site`."""
    data = _parse(text, shown(path))
    try:
        site = Site.model_validate(data, context={"root": path.absolute().parent})
    except ValidationError as error:
        lines = toml_lines(text)
        errors = error.errors(include_url=False)[:1000]  # nobody reads more
        found = [_problem(item, lines, shown(path)) for item in errors]
        found.sort(key=lambda problem: problem.line or 0)
        raise config_error(found) from error
    site._file, site._lines = shown(path), toml_lines(text)
    return site


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise config_error([Diagnostic(file, None, "is nested too deeply")]) from error
    except ValueError as error:
        what, _, place = str(error).partition(" (at ")
        line = re.search(r"line (\d+)", place)
        last = text.rstrip().count("\n") + 1
        at = int(line[1]) if line else last if place else None
        words = f"{what[:1].lower()}{what[1:200]}"
        fault = f"is not TOML: {words}{_HINTS.get(words, '')}"
        raise config_error([Diagnostic(file, at, fault)]) from error


def _problem(error: Mapping[str, Any], lines: Mapping[KeyPath, int], file: str) -> Diagnostic:
    """Put an error of pydantic into one line with the key and where it stands."""
    loc: KeyPath = tuple(part for part in error["loc"] if part != "[key]")
    at = next((lines[loc[:end]] for end in range(len(loc), 0, -1) if loc[:end] in lines), None)
    return Diagnostic(file, at, f"{dotted(loc)}{rule(error, _fields(loc))}")


def _fields(loc: KeyPath) -> Mapping[str, Any]:
    """Find the fields that are allowed in the table that a key stands in."""
    table: type[BaseModel] = Site
    for part in loc[:-1]:
        if part in table.model_fields:
            table = next(_tables(table.model_fields[str(part)].annotation), table)
    return table.model_fields


def _tables(annotation: Any) -> Any:
    """Yield the tables that a type holds, however deep inside."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _tables(inner)
