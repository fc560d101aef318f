"""Output of commands: progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sitegen.core.progress import Advance, duration
from sitegen.core.source import plain

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import Task, TaskID

    from sitegen.generative.training.train import Progress

T = TypeVar("T")
U = TypeVar("U")

PLAIN_EVERY_S, LINE_EVERY_S = 5.0, 10.0
"""Seconds between the lines in a log of steps, and of training."""

NOTICE_AFTER_S = 1.8
"""Seconds without output after which a command prints what it is doing."""

ROOM_FOR_A_BAR = 60
"""Columns of a terminal; narrower ones show only title, steps and time."""


class Console:
    """Notes on standard output; warnings and progress on standard error.

    quiet: print only warnings
    verbose: also print details
    terminal: whether progress may move the cursor; by default, whether standard error can
    """

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, terminal: bool | None = None
    ) -> None:
        self.warnings = 0
        self.quiet = quiet
        self._verbose = verbose
        moves = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self._terminal = moves if terminal is None else terminal
        self._running = 0
        self._guard = threading.Lock()
        self._notice: threading.Timer | None = None

    def note(self, line: str) -> None:
        """Print a result that the user asked for."""
        self._cancel_notice()
        if not self.quiet:
            click.echo(plain(line))

    def detail(self, line: str) -> None:
        """Print a detail if the console is verbose."""
        if self._verbose:
            self._cancel_notice()
            _say(line)

    def warn(self, line: str) -> None:
        """Print and count a warning."""
        self._cancel_notice()
        self.warnings += 1
        _say(f"warning: {line}")

    @contextlib.contextmanager
    def slow_operation_notice(
        self, line: str
    ) -> Iterator[Callable[[Callable[[T], U]], Callable[[T], U]]]:
        """Print `line` if the block produces no output for a while.

        The block receives a decorator for functions that ask the user; the notice is not printed
        during a question.
        """

        def asking(ask: Callable[[T], U]) -> Callable[[T], U]:
            def asked(question: T) -> U:
                self._cancel_notice()
                answer = ask(question)
                self._schedule_notice(line)
                return answer

            return asked

        self._schedule_notice(line)
        try:
            yield asking
        finally:
            self._cancel_notice()

    def _schedule_notice(self, line: str) -> None:
        if not self.quiet:
            self._notice = threading.Timer(NOTICE_AFTER_S, _say_if_open, [f"{line} …"])
            self._notice.daemon = True
            self._notice.start()

    def _cancel_notice(self) -> None:
        if self._notice is not None:
            self._notice.cancel()
            self._notice = None

    @contextlib.contextmanager
    def rendering(self, title: str, steps: int | None) -> Iterator[Advance]:
        """Show a task: the title, the current step, their number and the time left, if known."""
        self._cancel_notice()
        if self.quiet:
            yield lambda: None
        elif self._terminal:
            with self._bar(title, steps) as (display, task):
                yield lambda: display.advance(task)
        else:
            log = PlainSteps(title, steps, _say)
            yield log.advance
            if steps is None:
                log.end()

    def computing(self, title: str) -> contextlib.AbstractContextManager[Advance]:
        """Show a task of unknown length, and the number of its steps."""
        return self.rendering(title, None)

    @contextlib.contextmanager
    def training(self, title: str, first: int, steps: int) -> Iterator[Callable[[Progress], None]]:
        """Show a run from step `first` to `steps`; the block calls the yielded function."""
        if self.quiet:
            yield lambda progress: None
        elif self._terminal:
            with self._bar(title, steps, completed=first, told="") as (display, task):

                def show(progress: Progress) -> None:
                    told = f"{_measures(progress)}, {duration(progress.seconds_left)} left"
                    done, steps = progress.step, progress.steps
                    display.update(task, completed=done, total=steps, told=told)

                yield show
        else:
            yield plain_training(title, _say)

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

        class Left(TimeRemainingColumn):
            def render(self, task: Task) -> Text:
                told = task.fields.get("told")
                if told is not None:
                    return Text(told)
                return super().render(task)

        console, whole = RichConsole(stderr=True), Column(no_wrap=True)
        bar = [BarColumn(bar_width=24)] if console.width >= ROOM_FOR_A_BAR else []
        left = Left(compact=True, elapsed_when_finished=True, table_column=whole)
        return Display(Title(), *bar, MofNCompleteColumn(table_column=whole), left, console=console)

    @contextlib.contextmanager
    def _bar(
        self, title: str, steps: int | None, **fields: Any
    ) -> Iterator[tuple[Display, TaskID]]:
        """Add a line to the display, which is shown while it has any; each thread may add one."""
        with self._guard:
            display = self._display
            self._running += 1
            with contextlib.ExitStack() as undo:  # a signal may arrive while rich starts
                undo.callback(display.console.show_cursor, True)
                display.start()
                task = display.add_task(title, total=steps, **fields)
                undo.pop_all()
        try:
            yield display, task
        finally:
            with self._guard:
                self._running -= 1
                if not self._running:
                    display.stop()
                    for shown in display.task_ids:  # finished lines stay on the screen
                        display.remove_task(shown)


def _say_if_open(line: str) -> None:
    """Print a line, ignoring a closed pipe, which the command's next output will detect."""
    with contextlib.suppress(OSError):
        _say(line)


def _say(line: str) -> None:
    click.echo(plain(line), err=True)


class PlainSteps:
    """Log of steps: a line at the start, every few seconds, and at the end.

    steps: their number, if it is known; the first line then gives it
    """

    def __init__(
        self,
        title: str,
        steps: int | None,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._steps, self._say, self._clock = title, steps, say, clock
        self._started = self._said = clock()
        self._done = 0
        if steps is not None:
            say(f"{title}: {steps} steps")

    def advance(self) -> None:
        """Count a step."""
        self._done += 1
        now, steps = self._clock(), self._steps
        if self._done == steps:
            self._say(f"{self._title}: done in {now - self._started:.0f} s")
        elif now - self._said >= PLAIN_EVERY_S:
            self._said = now
            left = (now - self._started) / self._done * (steps - self._done) if steps else 0.0
            of = f" of {steps}, about {left:.0f} s left" if steps else ""
            self._say(f"{self._title}: step {self._done}{of}")

    def end(self) -> None:
        """Print the number of steps, which was not known before."""
        self._say(f"{self._title}: {self._done} steps in {self._clock() - self._started:.0f} s")


def plain_training(
    title: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[Progress], None]:
    """Return a function that logs the first and last progress, and one every 10 seconds."""
    said = clock() - LINE_EVERY_S

    def show(progress: Progress) -> None:
        nonlocal said
        now, step, steps = clock(), progress.step, progress.steps
        if step == steps or now - said >= LINE_EVERY_S:
            said = now
            rest = f", about {duration(progress.seconds_left)} left" if step < steps else ""
            say(f"{title}: step {step:,} of {steps:,}, {_measures(progress)}{rest}")

    return show


def _measures(progress: Progress) -> str:
    return f"loss {progress.loss:.4g}, {progress.images_per_second:.3g} images/s"
