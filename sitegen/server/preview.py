"""The preview of a site while its author works on it, even before all clips are rendered.

Pages are rendered immediately. Until its new clip is rendered, a changed figure keeps its last clip
and a new figure has a placeholder. Clips are rendered in a separate thread, which cancels the ones
that are no longer needed. When no clip is missing, the built folder is installed, as by
`sitegen build`.
"""

import contextlib
import os
import re
import threading
import time
import traceback
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from markupsafe import Markup

from sitegen.builder.assembly import assemble, placed
from sitegen.builder.context import BuildContext, BuildOptions, prepare
from sitegen.builder.install import (
    CopiedFile,
    Tree,
    install,
    is_built,
    require_ours,
)
from sitegen.builder.plan import PlannedFigure
from sitegen.builder.store import Store
from sitegen.config.loader import load_site
from sitegen.content.pages import Page
from sitegen.core.errors import LockedError, SitegenError
from sitegen.core.files import below, digest
from sitegen.core.progress import Advance, Reporter
from sitegen.core.site_files import OwnFile
from sitegen.core.urls import MANIFEST
from sitegen.figures.base import Figure
from sitegen.media.manifest import Manifest, Record
from sitegen.server.rendering import Cancelled, Rendering, words

FigureRef = tuple[str, str]
"""Location of a figure: the uri of its page, and its id."""


@dataclass(frozen=True)
class PreviewState:
    """The visible state of the preview; it is immutable and replaced after each change.

    version: number of the tree, which increases with each new tree
    tree: the files to serve; None until a build has succeeded
    before: content-named files of the previous tree, for pages that are still open
    error: errors in the author's files or in a figure
    failed: figures that an error is about, on the last valid page
    outdated: figures that show an old clip
    progress: description of the work in progress
    """

    version: int = 0
    tree: Tree | None = None
    before: Tree = field(default_factory=dict)
    error: str | None = None
    failed: tuple[FigureRef, ...] = ()
    outdated: tuple[FigureRef, ...] = ()
    progress: str | None = None


_PENDING = Markup(
    '<div id="{id}" class="sitegen-pending">\n'
    '<p class="sitegen-pending-what">{what}</p>\n'
    "<p>{why}</p>\n"
    "</div>"
)
_WAITING = "There is no clip of this figure yet. It appears here when it is rendered."
_FAILED = Markup("This figure could not be rendered.<br><code>{error}</code>")


def without(
    page: Page, pending: Collection[FigureRef], errors: Mapping[FigureRef, str | None]
) -> Page:
    """Return the page with placeholders for the figures that have no clip yet, or an error."""

    def why(figure: Figure) -> str:
        error = errors.get((page.uri, figure.id))
        return _FAILED.format(error=error) if error else _WAITING

    body = tuple(
        _PENDING.format(id=part.id, what=part.caption or part.id, why=why(part))
        if isinstance(part, Figure) and (page.uri, part.id) in pending
        else part
        for part in page.body
    )
    figures = tuple(part for part in body if isinstance(part, Figure))
    return replace(page, figures=figures, body=body)


def built_records(output: Path) -> Mapping[FigureRef, Record]:
    """Return the records of the built folder; empty if it is missing or damaged."""
    try:
        if not is_built(output):
            return {}
        manifest = Manifest.from_json((output / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SitegenError):
        return {}
    return {(media.page, media.id): media.record for media in manifest.figures}


def last_built(config: Path) -> Tree | None:
    """Return the content of the built folder of the site of `config`, if sitegen built it.

    If `site.toml` is invalid, the default folder is used.
    """
    output = config.absolute().parent / "build"
    with contextlib.suppress(SitegenError):
        site = load_site(config)
        output = site.output
    with contextlib.suppress(OSError, SitegenError):
        output = Path(os.path.realpath(output))
        if is_built(output):
            return {
                uri: path.read_bytes()
                if uri.endswith(".html")
                else CopiedFile(path, OwnFile(uri, path, path.stat().st_size, digest(path)))
                for uri, entry in below(output)
                if entry.is_file() and "/." not in f"/{uri}" and (path := output / uri)
            }
    return None


PATIENCE_S = 1.0
"""Seconds before retrying while another sitegen process works on this site."""


class Preview:
    """A live preview of a site: call `refresh` after each change, and `run` in a thread.

    config: the absolute path of its `site.toml`
    state: the current state, which can be read at any time
    context: the last context that was read without errors
    reads: number of times that the site was read
    settled: whether everything is rendered and the built folder is up to date
    """

    def __init__(
        self, config: Path, options: BuildOptions, rendering: Rendering, report: Reporter
    ) -> None:
        self.state = PreviewState()
        self.context: BuildContext | None = None
        self.reads = 0
        self.report = report
        self.config = config.absolute()  # the working folder may be moved
        self._options = options
        self._rendering = rendering
        self._records: dict[str, Record] = {}
        self._last: dict[FigureRef, Record] = {}
        self._warned: tuple[str, ...] = ()
        self._errors: dict[str, str] = {}  # by the request or the operation that failed
        self._edited: dict[str, int] = {}  # number of the reading in which a request was new
        self.settled = self._closed = False
        self._changed = threading.Condition(threading.RLock())

    def refresh(self) -> None:
        """Read the site again and show it; errors are shown with the last valid page."""
        started, before = time.monotonic(), self.state
        self.reads += 1
        with self._showing_errors("reading"):
            context = prepare(load_site(self.config), self._options)
            require_ours(context.output)
            with self._changed:
                self._begin(context)
                self._show()
            if (self.state.version, self.state.error) != (before.version, before.error):
                self.report.note(f"rendered in {time.monotonic() - started:.2f} s")

    def run(self) -> None:
        """Render missing clips and install complete sites, until closed."""
        while (context := self._await_work()) is not None:
            if (planned := self._next(context)) is None:
                self._settle(context)
            else:
                self._render(context, planned)
            if self._next(self.context or context) is None:
                self._rendering.shutdown()
        self._rendering.shutdown()

    def close(self) -> None:
        """Make `run` return, and stop the rendering in progress."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()
        self._rendering.stop()

    def wants(self, planned: PlannedFigure) -> bool:
        """Return whether the figure is still needed, and none was edited after it."""
        context = None if self._closed else self.context
        if context is None or planned.key not in self._edited:
            return False
        first = self._next(context)
        return first is None or self._rank(first) <= self._rank(planned)

    def progressed(self, progress: str | None) -> None:
        """Show the progress of the work."""
        with self._changed:
            self.state = replace(self.state, progress=progress)

    def _begin(self, context: BuildContext) -> None:
        if not self._last:
            self._last.update(built_records(context.output))
        store = context.store(self.report.warn)
        self._records = {key: each for key, each in self._records.items() if _there(each, store)}
        self._records |= store.find(p for p in context.figures if p.key not in self._records)
        digests = [each.key for each in context.figures]
        self._edited = {each: self._edited.get(each, self.reads) for each in digests}
        for warning in context.warnings:
            if warning not in self._warned:
                self.report.warn(warning)
        self._warned = context.warnings
        self.context, self.settled, self._errors = context, False, {}
        self._changed.notify_all()

    def _show(self) -> None:
        """Render the pages with the available records, and with old ones for missing records."""
        context = self.context
        assert context is not None
        clips = [(planned, self._clip(context, planned)) for planned in context.figures]
        records = {planned.key: record for planned, record in clips if record}
        shown = [planned for planned in context.figures if planned.key in records]
        pending = [_figure_ref(p) for p in context.figures if p.key not in records]
        errors = {_figure_ref(p): self._errors.get(p.key) for p in context.figures}
        pages = tuple(without(page, pending, errors) for page in context.pages)
        tree = assemble(context.site, pages, placed(shown, records), context.store())
        self._last |= {_figure_ref(planned): records[planned.key] for planned in shown}
        old = (planned for planned in shown if planned.key not in self._records)
        last = self.state.tree or {}
        kept = {uri: last[uri] for uri in last if uri.startswith(("assets/", "media/"))}
        self.state = replace(
            self.state,
            version=self.state.version + (tree != self.state.tree),
            tree=tree,
            before=self.state.before if kept.keys() <= tree.keys() else kept,
            error="\n".join(self._errors.values()) or None,
            failed=self._failed(),
            outdated=tuple(map(_figure_ref, old)),
        )

    def _clip(self, context: BuildContext, planned: PlannedFigure) -> Record | None:
        """Return the record of the figure's clip, or of the clip that it showed last.

        The last clip must be of the same kind, with no level that the model no longer has.
        """
        old = self._last.get(_figure_ref(planned))
        if planned.key in self._records or old is None:
            return self._records.get(planned.key)
        fits = old.kind == planned.figure.kind and max(old.levels, default=0) <= planned.levels
        return old if fits and _there(old, context.store()) else None

    def _await_work(self) -> BuildContext | None:
        """Wait until there is something to render or to install; return None when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_work(self.context))
            return None if self._closed else self.context

    def _has_work(self, context: BuildContext | None) -> bool:
        if context is None or self._next(context) is not None:
            return context is not None
        return not self.settled and all(p.key in self._records for p in context.figures)

    def _next(self, context: BuildContext) -> PlannedFigure | None:
        """Return the figure to render: edited last, then first on its page; None after failures."""
        missing = (p for p in context.figures if p.key not in self._records)
        able = (each for each in missing if each.key not in self._errors)
        return max(able, key=self._rank, default=None)

    def _rank(self, planned: PlannedFigure) -> int:
        """Return the number of the reading in which a figure was edited."""
        return self._edited.get(planned.key, 0)

    def _render(self, context: BuildContext, planned: PlannedFigure) -> None:
        """Render one figure and show it; a failed figure is retried after the next change."""
        place, name = planned.figure.place, planned.figure.id
        where = f"{place.file}:{place.line}: {name}: "
        showing = self._showing_errors(planned.key, where)
        with showing, contextlib.suppress(Cancelled):
            try:
                with context.store().locked():
                    made = self._rendering(context, planned, _Watched(self, planned))
            except LockedError as error:
                self._wait_for_lock(error)
                return
            with self._changed:
                self._records |= made
        with self._showing_errors("showing"), self._changed:
            if planned.key in {*self._records, *self._errors}:
                self._show()
        self.progressed(None)

    def _settle(self, context: BuildContext) -> None:
        with self._showing_errors("placing"):
            try:
                store = context.store()
                with store.locked():
                    manifest = placed(context.figures, self._records)
                    tree = assemble(context.site, context.pages, manifest, store)
                    install(tree, context.output)
            except LockedError as error:
                self._wait_for_lock(error)
                return
        with self._changed:
            self.settled = self.context is context

    def _wait_for_lock(self, error: LockedError) -> None:
        with self._changed:
            self.progressed(f"waiting: {error}")
            self._changed.wait(PATIENCE_S)
            self.progressed(None)

    @contextlib.contextmanager
    def _showing_errors(self, doing: str, where: str = "") -> Iterator[None]:
        """Show errors of the block over the last valid page, until the next change.

        where: words before an error that does not name its place
        """
        with contextlib.ExitStack() as block:
            block.push(lambda _kind, error, _trace: self._show_error(doing, where, error))
            yield

    def _show_error(self, doing: str, where: str, error: BaseException | None) -> bool:
        """Show an error with the current page; return False for exceptions to re-raise."""
        if not isinstance(error, Exception):
            return False
        if self._closed:
            return True  # interrupted by closing
        if not isinstance(error, SitegenError):
            self.report.detail("".join(traceback.format_exception(error)))
        text = words(error) if isinstance(error, SitegenError) else f"{where}{words(error)}"
        with self._changed:
            if self._errors.get(doing) != text:  # an unchanged error is reported once
                self.report.warn(text)
            self._errors[doing] = text
            tree = last_built(self.config) if self.state.tree is None else self.state.tree
            version = self.state.version + (tree is not self.state.tree)
            told = "\n".join(self._errors.values())
            self.state = replace(
                self.state,
                version=version,
                tree=tree,
                error=told,
                failed=self._failed(),
                progress=None,
            )
        return True

    def _failed(self) -> tuple[FigureRef, ...]:
        """Return the figures that could not be rendered, and those whose line has an error."""
        told = "\n".join(self._errors.values())

        def is_meant(planned: PlannedFigure) -> bool:
            place = planned.figure.place
            line = rf"(^|/){re.escape(f'{place.file}:{place.line}')}:"
            return planned.key in self._errors or bool(re.search(line, told, re.M))

        if self.context is None or not told:
            return ()
        return tuple(_figure_ref(each) for each in self.context.figures if is_meant(each))


class _Watched:
    """A reporter that shows progress in the page and cancels figures that are not needed."""

    def __init__(self, preview: Preview, planned: PlannedFigure) -> None:
        self._preview, self._planned, self._report = preview, planned, preview.report
        self.warnings, self.quiet, self.note = 0, self._report.quiet, self._report.note
        self.detail, self.warn = self._report.detail, self._report.warn
        self.computing = self._report.computing

    @contextlib.contextmanager
    def rendering(self, title: str, steps: int) -> Iterator[Advance]:
        done = 0
        with self._report.rendering(title, steps) as forward:

            def advance() -> None:
                nonlocal done
                done += 1
                forward()
                if not self._preview.wants(self._planned):
                    raise Cancelled
                self._preview.progressed(f"{title}, {done} of {steps}")

            yield advance


def _figure_ref(planned: PlannedFigure) -> FigureRef:
    return planned.page, planned.figure.id


def _there(record: Record, store: Store) -> bool:
    """Return whether the files are in the store; only a quick check, as they were verified once."""
    return all(store.object(file).is_file() for file in record.files.values())
