"""What a command shows: progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import click

from sitegen.core.progress import Advance

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task

PLAIN_EVERY_S = 5.0
ROOM_FOR_A_BAR = 60
"""Columns of a terminal; a narrower one shows title, steps and time only."""


class Console:
    """Notes on standard output, warnings and progress on standard error.

    quiet: warnings only
    verbose: details as well, which are left out otherwise
    terminal: whether progress may move; found out from standard error if not given
    """

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, terminal: bool | None = None
    ) -> None:
        self.warnings = 0
        self.quiet = quiet
        self._verbose = verbose
        self._terminal = _moves() if terminal is None else terminal
        self._running = 0
        self._guard = threading.Lock()

    def note(self, line: str) -> None:
        """Tell something that the user asked to know."""
        if not self.quiet:
            click.echo(line)

    def detail(self, line: str) -> None:
        """Tell something that only a user who wants to know more reads."""
        if self._verbose:
            click.echo(line, err=True)

    def warn(self, line: str) -> None:
        """Tell something that is probably not as it should be, and count it."""
        self.warnings += 1
        click.echo(f"warning: {line}", err=True)

    @contextlib.contextmanager
    def rendering(self, title: str, steps: int) -> Iterator[Advance]:
        """Show a task of `steps` steps: the title, step of steps, and the time left."""
        if self.quiet:
            yield lambda: None
        elif self._terminal:
            with self._bar(title, steps) as advance:
                yield advance
        else:
            yield plain_steps(title, steps, lambda line: click.echo(line, err=True))

    @cached_property
    def _progress(self) -> Progress:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress
        from rich.progress import TimeRemainingColumn as TimeLeft
        from rich.table import Column

        console = RichConsole(stderr=True)
        bar = [BarColumn(bar_width=24)] if console.width >= ROOM_FOR_A_BAR else []
        return Progress(
            _title_column(),
            *bar,
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeLeft(compact=True, elapsed_when_finished=True, table_column=Column(no_wrap=True)),
            console=console,
        )

    @contextlib.contextmanager
    def _bar(self, title: str, steps: int) -> Iterator[Advance]:
        """One line of the display, which is shown while there is any; several threads have one."""
        with self._guard:
            progress = self._progress
            self._running += 1
            with contextlib.ExitStack() as undo:  # a signal may come while rich begins
                undo.callback(progress.console.show_cursor, True)
                progress.start()
                task = progress.add_task(title, total=steps)
                undo.pop_all()
        try:
            yield lambda: progress.advance(task)
        finally:
            with self._guard:
                self._running -= 1
                if not self._running:
                    progress.stop()
                    for shown in progress.task_ids:  # what is on the screen stays there
                        progress.remove_task(shown)


def _moves() -> bool:
    """Whether standard error is a terminal whose cursor can be moved."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def _title_column() -> ProgressColumn:
    """The title on one line, cut with an ellipsis where the terminal is too narrow for it."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Title(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(task.description, no_wrap=True, overflow="ellipsis")

    return Title()


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
