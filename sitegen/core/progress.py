"""Interface through which commands report progress, independent of how it is shown."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[], None]


class Reporter(Protocol):
    """Receiver of progress reports; `warnings` counts those that make `--strict` fail.

    quiet: whether only warnings are shown
    """

    warnings: int
    quiet: bool

    def note(self, line: str) -> None:
        """Report a result that the user asked for."""

    def detail(self, line: str) -> None:
        """Report a detail that is shown only with --verbose."""

    def warn(self, line: str) -> None:
        """Report a probable mistake."""

    def rendering(self, title: str, steps: int | None) -> AbstractContextManager[Advance]:
        """Show a task of `steps` steps; the block calls the yielded function after each step.

        steps: None for a task of unknown length
        """


def duration(seconds: float) -> str:
    """Format seconds for readers: "40 s", "12 min" or "3 h 05 min"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def megabytes(count: int) -> str:
    """Format a number of bytes for a reader: in kB below 1 MB."""
    return f"{max(1, round(count / 1e3))} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def raised(number: int) -> str:
    """Write a number as an exponent."""
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
