"""How the parts of a card are checked: each value by pydantic, and then how they fit together.

A part is a frozen dataclass of pydantic's, marked `@checked`. Its `misfits` tell what is wrong
with values that are right one by one. All that is wrong is told at once, as one ConfigError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError

from sitegen.core.diagnostics import (
    Diagnostic,
    config_error,
    dotted,
    fields_of,
    in_order,
    placed,
    quoted,
    rule,
    toml_diagnostics,
)
from sitegen.core.source import KeyPath, toml_lines
from sitegen.core.validation import reject_if

PART = ConfigDict(extra="forbid", populate_by_name=True)
"""How pydantic makes a part."""

Misfits = Iterator[tuple[str, str]]
"""Keys of a table, and what is wrong with their values beside the others."""

_T = TypeVar("_T")


def must(words: str, holds: Callable[[Any], bool]) -> AfterValidator:
    """Make the validator of a value for which `holds` is true; `words` say what it should be."""
    return reject_if(lambda value: None if holds(value) else f"should be {words}")


Flag = Annotated[bool, Strict()]
Word = Annotated[str, Strict()]
Count = Annotated[int, Strict(), Field(ge=1, le=4096)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


def checked(name: str) -> Callable[[type[_T]], type[_T]]:
    """Let a part tell what is wrong as ConfigError, under a name, and check how its values fit."""

    def wrap(part: type[_T]) -> type[_T]:
        made: Callable[..., None] = part.__init__
        names = [item.name for item in fields(part)]  # type: ignore[arg-type]

        def __init__(self: Any, *values: Any, **named: Any) -> None:
            try:
                made(self, **dict(zip(names, values, strict=False)), **named)
            except ValidationError as error:
                known, items = fields_of(part), error.errors(include_url=False)
                found = [f"{dotted(item['loc'])}{rule(item, known)}" for item in items]
            else:
                found = [f"{key}{words}" for key, words in _misfits(part, vars(self))]
            if found:
                raise config_error(f"{name}: {problem}" for problem in found)

        part.__init__ = __init__  # type: ignore[method-assign]
        return part

    return wrap


def read_tables(
    part: type[_T],
    tables: Mapping[str, Any],
    inner: Mapping[str, Any],
    text: str,
    where: str,
    more: Mapping[str, str],
) -> _T:
    """Make a part of the tables of a TOML document, whose text messages call `where`.

    `inner` maps the keys of inner tables to their parts, `more` keys to what is wrong with them
    besides. Where a value is wrong the others are looked at all the same, as far as they tell
    something.
    """
    lines, made = toml_lines(text), None
    found: list[Diagnostic] = []
    wrong: set[KeyPath] = set()
    try:
        made = TypeAdapter(part).validate_python(tables)
    except ValidationError as error:
        found = toml_diagnostics(error, part, text, where)
        for item in error.errors(include_url=False):
            loc = tuple(each for each in item["loc"] if not str(each).startswith("<"))
            wrong.add(loc[:2] if loc[0] in inner else loc[:1])
    good = {
        key: _right(kind, tables[key], (key,), wrong)
        for key, kind in inner.items()
        if isinstance(tables.get(key), Mapping)
    }
    found += [placed(where, lines, (key,), f" {words}") for key, words in more.items()]
    whole = {**_right(part, tables, (), wrong), **good}
    for path, kind, values in [((), part, whole), *(((k,), inner[k], v) for k, v in good.items())]:
        for key, words in _misfits(kind, values):
            found.append(placed(where, lines, (*path, key), words))
    if made is None or found:
        raise config_error(in_order(found))
    return made


def _right(part: Any, table: Mapping[str, Any], path: KeyPath, wrong: set[KeyPath]) -> Any:
    """The values of a table, and the defaults of others, but for those that are wrong."""
    known = fields_of(part).items()
    defaults = {name: each.default for name, each in known if not each.is_required()}
    values = {**defaults, **table}
    return {key: value for key, value in values.items() if (*path, key) not in wrong}


def _misfits(part: Any, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, words in part.misfits(values) if hasattr(part, "misfits") else ():
        value = values.get(key)
        plain = isinstance(value, str | int | float | list | tuple)
        missing = words.startswith("is missing")
        shown = f" = {quoted(value)}" if plain and not missing else ""
        yield key, f"{shown}{'' if missing else ':'} {words}"
