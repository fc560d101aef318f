"""The preview of a site while its author works on it, even before all clips are rendered.

Pages are rendered immediately. Until its clip is rendered, a figure has a placeholder. Clips are
rendered in a separate process. When no clip is missing, the built folder is installed, as by
`sitegen build`.
"""

import re
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sitegen.builder.assembly import assemble
from sitegen.builder.install import Tree, install, require_ours
from sitegen.builder.pipeline import location
from sitegen.builder.plan import BuildContext, BuildOptions, PlannedFigure, prepare
from sitegen.builder.store import Records
from sitegen.config.schema import load_site
from sitegen.core.errors import LockedError, SitegenError
from sitegen.core.progress import Reporter
from sitegen.server.rendering import REPORTED, RETRY_S, RenderProcess, describe

FigureRef = tuple[str, str]
"""A figure of the site: the uri of its page, and its id."""

POLL_S = 0.1
"""Seconds between two checks whether the preview was closed while a figure is rendered."""


@dataclass(frozen=True)
class PreviewState:
    """The visible state of the preview; it is immutable and replaced after each change.

    version: number of the tree, which increases with each new tree
    tree: the files to serve; None until a page could be rendered
    error: errors in the author's files or in a figure
    failed: figures that an error is about, on the last valid page
    progress: description of the work in progress
    """

    version: int = 0
    tree: Tree | None = None
    error: str | None = None
    failed: tuple[FigureRef, ...] = ()
    progress: str | None = None


class Preview:
    """A live preview of a site: call `refresh` after each change, and `run` in a thread.

    config: the absolute path of its `site.toml`
    start: starts the process that renders
    state: the current state, which can be read at any time
    context: the last context that was read without errors
    reads: number of times that the site was read
    settled: whether everything is rendered and the built folder is up to date
    """

    def __init__(
        self,
        config: Path,
        options: BuildOptions,
        start: Callable[[], RenderProcess],
        report: Reporter,
    ) -> None:
        self.config, self.report = config.absolute(), report
        self.state = PreviewState()
        self.context: BuildContext | None = None
        self.reads = 0
        self.settled = self._closed = False
        self._options, self._start = options, start
        self._records: Records = {}
        self._errors: dict[str, str] = {}  # by key of a figure, or "site"
        # Reentrant: an error is shown while the state is being changed.
        self._changed = threading.Condition(threading.RLock())

    def refresh(self) -> None:
        """Read the site again and show it; errors are shown with the last valid page."""
        started, before = time.monotonic(), self.state
        with self._changed:
            self.reads += 1
            old_pages = self.context.pages if self.context else ()
            warnings = {warning for page in old_pages for warning in page.warnings}
            try:
                context = prepare(load_site(self.config), self._options)
                require_ours(context.output)
                self._records = context.store(self.report.warn).find(context.keys)
                self.context, self.settled, self._errors = context, False, {}
                self._show()
            except REPORTED as error:
                self._show_error("site", describe(error), error)
            else:
                for warning in (warning for page in context.pages for warning in page.warnings):
                    if warning not in warnings:
                        self.report.warn(str(warning))
            self._changed.notify_all()
        if (self.state.version, self.state.error) != (before.version, before.error):
            self.report.note(f"rendered in {time.monotonic() - started:.2f} s")

    def run(self) -> None:
        """Render missing clips and install complete sites, until closed."""
        process: RenderProcess | None = None
        try:
            while (context := self._wait_for_work()) is not None:
                planned = self._next()
                if planned is None:
                    self._install(context)
                    continue
                process = self._render(process or self._start(), planned)
                if process is not None and self._next() is None:
                    process.stop()  # frees the memory of models and torch
                    process = None
        finally:
            if process is not None:
                process.stop()

    def close(self) -> None:
        """Make `run` return, and stop the rendering in progress."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()

    def _wait_for_work(self) -> BuildContext | None:
        """Wait until there is something to render or to install; return None when closed."""

        def has_work() -> bool:
            figures = self.context.figures if self.context else ()
            is_complete = all(planned.key in self._records for planned in figures)
            is_ready = self.context is not None and not self.settled and not self._errors
            return self._closed or self._next() is not None or (is_complete and is_ready)

        with self._changed:
            self._changed.wait_for(has_work)
            return None if self._closed else self.context

    def _next(self) -> PlannedFigure | None:
        """Return the first figure that is missing, of those that did not fail."""
        figures = self.context.figures if self.context else ()
        missing = (p for p in figures if p.key not in self._records and p.key not in self._errors)
        return next(missing, None)

    def _render(self, process: RenderProcess, planned: PlannedFigure) -> RenderProcess | None:
        """Render a figure and show it; return the process, None if it was stopped.

        A failed figure is tried again after the next change.
        """
        process.render(planned.key)
        kind, text = "progress", ""
        while kind == "progress":
            with self._changed:
                self.state = replace(self.state, progress=text or None)
            if self._closed:
                process.stop()  # torch cannot be interrupted within a process
                return None
            kind, text = process.receive(POLL_S) or (kind, text)
        with self._changed:
            self.state = replace(self.state, progress=None)
            assert self.context is not None
            self._records = self.context.store().find(self.context.keys)
            if kind == "done" and planned.key in {*self.context.keys} - {*self._records}:
                kind, text = "ended", "its files are missing; build again"
            if kind == "ended":
                text = f"{location(planned)}: {text}"
            if kind != "done":
                self._show_error(planned.key, text)
            try:
                self._show()
            except REPORTED as error:
                self._show_error("site", describe(error), error)
        if kind == "ended":
            process.stop()
            return None
        return process

    def _install(self, context: BuildContext) -> None:
        """Replace the built folder."""
        try:
            with context.store().locked():
                install(assemble(context, self._records), context.output)
        except LockedError as error:
            with self._changed:
                self.state = replace(self.state, progress=f"waiting: {error}")
                self._changed.wait(RETRY_S)
                self.state = replace(self.state, progress=None)
        except REPORTED as error:
            self._show_error("site", describe(error), error)
        else:
            with self._changed:
                # Not if the site was read again during the installation.
                self.settled = self.context is context

    def _show(self) -> None:
        """Render the pages with the available records, and placeholders for the others."""
        context = self.context
        assert context is not None
        tree = assemble(context, self._records, self._errors)
        self.state = replace(
            self.state,
            version=self.state.version + (tree != self.state.tree),
            tree=tree,
            error="\n".join(self._errors.values()) or None,
            failed=self._failed(),
        )

    def _show_error(self, key: str, text: str, error: Exception | None = None) -> None:
        """Show an error with the current page, until the next change."""
        with self._changed:
            if self._closed:
                return
            if error is not None and not isinstance(error, SitegenError):
                self.report.detail("".join(traceback.format_exception(error)))
            if self._errors.get(key) != text:  # an unchanged error is reported once
                self.report.warn(text)
            self._errors[key] = text
            error_text = "\n".join(self._errors.values())
            self.state = replace(self.state, error=error_text, failed=self._failed())

    def _failed(self) -> tuple[FigureRef, ...]:
        """Return the figures that could not be rendered, and those whose line has an error."""
        text = "\n".join(self._errors.values())
        failed = []
        for planned in self.context.figures if self.context else ():
            line = re.escape(f"{planned.figure.place.file}:{planned.figure.place.line}")
            if planned.key in self._errors or re.search(rf"(^|/){line}:", text, re.M):
                failed.append((planned.page, planned.figure.id))
        return tuple(failed)
