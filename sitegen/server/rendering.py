"""Rendering of figures in a separate process, which ends when there is nothing to render.

The preview therefore holds no model and no torch except while it renders. A figure that is no
longer needed ends the process, and so does the end of the preview.
"""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from sitegen.builder.context import BuildContext, BuildOptions, prepare
from sitegen.builder.pipeline import render_missing
from sitegen.builder.plan import PlannedFigure
from sitegen.builder.render import Renderer, RendererFactory
from sitegen.builder.store import Records
from sitegen.config.loader import load_site
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError, SitegenError, TargetError
from sitegen.core.installed import import_fault, memory_full
from sitegen.core.progress import Advance, Reporter
from sitegen.core.signals import interrupt_on_signals
from sitegen.core.source import raised_at
from sitegen.core.worker import UnexpectedError, Worker, WorkerEnded, send
from sitegen.models.registry import ModelSource


class Cancelled(Exception):
    """Raised when the figure that is being rendered is no longer needed."""


class InProcessRenderer:
    """Renders in this process, and keeps loaded models while their files are unchanged."""

    def __init__(self, renderer: RendererFactory) -> None:
        self._make = renderer
        self._of: object = None
        self._renderer: Renderer | None = None

    def __call__(self, context: BuildContext, planned: PlannedFigure, report: Reporter) -> Records:
        """Render a figure."""
        return render_missing(context, [planned], self._kept, report)

    def _kept(self, sources: Mapping[str, ModelSource], compute_target: ComputeTarget) -> Renderer:
        here = {name: each for name, each in sources.items() if each.available}.items()
        digests = {n: (m.card.digest, m.weights_sha256, m.prior_sha256, m.weights) for n, m in here}
        of = compute_target, digests
        if self._renderer is None or of != self._of:
            self._renderer = self._of = None  # release the old models first
            self._renderer, self._of = self._make(sources, compute_target), of
        return self._renderer

    def stop(self) -> None:
        """Do nothing; the report raises Cancelled at the next frame."""

    def shutdown(self) -> None:
        """Keep the models."""


class SubprocessRenderer:
    """Renders in a subprocess for the site of `config`."""

    def __init__(self, config: Path, options: BuildOptions, renderer: RendererFactory) -> None:
        self._site = config.absolute(), options, renderer
        self._worker = Worker(
            interrupt_on_signals, lambda: "spawn"
        )  # torch's threads are not copied
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """Return the id of the process, if there is one."""
        return self._worker.pid

    def __call__(self, context: BuildContext, planned: PlannedFigure, report: Reporter) -> Records:
        """Render a figure, and return its record from the store."""
        digest, record = planned.key, None
        with contextlib.ExitStack() as bars:
            if self._stopped:
                raise _stopped()
            try:
                receive = _Received(report, bars)
                if self._worker.call(_render, *self._site, digest, receive=receive):
                    record = context.store(report.warn).get(digest)
            except WorkerEnded as error:
                raise _stopped() if self._stopped else _ended(error) from None
        if record is None:  # the site has changed
            raise Cancelled
        return {digest: record}

    def stop(self) -> None:
        """End the process, without waiting for it."""
        self._stopped = True
        self._worker.stop(tidy=True)

    def shutdown(self) -> None:
        """End the process, if there is one."""
        self._worker.close()


Rendering: TypeAlias = InProcessRenderer | SubprocessRenderer
"""Renders figures into the store of a site, with the lock of the site."""


def _stopped() -> SitegenError:
    return TargetError("the process that rendered was stopped")


def _ended(error: WorkerEnded) -> SitegenError:
    if error.code is not None and error.code < 0:
        return PlatformError(
            f"the process that rendered {error.cause}, perhaps because memory is full; close other "
            "programs, or ask for fewer or smaller samples"
        )
    return TargetError(f"the process that rendered {error.cause}, see the terminal")


class _Received:
    """Passes the worker's messages to a reporter; `bars` ends its progress bars."""

    def __init__(self, report: Reporter, bars: contextlib.ExitStack) -> None:
        self._report, self._bars = report, bars
        self._advance: Advance = lambda: None

    def __call__(self, message: tuple[str, Any]) -> None:
        what, value = message
        if what == "steps":
            self._advance = self._bars.enter_context(self._report.rendering(*value))
        elif what == "advance":
            self._advance()
        else:
            getattr(self._report, what)(value)


class _SendingReporter:
    """A reporter that sends its reports to the parent."""

    warnings, quiet = 0, False

    def __init__(self) -> None:
        self.note, self.detail, self.warn = (
            partial(_send, what) for what in ("note", "detail", "warn")
        )

    @contextlib.contextmanager
    def rendering(self, title: str, steps: int) -> Iterator[Advance]:
        _send("steps", (title, steps))
        yield partial(_send, "advance", None)

    @contextlib.contextmanager
    def computing(self, title: str) -> Iterator[Advance]:
        yield lambda: None


def _send(what: str, value: object) -> None:
    send((what, value))


_known: dict[str, tuple[BuildContext, PlannedFigure]] = {}
"""Figures of the site by request, as last read; used in the worker."""
_renderer: list[InProcessRenderer] = []
"""The renderer, once there is something to render; used in the worker."""


def _render(config: Path, options: BuildOptions, make: RendererFactory, digest: str) -> bool:
    """Render a figure into the store; return False if the site no longer has it."""
    if digest not in _known:
        context = prepare(load_site(config), options)
        _known.clear()
        _known.update({each.key: (context, each) for each in context.figures})
    if digest not in _known:
        return False
    if not _renderer:
        _renderer.append(InProcessRenderer(make))
    _renderer[0](*_known[digest], _SendingReporter())
    return True


def words(error: Exception) -> str:
    """Describe an error in one line."""
    if isinstance(error, SitegenError | UnexpectedError):
        return str(error)
    told = import_fault(error) or memory_full(error)
    return told or f"{type(error).__name__}: {error}{raised_at(error)}"
