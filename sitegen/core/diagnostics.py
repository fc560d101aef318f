"""Diagnostics: one line for each problem, with its location, the value, the rule and a hint."""

import difflib
import json
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from sitegen.core.errors import ConfigError
from sitegen.core.source import KeyPath, toml_lines

_MOST_ITEMS = 6  # of a list in a message
_MOST_CHARACTERS = 60  # of a value in a message


@dataclass(frozen=True)
class SourceLocation:
    """Location in one of the author's files; lines count from 1."""

    file: str
    line: int


@dataclass(frozen=True)
class Diagnostic:
    """One problem in a file; `line` is None if it is unknown."""

    file: str
    line: int | None
    text: str

    def __str__(self) -> str:
        location = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{location}: {self.text}"


def config_error(problems: Iterable[object]) -> ConfigError:
    """Return one ConfigError for all problems, one line each; the caller raises it."""
    problems = tuple(problems)
    error = ConfigError("\n".join(map(str, problems)))
    error.problems = problems
    return error


def in_order(problems: Iterable[object]) -> list[object]:
    """Return the problems of one file without duplicates, in the order of their lines."""
    return sorted(dict.fromkeys(problems), key=lambda problem: getattr(problem, "line", None) or 0)


def close_match(word: str, candidates: Iterable[str]) -> str:
    """Return `, did you mean "x"?` if one of the candidates is close, else ""."""
    names = list(candidates)
    equal = [name for name in names if name.casefold() == word.casefold()]
    # Shortened, since difflib takes quadratic time in the length of a word.
    close = equal or difflib.get_close_matches(word[:100], names, n=1, cutoff=0.6)
    return f', did you mean "{close[0]}"?' if close else ""


def known_words(word: str, candidates: Iterable[str]) -> str:
    """Return a hint for an unknown word: the closest candidate, or else all of them."""
    names = sorted(candidates)
    all_names = f"; known: {', '.join(names)}" if names else "; there is none"
    return close_match(word, names) or all_names


def quoted(value: object) -> str:
    """Return a value from a file as TOML has it, shortened and on one line."""
    if isinstance(value, list | tuple):
        more = ", …" if len(value) > _MOST_ITEMS else ""
        return f"[{', '.join(map(quoted, value[:_MOST_ITEMS]))}{more}]"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, Mapping | int | float):
        # Python does not print integers of more than 4300 digits. From 3.15 on, reprlib shows
        # their place in memory instead.
        try:
            shortened = reprlib.repr(value)
        except ValueError:
            shortened = "<int instance"
        return "a number of thousands of digits" if "<int inst" in shortened else shortened
    text = str(value)
    text = text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
    return f'"{text}"' if text.isprintable() else json.dumps(text)


def toml_diagnostics(
    error: ValidationError, document: Any, text: str, file: str
) -> list[Diagnostic]:
    """Return all errors of pydantic about a TOML document, in the order of its lines.

    document: the model or validated dataclass that the document was validated against
    text: the document, valid TOML
    file: its name in messages
    """
    lines = toml_lines(text)
    problems = []
    for item in error.errors(include_url=False):
        path, fields = _key_of(item["loc"], document, lines)
        if item["input"] is None:  # TOML has no such value: the key is not there
            item["input"] = {}
        problems.append(placed(file, lines, path, rule(item, fields)))
    return sorted(problems, key=lambda problem: problem.line or 0)


def placed(file: str, lines: Mapping[KeyPath, int], path: KeyPath, text: str) -> Diagnostic:
    """Return a diagnostic for a key, at its line or else at the line of its table."""
    ancestors = (path[:end] for end in range(len(path), 0, -1))
    line = next((lines[key] for key in ancestors if key in lines), None)
    return Diagnostic(file, line, f"{dotted(path)}{text}".removeprefix(": "))


def dotted(path: KeyPath) -> str:
    """Return a path of keys in TOML's notation: `authors[1].url`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def fields_of(document: Any) -> Mapping[str, FieldInfo]:
    """Return the fields of a model or validated dataclass by name; empty for other types."""
    return getattr(document, "__pydantic_fields__", {})


def _key_of(
    loc: KeyPath, document: Any, lines: Mapping[KeyPath, int]
) -> tuple[KeyPath, Mapping[str, FieldInfo]]:
    """Return the path of keys of an error, and the fields allowed in the table of the last key.

    Pydantic's location also holds parts that are not keys, such as the member of a union that was
    tried, and `[key]`. They are dropped.
    """
    path: KeyPath = ()
    fields = siblings = fields_of(document)
    for part in loc:
        name = str(part)
        if name in fields or (*path, part) in lines:
            path, siblings = (*path, part), fields
            fields = (_inner_fields(fields[name].annotation) if name in fields else {}) or fields
    return path, siblings


def _inner_fields(annotation: Any) -> Mapping[str, FieldInfo]:
    """Return the fields of all tables that a type contains, at any depth."""
    fields = dict(fields_of(annotation))
    for inner in get_args(annotation):
        fields |= _inner_fields(inner)
    return fields


def rule(error: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> str:
    """Return the message for an error of pydantic, to be appended to the key.

    `fields` are those that are allowed in the same table, by name.
    """
    name = str(error["loc"][-1]) if error["loc"] else ""
    kind, message = error["type"], error["msg"]
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        allowed = [key for key, item in fields.items() if item.init is not False]
        return f": unknown key{known_words(name, allowed)}"
    if kind in {"missing", "missing_argument"}:
        return f" is missing: {fields[name].description or ''}" if name in fields else " is missing"
    if kind == "value_error":
        message = str(error["ctx"]["error"])
    elif kind == "literal_error":
        # Pydantic has the choices as text only: 'a', 'b' or 'c'.
        choices = error["ctx"]["expected"].replace(" or ", ", ").split(", ")
        message += close_match(
            quoted(error["input"]).strip('"'), [choice.strip("'") for choice in choices]
        )
    value = error["input"]
    items = value if isinstance(value, list | tuple) else (value,)
    # A table is too large for a message.
    has_table = any(isinstance(item, Mapping) or is_dataclass(item) for item in items)
    return f": {message}" if has_table else f" = {quoted(value)}: {message}"


def listed(items: Sequence[str], last: str = "or") -> str:
    """Return a list in a sentence: `a, b or c`."""
    return f" {last} ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
