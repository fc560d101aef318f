"""The preview of a site while its author works on it, even before all clips are rendered.

Pages are rendered immediately. Until its new clip is rendered, a changed figure keeps its last clip
and a new figure has a placeholder. Clips are rendered in a separate process. When no clip is
missing, the built folder is installed, as by `sitegen build`.
"""

import contextlib
import re
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from sitegen.builder.assembly import assemble, placed
from sitegen.builder.install import CopiedFile, Tree, install, is_built, require_ours
from sitegen.builder.pipeline import location
from sitegen.builder.plan import BuildContext, BuildOptions, PlannedFigure, prepare
from sitegen.builder.store import Records, Store
from sitegen.config.schema import load_site
from sitegen.content.groups import all_parts, with_parts
from sitegen.content.pages import Page
from sitegen.core.errors import LockedError, SitegenError
from sitegen.core.files import below, digest
from sitegen.core.progress import Reporter
from sitegen.core.site_files import OwnFile
from sitegen.core.urls import MANIFEST
from sitegen.figures.base import Figure
from sitegen.media.manifest import Manifest, Record
from sitegen.server.rendering import REPORTED, RETRY_S, RenderProcess, describe

FigureRef = tuple[str, str]
"""A figure of the site: the uri of its page, and its id."""

POLL_S = 0.1
"""Seconds between two checks whether the figure that is being rendered is still needed."""

_PENDING = Markup(
    '<div id="{id}" class="sitegen-pending">\n'
    '<p class="sitegen-pending-what">{what}</p>\n'
    "<p>{why}</p>\n"
    "</div>"
)
_WAITING = "There is no clip of this figure yet. It appears here when it is rendered."
_FAILED = Markup("This figure could not be rendered.<br><code>{error}</code>")


@dataclass(frozen=True)
class PreviewState:
    """The visible state of the preview; it is immutable and replaced after each change.

    version: number of the tree, which increases with each new tree
    tree: the files to serve; None until a page could be rendered
    error: errors in the author's files or in a figure
    failed: figures that an error is about, on the last valid page
    outdated: figures that show an old clip
    progress: description of the work in progress
    """

    version: int = 0
    tree: Tree | None = None
    error: str | None = None
    failed: tuple[FigureRef, ...] = ()
    outdated: tuple[FigureRef, ...] = ()
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
        self._shown: dict[FigureRef, Record] = {}  # the clip of each figure, perhaps an old one
        self._errors: dict[str, str] = {}  # by key of a figure, or "site"
        self._edited: dict[str, int] = {}  # by key, number of the reading in which it was new
        # Reentrant: an error is shown while the state is being changed.
        self._changed = threading.Condition(threading.RLock())

    def refresh(self) -> None:
        """Read the site again and show it; errors are shown with the last valid page."""
        started, before = time.monotonic(), self.state
        with self._changed:
            self.reads += 1
            warnings = self.context.warnings if self.context else ()
            try:
                context = prepare(load_site(self.config), self._options)
                require_ours(context.output)
                # At the start, clips of the last build stand in for those that are not rendered
                # yet.
                self._shown = self._shown or built_records(context.output)
                self._records = context.store(self.report.warn).find(context.keys)
                self._edited = {key: self._edited.get(key, self.reads) for key in context.keys}
                self.context, self.settled, self._errors = context, False, {}
                self._show()
            except REPORTED as error:
                self._show_error("site", describe(error), error)
            else:
                for warning in context.warnings:
                    if warning not in warnings:
                        self.report.warn(warning)
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
        """Return the figure to render: edited last, then first on its page; none that failed."""
        figures = self.context.figures if self.context else ()
        missing = (p for p in figures if p.key not in self._records and p.key not in self._errors)
        return max(missing, key=lambda planned: self._edited[planned.key], default=None)

    def _render(self, process: RenderProcess, planned: PlannedFigure) -> RenderProcess | None:
        """Render a figure and show it; return the process, None if it was stopped.

        A failed figure is tried again after the next change.
        """
        process.render(planned.key)
        kind, text = "progress", ""
        while kind == "progress":
            with self._changed:
                # A figure that was edited after this one is rendered first: its author waits for
                # it.
                first, edited = self._next(), self._edited.get(planned.key)
                is_needed = edited and not (first and self._edited[first.key] > edited)
                is_needed = is_needed and not self._closed
                self.state = replace(self.state, progress=(is_needed and text) or None)
            if not is_needed:
                process.stop()  # torch cannot be interrupted within a process
                return None
            kind, text = process.receive(POLL_S) or (kind, text)
        with self._changed:
            self.state = replace(self.state, progress=None)
            assert self.context is not None
            self._records = self.context.store().find(self.context.keys)
            if kind == "done" and planned.key in {*self._edited} - {*self._records}:
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
            store = context.store()
            with store.locked():
                manifest = placed(context.figures, self._records)
                tree = assemble(context.site, context.pages, manifest, store)
                install(tree, context.output)
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
        """Render the pages with the available records, and with old ones for missing records."""
        context = self.context
        assert context is not None
        store = context.store()
        records, outdated = dict[str, Record](), list[FigureRef]()
        pending = dict[FigureRef, str | None]()
        for planned in context.figures:
            ref = planned.page, planned.figure.id
            record, shown = self._records.get(planned.key), self._shown.get(ref)
            if record is not None:
                records[planned.key] = record
            elif shown is not None and is_showable(shown, planned, store):
                records[planned.key] = shown
                outdated.append(ref)
            else:
                pending[ref] = self._errors.get(planned.key)
        figures = [planned for planned in context.figures if planned.key in records]
        pages = tuple(with_placeholders(page, pending) for page in context.pages)
        tree = assemble(context.site, pages, placed(figures, records), store)
        self._shown |= {(p.page, p.figure.id): records[p.key] for p in figures}
        self.state = replace(
            self.state,
            version=self.state.version + (tree != self.state.tree),
            tree=tree,
            error="\n".join(self._errors.values()) or None,
            failed=self._failed(),
            outdated=tuple(outdated),
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
            tree = last_built(self.config) if self.state.tree is None else self.state.tree
            self.state = replace(
                self.state,
                version=self.state.version + (tree is not self.state.tree),
                tree=tree,
                error="\n".join(self._errors.values()),
                failed=self._failed(),
            )

    def _failed(self) -> tuple[FigureRef, ...]:
        """Return the figures that could not be rendered, and those whose line has an error."""
        text = "\n".join(self._errors.values())
        failed = []
        for planned in self.context.figures if self.context else ():
            line = re.escape(f"{planned.figure.place.file}:{planned.figure.place.line}")
            if planned.key in self._errors or re.search(rf"(^|/){line}:", text, re.M):
                failed.append((planned.page, planned.figure.id))
        return tuple(failed)


def with_placeholders(page: Page, pending: Mapping[FigureRef, str | None]) -> Page:
    """Return the page with placeholders for figures without a clip, some with an error."""

    def placeholder(figure: Figure) -> Markup:
        error = pending[page.uri, figure.id]
        why = _FAILED.format(error=error) if error else _WAITING
        return _PENDING.format(id=figure.id, what=figure.caption or figure.id, why=why)

    def shown(part: object) -> object:
        waits = isinstance(part, Figure) and (page.uri, part.id) in pending
        return placeholder(part) if isinstance(part, Figure) and waits else part

    body = tuple(with_parts(part, shown) for part in page.body)
    figures = tuple(part for part in all_parts(body) if isinstance(part, Figure))
    return replace(page, figures=figures, body=body)


def is_showable(record: Record, planned: PlannedFigure, store: Store) -> bool:
    """Return whether an old clip is in the store, and of the kind and levels of a figure."""
    fits = record.kind == planned.figure.kind and max(record.levels, default=0) <= planned.levels
    return fits and all(store.object(file).is_file() for file in record.files.values())


def built_records(output: Path) -> dict[FigureRef, Record]:
    """Return the records of the built folder; empty if it is missing or damaged."""
    with contextlib.suppress(OSError, SitegenError):
        if is_built(output):
            manifest = Manifest.from_json((output / MANIFEST).read_text("utf-8", "replace"))
            return {(media.page, media.id): media.record for media in manifest.figures}
    return {}


def last_built(config: Path) -> Tree | None:
    """Return the content of the built folder of the site of `config`, if sitegen built it.

    If `site.toml` is invalid, the default folder is used.
    """
    output = config.parent / "build"
    with contextlib.suppress(SitegenError):
        output = load_site(config).output
    with contextlib.suppress(OSError):
        if is_built(output):
            files = [output / uri for uri, entry in below(output) if entry.is_file()]
            names = {path.relative_to(output).as_posix(): path for path in files}
            return {
                uri: path.read_bytes()
                if uri.endswith(".html")
                else CopiedFile(path, OwnFile(uri, path, path.stat().st_size, digest(path)))
                for uri, path in names.items()
                if not path.is_symlink()
            }
    return None
