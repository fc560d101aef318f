"""Diagnostics: one line for each problem, with its location, the value, the rule and a hint."""

import difflib
import json
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from sitegen.core.errors import ConfigError
from sitegen.core.source import KeyPath, toml_lines

_MOST = 50  # problems in one message
_ENOUGH = 1000  # validation errors read from one document
_SHOWN = 6  # items of a list in a message
_LONGEST = 60  # characters of a value in a message
_LONGEST_NUMBER = 10_000  # bits; Python itself refuses to print more than 4300 digits
_HOLDS = {
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "dataclass_type": "a table",
    "bool_type": "true or false",
}  # error types of pydantic, with the TOML name of the type expected
_OF_NUMBERS = ("int_", "float_", "finite_", "greater_than", "less_than")
_BOUNDS = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}


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
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.text}"


def config_error(problems: Iterable[object]) -> ConfigError:
    """Return one ConfigError for all problems, one line each; the caller raises it."""
    found = tuple(problems)
    lines = [str(problem) for problem in found[:_MOST]]
    more = [f"… and {len(found) - _MOST} more problems"] if len(found) > _MOST else []
    error = ConfigError("\n".join([*lines, *more]))
    error.problems = found
    return error


def in_order(problems: Iterable[object]) -> list[object]:
    """Return the problems of one file without duplicates, in the order of their lines."""
    return sorted(dict.fromkeys(problems), key=lambda problem: getattr(problem, "line", None) or 0)


def close_match(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean "x"?` if one of the known words is close, else ""."""
    names = list(known)
    same = [name for name in names if name.casefold() == word.casefold()]
    found = same or difflib.get_close_matches(word[:100], names, n=1, cutoff=0.6)
    return f', did you mean "{found[0]}"?' if found else ""


def known_words(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown word: the closest known one, or else all of them."""
    names = sorted(known)
    listed = f"; known: {', '.join(names)}" if names else "; there is none"
    return close_match(word, names) or listed


def quoted(value: object) -> str:
    """Return a value from the author's file, shortened and on one line."""
    if isinstance(value, str):
        cut = value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
        return f'"{cut}"' if cut.isprintable() else json.dumps(cut)
    if isinstance(value, PurePath):
        return quoted(str(value))
    if isinstance(value, list | tuple):
        more = ", …" if len(value) > _SHOWN else ""
        return f"[{', '.join(map(quoted, value[:_SHOWN]))}{more}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        return "a number of thousands of digits"
    try:
        return reprlib.repr(value)
    except ValueError:  # in a table; Python before 3.14 refuses to print such a number
        return "a table with a number of thousands of digits"


def toml_diagnostics(
    error: ValidationError, document: Any, text: str, file: str
) -> list[Diagnostic]:
    """Return all errors of pydantic about a TOML document, in the order of its lines.

    document: the model or validated dataclass that the document was validated against
    text: the document, valid TOML
    file: its name in messages
    """
    lines = toml_lines(text)
    found = []
    for item in error.errors(include_url=False)[:_ENOUGH]:
        path, known = _placed(item["loc"], document, lines)
        found.append(placed(file, lines, path, rule(item, known)))
    return sorted(found, key=lambda problem: problem.line or 0)


def placed(file: str, lines: Mapping[KeyPath, int], path: KeyPath, words: str) -> Diagnostic:
    """Return a diagnostic for a key, at its line or else at the line of its table."""
    at = (lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines)
    return Diagnostic(file, next(at, None), f"{dotted(path)}{words}".removeprefix(": "))


def dotted(path: KeyPath) -> str:
    """Return a path of keys in TOML's notation: `authors[1].url`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def fields_of(document: Any) -> Mapping[str, FieldInfo]:
    """Return the fields of a model or validated dataclass by name; empty for other types."""
    return getattr(document, "__pydantic_fields__", {})


def _placed(
    loc: KeyPath, document: Any, lines: Mapping[KeyPath, int]
) -> tuple[KeyPath, Mapping[str, FieldInfo]]:
    """Return the path of keys of an error, and the fields allowed in the table of the last key.

    Pydantic's location also holds parts that are not keys, such as the member of a union that was
    tried, and `[key]`. They are dropped.
    """
    path: KeyPath = ()
    known = beside = fields_of(document)
    for part in loc:
        name = str(part)
        if name in known or (*path, part) in lines:
            path, beside = (*path, part), known
            known = (_inner(known[name].annotation) if name in known else {}) or known
    return path, beside


def _inner(annotation: Any) -> Mapping[str, FieldInfo]:
    """Return the fields of all tables that a type contains, at any depth."""
    found = dict(fields_of(annotation))
    for inner in get_args(annotation):
        found |= _inner(inner)
    return found


def rule(error: Mapping[str, Any], known: Mapping[str, FieldInfo]) -> str:
    """Return the message for an error of pydantic, to be appended to the key.

    `known` maps the keys that are allowed in the same table to their fields.
    """
    name = str(error["loc"][-1]) if error["loc"] else ""
    kind, context = error["type"], error.get("ctx", {})
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f": unknown key{known_words(name, known)}"
    if kind in {"missing", "missing_argument"}:
        return f" is missing: {known[name].description or ''}" if name in known else " is missing"
    value = "" if isinstance(error["input"], Mapping) else f" = {quoted(error['input'])}"
    if kind == "value_error":
        return f"{value}: {context['error']}"
    if kind == "literal_error":
        words = context["expected"].replace(" or ", ", ").split(", ")
        choices = [word.strip("'") for word in words]
        given = error["input"]
        near = close_match(given if isinstance(given, str) else quoted(given), choices)
        named = [word.replace("'", '"') for word in words]  # numbers have no quotes
        return f"{value}: should be {listed(named)}{near}"
    if kind in _HOLDS:
        return f"{value}: should be {_HOLDS[kind]}"
    if kind.startswith(_OF_NUMBERS) and name in known:
        return f"{value}: should be {_number(known[name])}"
    subject, should, rest = error["msg"].replace(" after validation", "").partition(" should ")
    return f"{value}: should {rest}" if should else f"{value}: {subject}"


def _number(field: FieldInfo) -> str:
    bounds = {
        name: getattr(each, name)
        for each in field.metadata
        for name in _BOUNDS
        if hasattr(each, name)
    }
    kind = "a number" if _holds_float(field.annotation) else "a whole number"
    if "lt" in bounds and kind == "a whole number":
        bounds["le"] = bounds.pop("lt") - 1
    if bounds.keys() == {"ge", "le"}:
        return f"{kind} from {bounds['ge']} to {bounds['le']}"
    limits = " and ".join(f"{_BOUNDS[name]} {bound}" for name, bound in bounds.items())
    return f"{kind} {limits}".rstrip()


def _holds_float(annotation: object) -> bool:
    return annotation is float or any(map(_holds_float, get_args(annotation)))


def listed(words: Sequence[str], last: str = "or") -> str:
    """Return a list of words: `a, b or c`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
