"""How much of a sweep is made: a sample in `make test`, all of it in `make faults`.

FAULTS names the file that `make faults` writes its counts to, a JSON object a line; without it a
test makes a small, even sample, always the same one.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from hypothesis import settings

_T = TypeVar("_T")
LOG = os.environ.get("FAULTS", "")


def some(things: Sequence[_T], few: int) -> list[_T]:
    """All of them in a sweep, or so few, evenly spaced from the first to the last."""
    if LOG or len(things) <= few:
        return list(things)
    return [things[number * (len(things) - 1) // (few - 1)] for number in range(few)]


def examples(few: int, many: int) -> settings:
    """Settings of Hypothesis: few examples, the same ones each time, or many new ones."""
    if LOG:
        return settings(max_examples=many, deadline=None, print_blob=True)
    return settings(max_examples=few, deadline=None, derandomize=True, database=None)


def counted(what: str, tries: int) -> None:
    """Note for the record of a sweep how often something was tried and held."""
    if LOG:
        with Path(LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, "tries": tries}) + "\n")
