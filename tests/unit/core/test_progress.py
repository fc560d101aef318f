"""The silent reporter keeps what it is told, and is what a build needs."""

from __future__ import annotations

from sitegen.cli.console import Console
from sitegen.core.progress import Reporter, Silent


def test_silent() -> None:
    """Lines are kept in their order, warnings counted."""
    silent = Silent()
    silent.note("a note")
    with silent.rendering("x", 3) as advance:
        advance()
        silent.warn("careful")
    assert silent.lines == ["a note", "x: 3 steps", "warning: careful"]
    assert silent.warnings == 1


def test_both_are_reporters() -> None:
    """The type checker proves it; this keeps it in sight."""
    reporters: list[Reporter] = [Silent(), Console(quiet=True)]
    assert [reporter.warnings for reporter in reporters] == [0, 0]
