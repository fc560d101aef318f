"""How a command tells what it is doing, without knowing where that is shown."""

from collections.abc import Callable
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

    def computing(self, title: str) -> AbstractContextManager[Advance]:
        """Show who takes steps, of which nobody knows how many; the block calls it likewise."""


def duration(seconds: float) -> str:
    """Seconds for people: "40 s", "12 min" or "3 h 05 min"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
