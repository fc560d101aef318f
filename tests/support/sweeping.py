"""How much of a sweep is made: a sample in `make test`, all of it in `make faults`.

FAULTS names the file that `make faults` writes to, a line for each test that held: its name, what
it tried how often, and the seconds of processors that it took. What stands there is not run
again, so a sweep that was stopped goes on where it was. Without FAULTS a test makes a small, even
sample, always the same one.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

_T = TypeVar("_T")
LOG = os.environ.get("FAULTS", "")
of_a_sweep = pytest.mark.skipif(not LOG, reason="takes many seconds; `make faults` has it")
"""Marks a test whose every try takes many seconds, which `make test` leaves out."""
_counts = Counter[str]()
_figures = dict[str, str]()


def some(things: Sequence[_T], few: int, many: int = sys.maxsize) -> list[_T]:
    """All of them in a sweep, at most `many`, or so few; evenly spaced from first to last."""
    most = many if LOG else few
    if len(things) <= most:
        return list(things)
    if most == 1:
        return [things[len(things) // 2]]
    return [things[number * (len(things) - 1) // (most - 1)] for number in range(most)]


def examples(few: int, many: int) -> settings:
    """Settings of Hypothesis: few examples, the same ones each time, or many new ones."""
    if LOG:
        return settings(max_examples=many, deadline=None, print_blob=True)
    return settings(max_examples=few, deadline=None, derandomize=True, database=None)


def counted(what: str, tries: int) -> None:
    """Note how often something was tried and held in the test that runs."""
    _counts[what] += tries


def measured(what: str, figure: str) -> None:
    """Note a figure, with its unit, that the test which runs has measured."""
    _figures[what] = figure


def begun() -> float:
    """A test begins: nothing is counted yet; the seconds of processors that were used so far."""
    _counts.clear()
    _figures.clear()
    return _used()


def held(test: str, start: float) -> None:
    """Note in the record of a sweep that a test held, which began at `start`."""
    if LOG:
        line = {"test": test, "seconds": round(_used() - start, 1), "tries": _counts}
        line["measured"] = _figures
        with Path(LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def stand_already() -> set[str]:
    """The tests that the record of a sweep has."""
    if not LOG or not Path(LOG).exists():
        return set()
    lines = Path(LOG).read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["test"] for line in lines}


def _used() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
