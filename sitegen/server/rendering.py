"""Rendering of figures in a process of its own, which ends when there is nothing to render.

The preview therefore holds no model and no torch except while it renders. A figure that is no
longer needed ends the process.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sitegen.builder.pipeline import location, render_missing
from sitegen.builder.plan import BuildContext, BuildOptions, PlannedFigure, prepare
from sitegen.builder.render import Encode, Renderer, RendererFactory
from sitegen.config.schema import load_site
from sitegen.core.errors import FAULTS, LockedError, SitegenError
from sitegen.core.installed import import_fault, memory_full
from sitegen.core.progress import Advance
from sitegen.core.source import raised_at

REPORTED = (SitegenError, *FAULTS)
"""Exceptions that the preview shows. It goes on, since the next edit may mend the cause."""
RETRY_S = 1.0
"""Seconds before retrying while another sitegen process works on this site."""
STOP_S = 1.0
"""Seconds that the process has to remove its temporary files before it is killed."""


class RenderProcess:
    """A process that renders figures of the site of `config` into its store, one after the other.

    `render` requests a figure. `receive` returns messages about it: ("progress", text) any number
    of times, then ("done", ""), ("failed", error), or ("ended", cause) if the process has ended.
    """

    def __init__(self, config: Path, options: BuildOptions, renderer: RendererFactory) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork would copy the locks of threads
        self._connection, other = spawn.Pipe()
        arguments = other, config, options, renderer
        self._process = spawn.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        # While this process holds that end too, the end of the other process would not be noticed.
        other.close()

    def render(self, key: str) -> None:
        """Request a figure by its key."""
        with suppress(OSError):  # it has ended, as `receive` reports
            self._connection.send(key)

    def receive(self, timeout: float) -> tuple[str, str] | None:
        """Return the next message; None if there is none within `timeout` seconds."""
        try:
            message: tuple[str, str] | None = None
            if self._connection.poll(timeout):
                message = self._connection.recv()
            return message
        except (EOFError, OSError):
            self._process.join(STOP_S)
            # The pipe ends before the process has an exit code, hence the join.
            code = self._process.exitcode
            if code is not None and code < 0:
                cause = f"was killed ({signal.Signals(-code).name}), perhaps because memory is full"
                cause += "; close other programs, or ask for fewer or smaller samples"
            else:
                cause = f"ended with exit code {code}, see the terminal"
            return "ended", f"the process that rendered {cause}"

    def stop(self) -> None:
        """End the process at once."""
        self._process.terminate()
        self._process.join(STOP_S)
        self._process.kill()  # it may be in a long computation that no signal interrupts
        self._process.join()
        self._connection.close()


def _run(*arguments: Any) -> None:
    """Run in the process: SIGTERM removes temporary files, and Ctrl-C is left to the preview."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with suppress(OSError):  # the preview was killed
        render_requests(*arguments)


def render_requests(
    connection: Connection[Any, Any],
    config: Path,
    options: BuildOptions,
    renderer: RendererFactory,
    encode: Encode | None = None,
) -> None:
    """Render requested figures until the connection ends."""
    report = _Report(connection)
    context: BuildContext | None = None
    figures: dict[str, PlannedFigure] = {}
    loaded: list[Renderer] = []  # of the context, with the models that it has loaded
    while True:
        try:
            key = connection.recv()
        except EOFError:
            return
        planned = figures.get(key)
        try:
            if planned is None:  # the first request, or the site has changed
                context = prepare(load_site(config), options)
                figures = {figure.key: figure for figure in context.figures}
                loaded[:] = [renderer(context.models, options.compute_target)]
                planned = figures.get(key)
            assert context is not None
            while planned is not None:
                try:
                    with context.store().locked():
                        render_missing(context, [planned], lambda *_: loaded[0], report, encode)
                    break
                except LockedError as error:
                    connection.send(("progress", f"waiting: {error}"))
                    time.sleep(RETRY_S)
            connection.send(("done", ""))
        except REPORTED as error:
            text = describe(error)
            if planned is not None and not isinstance(error, SitegenError):
                text = f"{location(planned)}: {text}"
            connection.send(("failed", text))


class _Report:
    """A reporter that sends the progress of frames to the preview."""

    warnings, quiet = 0, False

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection

    def note(self, line: str) -> None:
        """Omit it."""

    detail = warn = note

    @contextmanager
    def rendering(self, title: str, steps: int) -> Iterator[Advance]:
        """Send a message for each step."""
        finished = 0

        def advance() -> None:
            nonlocal finished
            finished += 1
            self._connection.send(("progress", f"{title}, {finished} of {steps}"))

        yield advance

    @contextmanager
    def computing(self, title: str) -> Iterator[Advance]:
        """Send nothing."""
        yield lambda: None


def describe(error: Exception) -> str:
    """Describe an error in one line."""
    if isinstance(error, SitegenError):
        return str(error)
    message = import_fault(error) or memory_full(error)
    return message or f"{type(error).__name__}: {error}{raised_at(error)}"
