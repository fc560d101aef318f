"""The preview of a site while its author works on it, even before all clips are rendered.

Pages are rendered immediately. Until its clip is rendered, a figure has a placeholder. Clips are
rendered by `sitegen build`, as a process. When no clip is missing, the built folder is installed.
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
from sitegen.builder.plan import BuildContext, BuildOptions, prepare
from sitegen.builder.store import Records
from sitegen.config.schema import load_site
from sitegen.core.errors import FAULTS, LockedError, SitegenError
from sitegen.core.installed import import_fault, memory_full
from sitegen.core.progress import Reporter
from sitegen.core.source import raised_at
from sitegen.server.rendering import BuildProcess

FigureRef = tuple[str, str]
"""A figure of the site: the uri of its page, and its id."""

POLL_S = 0.1
"""Seconds between two looks at a build."""
RETRY_S = 1.0
"""Seconds before retrying while another sitegen process works on this site."""
REPORTED = (SitegenError, *FAULTS)
"""Exceptions that the preview shows. It goes on, since the next edit may mend the cause."""


@dataclass(frozen=True)
class PreviewState:
    """The visible state of the preview; it is immutable and replaced after each change.

    version: number that increases with each new tree, and before the first with each new error
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
    start: starts a build
    state: the current state, which can be read at any time
    context: the last context that was read without errors
    reads: number of times that the site was read
    settled: whether everything is rendered and the built folder is up to date
    """

    def __init__(
        self,
        config: Path,
        options: BuildOptions,
        start: Callable[[], BuildProcess],
        report: Reporter,
    ) -> None:
        self.config, self.report = config.absolute(), report
        self.state = PreviewState()
        self.context: BuildContext | None = None
        self.reads = 0
        self.settled = self._closed = False
        self._options, self._start = options, start
        self._records: Records = {}
        self._errors: dict[str, str] = {}  # by key of a figure, or "site", which ends all work
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
        while (context := self._wait_for_work()) is not None:
            if keys := self._missing():
                self._build(keys)
            else:
                self._install(context)

    def close(self) -> None:
        """Make `run` return, and stop the rendering in progress."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()

    def _wait_for_work(self) -> BuildContext | None:
        """Wait until there is something to render or to install; return None when closed."""

        def has_work() -> bool:
            is_ready = self.context is not None and not self.settled and not self._errors
            return self._closed or bool(self._missing()) or is_ready

        with self._changed:
            self._changed.wait_for(has_work)
            return None if self._closed else self.context

    def _missing(self) -> set[str]:
        """Return the keys of figures without a clip, of those that did not fail."""
        if self.context is None or "site" in self._errors:
            return set()
        return {*self.context.keys} - {*self._records} - {*self._errors}

    def _build(self, keys: set[str]) -> None:
        """Build until these figures are rendered, or none of them is needed any more.

        A failed figure is tried again after the next change.
        """
        build = self._start()
        while (is_running := build.is_running()) and keys & self._missing() and not self._closed:
            time.sleep(POLL_S)
            with self._changed:
                self.state = replace(self.state, progress=build.progress or None)
                self._show_finished()
        code, text = build.end()
        with self._changed:
            self.state = replace(self.state, progress=None)
            self._show_finished()
            if is_running or code == 0 or self._closed:
                return
            if code == LockedError.exit_code:
                self.state = replace(self.state, progress=f"waiting: {text}")
                self._changed.wait(RETRY_S)
                return
            assert self.context is not None
            lines, missing = text.splitlines(), self._missing()
            for planned in self.context.figures:
                name = location(planned)
                if planned.key in missing and any(name in line for line in lines):
                    own = [line for line in lines if name in line]
                    self._show_error(planned.key, "\n".join(own))
            if self._missing():
                self._show_error("site", text or f"the build ended with exit code {code}")
            self._show()

    def _show_finished(self) -> None:
        """Show figures that have been rendered since the last look."""
        assert self.context is not None
        records = self.context.store().find(self.context.keys)
        if records.keys() == self._records.keys():
            return
        self._records = records
        try:
            self._show()
        except REPORTED as error:
            self._show_error("site", describe(error), error)

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
            text = "\n".join(self._errors.values())
            # Without a tree, the error is the page.
            is_new_page = self.state.tree is None and text != self.state.error
            version = self.state.version + is_new_page
            self.state = replace(self.state, version=version, error=text, failed=self._failed())

    def _failed(self) -> tuple[FigureRef, ...]:
        """Return the figures that could not be rendered, and those whose line has an error."""
        text = "\n".join(self._errors.values())
        failed = []
        for planned in self.context.figures if self.context else ():
            line = re.escape(f"{planned.figure.place.file}:{planned.figure.place.line}")
            if planned.key in self._errors or re.search(rf"(^|/){line}:", text, re.M):
                failed.append((planned.page, planned.figure.id))
        return tuple(failed)


def describe(error: Exception) -> str:
    """Describe an error in one line."""
    if isinstance(error, SitegenError):
        return str(error)
    message = import_fault(error) or memory_full(error)
    return message or f"{type(error).__name__}: {error}{raised_at(error)}"
