"""Rules for the values of a card: what each must be, and how all that is wrong is told at once."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any

from sitegen.core.errors import ConfigError

KeyPath = tuple[str, ...]

_HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_.\"'\- ]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_\"'-]+)\s*=")
_ABSENT = object()


@dataclass(frozen=True)
class Rule:
    """What a value must be (`words` follow "must be"), the test, and the form it is kept in."""

    words: str
    holds: Callable[[Any], bool]
    convert: Callable[[Any], Any] = field(default=lambda value: value)


@dataclass(frozen=True)
class Problem:
    """One thing wrong: where it stands in the tables, the value there, and what to do."""

    path: KeyPath
    rule: str
    value: object = _ABSENT

    def text(self, where: str, lines: Mapping[KeyPath, int]) -> str:
        """`where:line: [table] key = value: rule`."""
        line = _nearest_line(self.path, lines)
        place = f"{where}:{line}" if line else where
        *tables, key = self.path
        name = f"[{'.'.join(tables)}] {key}" if tables else key
        shown = "" if self.value is _ABSENT else f" = {show(self.value)}"
        return f"{place}: {name}{shown}: {self.rule}"


def is_integer(value: object) -> bool:
    """True for an int that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """True for a finite int or float that is not a bool."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def integer(low: int, high: int) -> Rule:
    """A whole number from `low` to `high`."""
    return Rule(
        f"a whole number from {low} to {high}", lambda v: is_integer(v) and low <= v <= high
    )


def integers(low: int, high: int, *, least: int, most: int) -> Rule:
    """A list of `least` to `most` whole numbers from `low` to `high`, kept as a tuple."""
    return Rule(
        f"a list of {least} to {most} whole numbers from {low} to {high}",
        lambda v: (
            isinstance(v, list | tuple)
            and least <= len(v) <= most
            and all(is_integer(item) and low <= item <= high for item in v)
        ),
        tuple,
    )


def number(words: str, holds: Callable[[float], bool]) -> Rule:
    """A finite number for which `holds` is true, kept as a float."""
    return Rule(words, lambda v: is_number(v) and holds(v), float)


def choice(*options: str) -> Rule:
    """One of a few words."""
    listed = " or ".join(f'"{option}"' for option in options)
    return Rule(listed, lambda v: isinstance(v, str) and v in options)


FLAG = Rule("true or false", lambda v: isinstance(v, bool))
COUNT = integer(1, 4096)


def broken(values: Mapping[str, Any], rules: Mapping[str, Rule], table: KeyPath) -> list[Problem]:
    """The problems of those `values` that have a rule and do not keep it."""
    return [
        Problem((*table, key), f"must be {rule.words}{_closest(values[key], rule)}", values[key])
        for key, rule in rules.items()
        if key in values and not rule.holds(values[key])
    ]


def unknown(
    values: Iterable[str], known: Iterable[str], table: KeyPath, kind: str = "key"
) -> list[Problem]:
    """A problem for each name in `values` that is not known, with the closest one that is."""
    names = list(known)
    found = []
    for name in values:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f'did you mean "{close[0]}"?' if close else f"known are {', '.join(names)}"
            found.append(Problem((*table, name), f"unknown {kind}; {hint}"))
    return found


def missing(values: Mapping[str, Any], needed: Iterable[str], table: KeyPath) -> list[Problem]:
    """A problem for each key that is needed and not there."""
    return [Problem((*table, key), "missing") for key in needed if key not in values]


def kept(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """The values that keep their rule, each in the form that its rule wants."""
    return {
        key: rules[key].convert(value)
        for key, value in values.items()
        if key in rules and rules[key].holds(value)
    }


def keep(instance: object, rules: Mapping[str, Rule]) -> None:
    """Give the attributes of a frozen dataclass, as it is made, the form that their rules want."""
    for name, value in kept(vars(instance), rules).items():
        object.__setattr__(instance, name, value)


def refuse(
    problems: Sequence[Problem], where: str, lines: Mapping[KeyPath, int] | None = None
) -> None:
    """Raise one ConfigError that tells all problems, a line each; nothing if there is none."""
    if problems:
        at = lines or {}
        ordered = sorted(problems, key=lambda problem: _nearest_line(problem.path, at) or 0)
        raise ConfigError("\n".join(problem.text(where, at) for problem in ordered))


def locate(text: str) -> dict[KeyPath, int]:
    """The line, from 1, on which each table and key of a TOML `text` stands first."""
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for index, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = tuple(part.strip(" \"'") for part in header[1].split("."))
            lines.setdefault(table, index)
        elif key := _KEY.match(line):
            lines.setdefault((*table, key[1].strip("\"'")), index)
    return lines


def show(value: object) -> str:
    """A value as one short line of TOML-like text."""
    text = json.dumps(value, ensure_ascii=True, default=_plain)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date | time) else repr(value)


def _nearest_line(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)


def _closest(value: object, rule: Rule) -> str:
    words = re.findall(r'"([^"]+)"', rule.words)
    close = difflib.get_close_matches(value, words, n=1) if isinstance(value, str) else []
    return f'; did you mean "{close[0]}"?' if close else ""
