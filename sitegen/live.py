"""The site while its author works on it, with or without all of its clips.

The words are rendered at once. A figure that changed keeps its last clip, and a new one a place
holder, until the film is there; filming is a thread of its own, and drops what is not wanted any
more. When nothing is missing, the built folder is put in place, as `sitegen build` would.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from sitegen.assembly import assemble
from sitegen.build import film, locked, tidy
from sitegen.errors import LockedError, SitegenError
from sitegen.filming import Camera, CameraFactory
from sitegen.media import Record
from sitegen.models import ModelSource
from sitegen.plan import Equipment, Job
from sitegen.report import Advance, Reporter
from sitegen.scene import Place, Scene, last_built, published, without, words
from sitegen.store import Store
from sitegen.tree import put, require_ours, require_room
from sitegen.work import Options, Work, found, prepare

PATIENCE_S = 1.0
"""How long to wait before another sitegen that is at work here is asked again."""


class Preview:
    """Keeps a scene of the site of `config`: `refresh` after each change, `run` in a thread.

    config: the path of its `site.toml`
    scene: what is to be seen now; read it whenever you like
    work: what was read last without a mistake
    reads: how often everything was read
    """

    def __init__(
        self, config: Path, options: Options, camera: CameraFactory, report: Reporter
    ) -> None:
        self.scene = Scene()
        self.work: Work | None = None
        self.reads = 0
        self.report = report
        self.config = config
        self._options = options
        self._camera = _KeptStudio(camera)
        self._records: dict[str, Record] = {}
        self._last: dict[Place, Record] = {}
        self._errors: dict[str, str] = {}  # by the request that failed, or what else did
        self._settled = self._closed = False
        self._changed = threading.Condition(threading.RLock())

    def refresh(self) -> None:
        """Read everything again and show it; a mistake is shown with the last good page."""
        started, before = time.monotonic(), self.scene
        self.reads += 1
        with self._showing_errors("reading"):
            work = prepare(self.config, self._options)
            require_ours(work.output)
            with self._changed:
                self._take(work)
                self._show()
            if (self.scene.version, self.scene.error) != (before.version, before.error):
                self.report.note(f"rendered in {time.monotonic() - started:.2f} s")

    def run(self) -> None:
        """Film what is missing, and put what is whole in place, until closed."""
        while (work := self._await_work()) is not None:
            job = self._next(work)
            if job is None:
                self._settle(work)
            else:
                self._film(work, job)

    def close(self) -> None:
        """Make `run` return, at the next frame where it films."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def leave(self) -> None:
        """Remove what the thread has begun, where it cannot be waited for."""
        if self.work is not None:
            tidy(self.work, leaving=True)

    @property
    def settled(self) -> bool:
        """Whether all is filmed, and the built folder is as after a build."""
        return self._settled

    def wants(self, job: Job) -> bool:
        """Whether the figure is still asked for."""
        work = self.work
        asked = work is not None and any(each.request == job.request for each in work.jobs)
        return asked and not self._closed

    def progressed(self, progress: str | None) -> None:
        """Show how far the work is."""
        with self._changed:
            self.scene = replace(self.scene, progress=progress)

    def _take(self, work: Work) -> None:
        """Make `work` the one that is shown, with the records that there are for it."""
        if not self._last:
            self._last.update(published(work.output))
        store = Store(work.site.cache_dir, self.report.warn)
        self._records = {
            request: record for request, record in self._records.items() if _there(record, store)
        }
        self._records |= found(work.missing(self._records), store, work.options)
        self.work, self._settled = work, False
        self._errors.clear()
        self._changed.notify_all()

    def _show(self) -> None:
        """Render the work with the records that there are, and old ones for those that lack."""
        work = self.work
        assert work is not None
        records = {job.request: record for job in work.jobs if (record := self._clip(work, job))}
        shown = [job for job in work.jobs if job.request in records]
        awaited = tuple(_place(job) for job in work.jobs if job.request not in records)
        pages = tuple(without(page, awaited) for page in work.pages)
        tree = assemble(work.site, pages, shown, records)
        self._last |= {_place(job): records[job.request] for job in shown}
        self.scene = replace(
            self.scene,
            version=self.scene.version + (tree != self.scene.tree),
            tree=tree,
            error=self._error(),
            outdated=tuple(_place(job) for job in shown if job.request not in self._records),
            awaited=awaited,
        )

    def _clip(self, work: Work, job: Job) -> Record | None:
        """The clip that the figure asks for, or the last that it showed.

        That must be of its kind, and show no level that the model has no more.
        """
        if job.request in self._records:
            return self._records[job.request]
        old = self._last.get(_place(job))
        if old is None or old.kind != job.figure.kind or max(old.levels, default=0) > job.levels:
            return None
        return old if _there(old, Store(work.site.cache_dir)) else None

    def _await_work(self) -> Work | None:
        """Wait until there is something to film or to put in place; None when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_work())
            return None if self._closed else self.work

    def _has_work(self) -> bool:
        if self.work is None:
            return False
        whole = not self.work.missing(self._records)
        return self._next(self.work) is not None or (whole and not self._settled)

    def _next(self, work: Work) -> Job | None:
        """The first figure to film that has not failed since the last change."""
        missing = work.missing(self._records)
        return next((job for job in missing if job.request not in self._errors), None)

    def _film(self, work: Work, job: Job) -> None:
        """Film one figure and show it; one that fails is left until something changes."""
        options = replace(work.options, only=(), strict=False)
        alone = replace(work, jobs=(job,), options=options)
        with self._showing_errors(job.request), contextlib.suppress(Dropped):
            try:
                with locked(work.site):
                    made = film(alone, {}, self._camera, _Watched(self, job))
            except LockedError as error:
                self._wait_for_lock(error)
                return
            with self._changed:
                self._records |= made
                self._show()
        self.progressed(None)

    def _settle(self, work: Work) -> None:
        """Put the whole site in the place of the built folder."""
        with self._showing_errors("placing"):
            try:
                with locked(work.site):
                    require_room(work.output)
                    put(work.tree(self._records), work.output)
            except LockedError as error:
                self._wait_for_lock(error)
                return
        with self._changed:
            self._settled = self.work is work

    def _wait_for_lock(self, error: LockedError) -> None:
        with self._changed:
            self.progressed(f"waiting: {error}")
            self._changed.wait(PATIENCE_S)
            self.progressed(None)

    @contextlib.contextmanager
    def _showing_errors(self, doing: str) -> Iterator[None]:
        """Show what goes wrong in the block, before the last good page, until something changes."""
        try:
            yield
        except Exception as error:
            if self._closed:
                return  # it was cut off, which is no news
            if not isinstance(error, SitegenError):
                self.report.detail("".join(traceback.format_exception(error)))
            text = words(error, self.config.absolute().parent)
            with self._changed:
                if self._errors.get(doing) != text:  # it has been told where nothing has changed
                    self.report.warn(text)
                self._errors[doing] = text
                tree = last_built(self.config) if self.scene.tree is None else self.scene.tree
                version = self.scene.version + (tree is not self.scene.tree)
                kept = replace(self.scene, version=version, tree=tree)
                self.scene = replace(kept, error=self._error(), progress=None)

    def _error(self) -> str | None:
        return "\n".join(self._errors.values()) or None


class Dropped(Exception):
    """What is being filmed is not wanted any more."""


class _Watched:
    """A reporter that shows progress in the page, and drops what is not wanted any more."""

    def __init__(self, preview: Preview, job: Job) -> None:
        self._preview, self._job, self._report = preview, job, preview.report
        self.warnings, self.quiet = 0, self._report.quiet

    def note(self, line: str) -> None:
        self._report.note(line)

    def detail(self, line: str) -> None:
        self._report.detail(line)

    def warn(self, line: str) -> None:
        self._report.warn(line)

    @contextlib.contextmanager
    def filming(self, title: str, steps: int) -> Iterator[Advance]:
        done = 0
        with self._report.filming(title, steps) as forward:

            def advance() -> None:
                nonlocal done
                done += 1
                forward()
                if not self._preview.wants(self._job):
                    raise Dropped
                self._preview.progressed(f"{title}, {done} of {steps}")

            yield advance


class _KeptStudio:
    """Makes a studio, and keeps it with its loaded models while their files stay the same."""

    def __init__(self, make: CameraFactory) -> None:
        self._make = make
        self._of: object = None
        self._camera: Camera | None = None

    def __call__(self, sources: Mapping[str, ModelSource], equipment: Equipment) -> Camera:
        of = (
            equipment,
            {
                name: (each.card.digest, each.weights_sha256, each.prior_sha256, each.weights)
                for name, each in sources.items()
                if each.available
            },
        )
        if self._camera is None or of != self._of:
            self._camera, self._of = None, None  # let go of the old models first
            self._camera, self._of = self._make(sources, equipment), of
        return self._camera


def _place(job: Job) -> Place:
    return job.page, job.figure.id


def _there(record: Record, store: Store) -> bool:
    """Whether the files are in the store; a quick look, since they were read whole once."""
    return all(store.object(file).is_file() for file in record.files.values())
