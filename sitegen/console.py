"""What a command shows: progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import click

from sitegen.report import Advance

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_EVERY_S = 5.0


class Console:
    """Notes on standard output, warnings and progress on standard error."""

    def __init__(self, *, quiet: bool = False, terminal: bool | None = None) -> None:
        self.warnings = 0
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._running = 0
        self._guard = threading.Lock()

    def note(self, line: str) -> None:
        """Tell something that the user asked to know."""
        click.echo(line)

    def warn(self, line: str) -> None:
        """Tell something that is probably not as it should be, and count it."""
        self.warnings += 1
        click.echo(f"warning: {line}", err=True)

    @contextlib.contextmanager
    def filming(self, title: str, steps: int) -> Iterator[Advance]:
        """Show a task of `steps` steps: the title, step of steps, and the time left."""
        if self._quiet:
            yield lambda: None
        elif self._terminal:
            with self._bar(title, steps) as advance:
                yield advance
        else:
            yield plain_steps(title, steps, lambda line: click.echo(line, err=True))

    @cached_property
    def _progress(self) -> Progress:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeLeft(compact=True, elapsed_when_finished=True),
            console=RichConsole(stderr=True),
        )

    @contextlib.contextmanager
    def _bar(self, title: str, steps: int) -> Iterator[Advance]:
        """One line of the display, which is shown while there is any; several threads have one."""
        with self._guard:
            progress = self._progress
            self._running += 1
            progress.start()
            task = progress.add_task(title, total=steps)
        try:
            yield lambda: progress.advance(task)
        finally:
            with self._guard:
                self._running -= 1
                if not self._running:
                    progress.stop()
                    for shown in progress.task_ids:  # what is on the screen stays there
                        progress.remove_task(shown)


def plain_steps(
    title: str,
    steps: int,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Advance:
    """Lines for a log: at the start, every few seconds with the time left, and at the end."""
    started = clock()
    said = started
    done = 0
    say(f"{title}: {steps} steps")

    def advance() -> None:
        nonlocal said, done
        done += 1
        now = clock()
        if done == steps:
            say(f"{title}: done in {now - started:.0f} s")
        elif now - said >= PLAIN_EVERY_S:
            said = now
            left = (now - started) / done * (steps - done)
            say(f"{title}: step {done} of {steps}, about {left:.0f} s left")

    return advance
