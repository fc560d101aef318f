"""Validation of the parts of a card: each value by pydantic, then how the values fit together.

A part is a frozen dataclass of pydantic's, decorated with `@checked`. Its `incompatibilities`
yield the problems of values that are valid one by one. All problems are raised as one ConfigError.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
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
from sitegen.generative.card.limits import LARGEST_COUNT, MOST_LEVELS

PART = ConfigDict(extra="forbid", populate_by_name=True)
"""Pydantic's configuration of a part."""

Incompatibilities = Iterator[tuple[str | KeyPath, str]]
"""Keys of a table, or paths into it, each with the problem of its value in that table."""

_T = TypeVar("_T")


def must(words: str, holds: Callable[[Any], bool]) -> AfterValidator:
    """Return a validator that accepts values for which `holds` is true; `words` name those."""
    return reject_if(lambda value: None if holds(value) else f"should be {words}")


Flag = Annotated[bool, Strict()]
Word = Annotated[str, Strict()]
Count = Annotated[int, Strict(), Field(ge=1, le=LARGEST_COUNT)]
Level = Annotated[int, Strict(), Field(ge=1, le=MOST_LEVELS)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


def checked(name: str) -> Callable[[type[_T]], type[_T]]:
    """Make a part raise ConfigError under a name, and check how its values fit together."""

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
                found = [
                    f"{dotted(path)}{words}" for path, words in _incompatibilities(part, vars(self))
                ]
            if found:
                raise config_error(f"{name}: {problem}" for problem in found)

        part.__init__ = __init__  # type: ignore[method-assign]
        return part

    return wrap


def read_tables(
    part: type[_T],
    tables: Mapping[str, Any],
    inner: Mapping[KeyPath, Any],
    text: str,
    where: str,
    more: Mapping[str, str],
) -> _T:
    """Create a part from the tables of a TOML document; messages name the document `where`.

    inner: parts of inner tables, by path
    more: further problems, by key

    Values are checked for incompatibilities even if others are invalid, as far as possible. Raises
    ConfigError with all problems.
    """
    lines, made, parts = toml_lines(text), None, {(): part, **inner}
    found: list[Diagnostic] = []
    wrong: set[KeyPath] = set()
    try:
        made = TypeAdapter(part).validate_python(tables)
    except ValidationError as error:
        found = toml_diagnostics(error, part, text, where)
        for item in error.errors(include_url=False):
            loc = tuple(each for each in item["loc"] if not str(each).startswith("<"))
            wrong.add(loc[: 1 + max(len(path) for path in parts if loc[: len(path)] == path)])
    found += [placed(where, lines, (key,), f" {words}") for key, words in more.items()]
    right = _right(tables, (), parts, wrong)
    for path, kind in parts.items():
        values = _at(right, path)
        for key, words in _incompatibilities(kind, values) if isinstance(values, Mapping) else ():
            found.append(placed(where, lines, (*path, *key), words))
    if made is None or found:
        raise config_error(in_order(found))
    return made


def _right(value: Any, path: KeyPath, parts: Mapping[KeyPath, Any], wrong: set[KeyPath]) -> Any:
    if isinstance(value, list):
        return [_right(item, (*path, at), parts, wrong) for at, item in enumerate(value)]
    if path not in parts or not isinstance(value, Mapping):
        return value
    known = fields_of(parts[path]).items()
    values = {name: each.default for name, each in known if not each.is_required()} | dict(value)
    pairs = (((*path, key), key, item) for key, item in values.items())
    return {key: _right(item, at, parts, wrong) for at, key, item in pairs if at not in wrong}


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or is_dataclass(value)


def _at(value: Any, path: KeyPath) -> Any:
    for key in path:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(key, int):
            value = value[key] if isinstance(value, list | tuple) else None
        else:
            value = getattr(value, key, None)
    return value


def _incompatibilities(part: Any, values: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for key, words in part.incompatibilities(values) if hasattr(part, "incompatibilities") else ():
        path = (key,) if isinstance(key, str) else key
        value = _at(values, path)
        plain = isinstance(value, str | int | float) or (
            isinstance(value, list | tuple) and not any(map(_is_table, value))
        )
        missing = words.startswith("is missing")
        shown = f" = {quoted(value)}" if plain and not missing else ""
        yield path, f"{shown}{'' if missing else ':'} {words}"
