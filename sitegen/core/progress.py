"""How a command tells what it is doing, without knowing where that is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[], None]


class Reporter(Protocol):
    """Where a build tells its progress; `warnings` counts what `--strict` fails on.

    quiet: whether nothing but warnings is told
    """

    warnings: int
    quiet: bool

    def note(self, line: str) -> None:
        """Tell something that the user asked to know."""

    def detail(self, line: str) -> None:
        """Tell something that is left out unless the user wants to know more."""

    def warn(self, line: str) -> None:
        """Tell something that is probably not as it should be."""

    def rendering(self, title: str, steps: int) -> AbstractContextManager[Advance]:
        """Show a task of `steps` steps; the block calls what it is given once a step."""


class Silent:
    """A reporter that keeps its lines for whoever asks."""

    def __init__(self) -> None:
        self.warnings = 0
        self.quiet = False
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)

    def detail(self, line: str) -> None:
        """Leave the line out."""

    def warn(self, line: str) -> None:
        """Keep the line and count it."""
        self.warnings += 1
        self.lines.append(f"warning: {line}")

    @contextlib.contextmanager
    def rendering(self, title: str, steps: int) -> Iterator[Advance]:
        """Keep the title; steps are not shown."""
        self.lines.append(f"{title}: {steps} steps")
        yield lambda: None


def duration(seconds: float) -> str:
    """Seconds for people: "40 s", "12 min" or "3 h 05 min"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
