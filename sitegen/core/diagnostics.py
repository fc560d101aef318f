"""Telling what is wrong: one line a problem, with the place, the value, the rule and a hint."""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, get_args

from pydantic.fields import FieldInfo

from sitegen.core.errors import ConfigError

_MOST = 50  # problems that one message tells
_SHOWN = 6  # of a list
_LONGEST = 60  # characters of a value that a message shows
_HOLDS = {
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
}  # what an author knows by other names than Python
_OF_NUMBERS = ("int_", "float_", "finite_", "greater_than", "less_than")


@dataclass(frozen=True)
class SourceLocation:
    """Where in the author's files something stands; lines count from 1."""

    file: str
    line: int


@dataclass(frozen=True)
class Diagnostic:
    """One thing that is wrong in a file; the line is None where it is not known."""

    file: str
    line: int | None
    text: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.text}"


def config_error(problems: Iterable[object]) -> ConfigError:
    """Make one error out of everything that is wrong, to be raised: one line a problem."""
    lines = [str(problem) for problem in problems]
    more = [f"… and {len(lines) - _MOST} problems more"] if len(lines) > _MOST else []
    return ConfigError("\n".join([*lines[:_MOST], *more]))


def close_match(word: str, known: Iterable[str]) -> str:
    """Write `, did you mean "x"?` where one of the known words is close, else nothing."""
    names = list(known)
    same = [name for name in names if name.casefold() == word.casefold()]
    found = same or difflib.get_close_matches(word[:100], names, n=1, cutoff=0.6)
    return f', did you mean "{found[0]}"?' if found else ""


def known_words(word: str, known: Iterable[str]) -> str:
    """Hint at the words that would be right: the closest one, or else all of them."""
    names = sorted(known)
    listed = f"; known: {', '.join(names)}" if names else "; there is none"
    return close_match(word, names) or listed


def quoted(value: object) -> str:
    """Write a value that was found, short and on one line."""
    if isinstance(value, str):
        cut = value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
        return f'"{cut}"' if cut.isprintable() else json.dumps(cut)
    if isinstance(value, PurePath):
        return quoted(str(value))
    if isinstance(value, list | tuple):
        more = ", …" if len(value) > _SHOWN else ""
        return f"[{', '.join(map(quoted, value[:_SHOWN]))}{more}]"
    return str(value).lower() if isinstance(value, bool) else reprlib.repr(value)


def rule(error: Mapping[str, Any], known: Mapping[str, FieldInfo]) -> str:
    """Write in our words what an error of pydantic says about one key, to follow the key.

    `known` maps the keys that are allowed beside it to their fields.
    """
    name, kind, context = str(error["loc"][-1]), error["type"], error.get("ctx", {})
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f": unknown key{known_words(name, known)}"
    if kind in {"missing", "missing_argument"}:
        return f" is missing: {known[name].description or ''}" if name in known else " is missing"
    value = "" if isinstance(error["input"], Mapping) else f" = {quoted(error['input'])}"
    if kind == "value_error":
        return f"{value}: {context['error']}"
    if kind == "literal_error":
        return f"{value}: should be {_choices(str(error['input']), context['expected'])}"
    if kind in _HOLDS:
        return f"{value}: should be {_HOLDS[kind]}"
    if kind.startswith(_OF_NUMBERS) and name in known:
        return f"{value}: should be {_number(known[name])}"
    subject, should, rest = error["msg"].partition(" should ")
    return f"{value}: should {rest}" if should else f"{value}: {subject}"


def _number(field: FieldInfo) -> str:
    """Say which numbers a field takes, by all of its bounds, so that the next try is right."""
    bounds = {
        name: getattr(each, name)
        for each in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(each, name)
    }
    low, high = bounds.get("ge"), bounds.get("le", bounds["lt"] - 1 if "lt" in bounds else None)
    kind = "a number" if _holds_float(field.annotation) else "a whole number"
    if low is None:
        return kind
    return f"{kind} of at least {low}" if high is None else f"{kind} from {low} to {high}"


def _holds_float(annotation: object) -> bool:
    return annotation is float or any(map(_holds_float, get_args(annotation)))


def _choices(word: str, expected: str) -> str:
    """Write the choices that pydantic lists, and the one that the author may have meant."""
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    return f"{_either(choices)}{close_match(word, choices)}"


def _either(words: Sequence[str]) -> str:
    marked = [f'"{word}"' for word in words]
    return " or ".join(filter(None, [", ".join(marked[:-1]), marked[-1]]))
