"""How a training run is shown: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from sitegen.core.progress import duration

if TYPE_CHECKING:
    from sitegen.ihdm.training.train import Progress

    Show = Callable[[Progress], None]

LINE_EVERY_S = 10.0


@contextlib.contextmanager
def training_shown(
    title: str, first: int, steps: int, *, terminal: bool, quiet: bool = False
) -> Iterator[Show]:
    """Show a run that goes from step `first` to `steps`; the block calls what it is given.

    Everything goes to standard error; nothing does where it should be `quiet`.
    """
    if quiet:
        yield lambda progress: None
    elif terminal:
        with _bar(title, first, steps) as show:
            yield show
    else:
        yield plain_lines(title, lambda line: click.echo(line, err=True))


def plain_lines(
    title: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Show:
    """Lines for a log: the first and the last progress, and between them one every 10 seconds."""
    said = -LINE_EVERY_S

    def show(progress: Progress) -> None:
        nonlocal said
        now = clock()
        if progress.step == progress.steps or now - said >= LINE_EVERY_S:
            said = now
            say(f"{title}: {line(progress)}")

    said = clock() - LINE_EVERY_S
    return show


def line(progress: Progress) -> str:
    """Step of steps, loss, speed, and the time left."""
    left = f", about {duration(progress.seconds_left)} left"
    return (
        f"step {progress.step:,} of {progress.steps:,}, {measures(progress)}"
        f"{left if progress.step < progress.steps else ''}"
    )


def measures(progress: Progress) -> str:
    """Loss and speed."""
    return f"loss {progress.loss:.4g}, {progress.images_per_second:.3g} images/s"


@contextlib.contextmanager
def _bar(title: str, first: int, steps: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[measures]}"),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=steps, completed=first, measures="")

        def show(progress: Progress) -> None:
            text = f"{measures(progress)}, {duration(progress.seconds_left)} left"
            bar.update(task, completed=progress.step, measures=text)

        yield show
