"""Validation of the parts of a card: each value by pydantic, then how the values fit together.

A part is a frozen dataclass of pydantic's, decorated with `@checked`. Its `incompatibilities()`
yield the problems of values that are valid one by one. All problems of one sort are raised as one
ConfigError.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError

from sitegen.core.diagnostics import (
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
                found = [f"{dotted(path)}{words}" for path, words in _problems(self)]
            if found:
                raise config_error(f"{name}: {problem}" for problem in found)

        part.__init__ = __init__  # type: ignore[method-assign]
        return part

    return wrap


def read_tables(
    part: type[_T], tables: Mapping[str, Any], text: str, where: str, more: Mapping[str, str]
) -> _T:
    """Create a part from the tables of a TOML document; messages name the document `where`.

    more: further problems, by key

    Raises ConfigError with all invalid values or, if there are none, with all that do not fit.
    """
    lines = toml_lines(text)
    found = [placed(where, lines, (key,), f" {words}") for key, words in more.items()]
    try:
        made = TypeAdapter(part).validate_python(tables)
    except ValidationError as error:
        found += toml_diagnostics(error, part, text, where)
        raise config_error(in_order(found)) from error
    found += [placed(where, lines, path, words) for path, words in _problems(made)]
    if found:
        raise config_error(in_order(found))
    return made


def _problems(part: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield what does not fit in a part and in the parts in it, each with its path and value."""
    for key, words in part.incompatibilities() if hasattr(part, "incompatibilities") else ():
        keys = (key,) if isinstance(key, str) else key
        value: Any = part
        for each in keys:
            value = value[each] if isinstance(each, int) else getattr(value, each)
        many = isinstance(value, tuple) and not any(map(is_dataclass, value))
        missing = words.startswith("is missing")
        shown = f" = {quoted(value)}" if many or isinstance(value, str | int | float) else ""
        yield (*path, *keys), f" {words}" if missing else f"{shown}: {words}"
    for item in fields(part):
        value = getattr(part, item.name)
        inner = enumerate(value) if isinstance(value, tuple) else [(None, value)]
        for at, each in inner:
            if is_dataclass(each):
                yield from _problems(each, (*path, item.name, *(() if at is None else (at,))))
