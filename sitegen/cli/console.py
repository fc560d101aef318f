"""Output of commands: progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from sitegen.core.progress import Advance
from sitegen.core.source import plain

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import Task, TaskID

    from sitegen.generative.training.train import Progress

LOG_EVERY_S = 5.0
"""Minimum seconds between two lines about one task in a log."""

BAR_COLUMNS = 60
"""Columns that a terminal needs for a bar; narrower ones show only title, steps and time."""


class Console:
    """Notes on standard output; warnings and progress on standard error.

    quiet: print only warnings
    verbose: also print details
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.warnings = 0
        self.quiet = quiet
        self._verbose = verbose
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self._bars = 0
        self._lock = threading.Lock()

    def note(self, line: str) -> None:
        """Print a result that the user asked for."""
        if not self.quiet:
            click.echo(plain(line))

    def detail(self, line: str) -> None:
        """Print a detail if the console is verbose."""
        if self._verbose:
            click.echo(plain(line), err=True)

    def warn(self, line: str) -> None:
        """Print and count a warning."""
        self.warnings += 1
        click.echo(plain(f"warning: {line}"), err=True)

    @contextlib.contextmanager
    def rendering(self, title: str, steps: int | None) -> Iterator[Advance]:
        """Show a task: the title, the current step, their number and the time left, if known."""
        if self.quiet:
            yield lambda: None
        elif self._terminal:
            with self._bar(title, steps) as (display, task):
                yield lambda: display.advance(task)
        else:
            log = Log(title, steps)
            yield log.advance
            log.end()

    @contextlib.contextmanager
    def training(self, title: str, first: int, steps: int) -> Iterator[Callable[[Progress], None]]:
        """Show a run from step `first` to `steps`; the block calls the yielded function."""

        def measures(progress: Progress) -> str:
            return f"loss {progress.loss:.4g}, {progress.images_per_second:.3g} images/s"

        if self.quiet:
            yield lambda progress: None
        elif self._terminal:
            with self._bar(title, steps, completed=first) as (display, task):
                yield lambda progress: display.update(
                    task,
                    description=f"{title}: {measures(progress)}",
                    completed=progress.step,
                    total=progress.steps,
                )
        else:
            log = Log(title, steps)

            yield lambda progress: log.update(progress.step, progress.steps, measures(progress))

    @cached_property
    def _display(self) -> Display:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TimeRemainingColumn
        from rich.progress import Progress as Display
        from rich.table import Column
        from rich.text import Text

        class Title(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text(task.description, no_wrap=True, overflow="ellipsis")

        console, whole = RichConsole(stderr=True), Column(no_wrap=True)
        bar = [BarColumn(bar_width=24)] if console.width >= BAR_COLUMNS else []
        return Display(
            Title(),
            *bar,
            MofNCompleteColumn(table_column=whole),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True, table_column=whole),
            console=console,
        )

    @contextlib.contextmanager
    def _bar(
        self, title: str, steps: int | None, **fields: Any
    ) -> Iterator[tuple[Display, TaskID]]:
        """Add a line to the display, which is shown while it has any; each thread may add one."""
        # rich's display may be started once only, and the first of several threads to end must not
        # stop it under the others.
        try:
            with self._lock:
                self._bars += 1
                display = self._display
                display.start()
                task = display.add_task(title, total=steps, **fields)
            yield display, task
        finally:
            with self._lock:
                self._bars -= 1
                if not self._bars:
                    self._display.stop()
                    for finished in self._display.task_ids:  # their lines stay on the screen
                        self._display.remove_task(finished)


class Log:
    """Lines about a task: at the start, every few seconds, and at the end.

    steps: their number, if it is known; the first line then gives it
    """

    def __init__(
        self, title: str, steps: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._steps, self._clock = title, steps, clock
        self._started = self._last_line = clock()
        self._done = 0
        if steps is not None:
            self._say(f"{steps:,} steps")

    def _say(self, text: str) -> None:
        click.echo(plain(f"{self._title}: {text}"), err=True)

    def advance(self) -> None:
        """Count a step."""
        self._done += 1
        if self._done != self._steps:  # `end` prints the last one
            self.update(self._done, self._steps)

    def update(self, done: int, steps: int | None, measures: str = "") -> None:
        """Print the number of steps that are done, unless a line was printed just before."""
        self._done = done
        is_last, now = done == steps, self._clock()
        if now - self._last_line < LOG_EVERY_S and not is_last:
            return
        self._last_line = now
        total = f" of {steps:,}" if steps else ""
        self._say(", ".join(filter(None, [f"step {done:,}{total}", measures])))

    def end(self) -> None:
        """Print the number of steps and the time that they took."""
        self._say(f"{self._done:,} steps in {self._clock() - self._started:.0f} s")
