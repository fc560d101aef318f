"""Rendering of missing figures into the store, one after the other or several at a time.

While a figure is sampled, its finished frames are encoded, and the previous figure is completed.
Each clip is stored as soon as it is done. A failed figure does not stop the others. If the machine
lacks something, or the user stops the build, the others stop at their next frame and leave no
files.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sitegen.builder.cache import Store
from sitegen.builder.plan import PlannedFigure
from sitegen.builder.timings import Eta
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import (
    PlatformError,
    PlugInError,
    SitegenError,
    TargetError,
    together,
    with_message,
)
from sitegen.core.progress import Advance, Reporter
from sitegen.figures.base import Figure
from sitegen.figures.registry import figure_kinds, plug_in_errors
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.manifest import MediaFile, Record
from sitegen.models.registry import ModelSource
from sitegen.sampling.provider import ModelProvider

if TYPE_CHECKING:
    from sitegen.media.encoder import ClipSpec
    from sitegen.media.frames import Frame

T = TypeVar("T")
_END = object()


class BackgroundIterator(Generic[T]):
    """Iterator over the items of `source`, which another thread produces by calling `make` once.

    An interruption reaches that thread, where the work is done.

    ahead: items that may be waiting for the consumer
    """

    def __init__(self, source: Iterable[T], ahead: int = 2) -> None:
        self._source, self._left = source, False
        self._items: queue.Queue[Any] = queue.Queue(ahead + 1)

    def make(self) -> bool:
        """Produce all items, or until the consumer leaves; return False after an error.

        The consumer raises a `SitegenError` that `source` raised. For any other exception it raises
        a TargetError that reports the interruption, and this method lets the exception pass.
        """
        end: object = TargetError("stopped, because the build was interrupted")
        try:
            for item in self._source:
                if self._left:
                    break
                self._items.put(item)
            end = _END
        except SitegenError as error:
            end = error
        finally:
            self._items.put(end)
        return end is _END

    def leave(self) -> None:
        """Stop consuming: discard waiting items and let `make` return."""
        self._left = True
        with suppress(queue.Empty):
            while True:
                self._items.get_nowait()

    def __iter__(self) -> Iterator[T]:
        """Yield the items as they become available."""
        while (item := self._items.get()) is not _END:
            if isinstance(item, SitegenError):
                raise item
            yield item


class Renderer(Protocol):
    """The interface of a renderer that the build needs."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure for rendering."""

    def pace(self, model: str) -> float:
        """Return the seconds that a model takes per image and level, measured now."""


class FigureRenderer(ModelProvider):
    """Renders figures; loads each model once."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure; its frames are rendered when they are requested.

        Raises RefusedError for weights or priors that are missing, damaged or incompatible.
        """
        return figure_kinds()[figure.kind].sample(self, figure)


RendererFactory = Callable[[Mapping[str, ModelSource], ComputeTarget], Renderer]


Encode = Callable[["Iterable[Frame]", "ClipSpec", Path], dict[str, MediaFile]]
"""Encodes frames to files in a folder."""


@dataclass(frozen=True)
class Encoder:
    """A function that encodes clips, and one that checks in advance whether it can."""

    encode: Encode
    preflight: Callable[[], None]


def x264() -> Encoder:
    """Return the encoder of clips, imported here because building pages does not need NumPy."""
    from sitegen.media import encoder

    return Encoder(encoder.encode_clip, encoder.preflight)


@dataclass(frozen=True)
class RenderExecutor:
    """Renders figures into the store.

    environment: settings and versions for the clips' records
    timed: called with the work, the cost and the seconds of each figure
    leave: called when the renderer is no longer needed, even if some figures are unfinished
    """

    renderer: Renderer
    store: Store
    report: Reporter
    environment: Mapping[str, str]
    encode: Encode
    timed: Callable[[str, int, float], None] = lambda work, cost, seconds: None
    leave: Callable[[], None] = lambda: None

    def render(
        self,
        figures: Sequence[PlannedFigure],
        workers: int,
        estimates: Callable[[], Mapping[str, float | None]] = dict,
    ) -> dict[str, Record]:
        """Render every figure, `workers` at a time; return the records by request.

        estimates: called once the models are loaded; returns the seconds for each figure, by
            request

        Raises the error of any model or call before the first figure is rendered. Errors of
        plug-ins, and later errors, are collected and raised when all other figures are finished.
        Each message names the figure's line.
        """
        with ExitStack() as ending:
            ending.callback(self.leave)
            jobs, faults = self._prepared(figures)
            if not all(isinstance(fault, PlugInError) for fault in faults):
                self._raise_all(faults)
            left = Eta(
                [each.request_digest for each in figures],
                estimates() if len(figures) > 1 else {},
                workers,
            )
            ready = [each for each in figures if each.request_digest in jobs]
            try:
                records = self._render_all(ready, workers, jobs, left)
            except SitegenError as error:
                if _ends_the_build(error):
                    raise
                faults.append(error)
            self._raise_all(faults)
            return records

    def _render_all(
        self,
        figures: Sequence[PlannedFigure],
        workers: int,
        jobs: dict[str, RenderJob],
        left: Eta,
    ) -> dict[str, Record]:
        """Render `workers` figures at a time; one worker completes a figure during the next.

        One worker samples in the calling thread only, because interruptions arrive there.
        """
        stop, turns = threading.Event(), _Turns()
        begin = turns.begin if workers == 1 else _watch
        futures: dict[Future[Record], PlannedFigure] = {}
        with ThreadPoolExecutor(max(2, workers)) as pool:
            try:
                for planned in figures:
                    job, handed = jobs.pop(planned.request_digest), list[BackgroundIterator[Any]]()
                    if workers == 1:
                        job, handed = _handed(job, stop)
                    future = pool.submit(self._render, planned, job, left, stop, begin)
                    futures[future] = planned
                    future.add_done_callback(partial(_ended, handed, stop))
                    for each in handed:
                        if not each.make():
                            break
                    if stop.is_set():
                        break
                return self._results(futures)
            except (KeyboardInterrupt, SystemExit):
                _stop_encoding(stop, futures)
                raise
            finally:
                stop.set()
                self.leave()
                pool.shutdown(cancel_futures=True)

    def _results(self, futures: Mapping[Future[Record], PlannedFigure]) -> dict[str, Record]:
        """Return the records by request, once all figures have ended.

        Raises a fatal error at once, otherwise the errors of all figures that failed.
        """
        records, faults = dict[str, Record](), dict[Future[Record], SitegenError]()
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                records[futures[future].request_digest] = future.result()
            elif isinstance(error, SitegenError) and not _ends_the_build(error):
                faults[future] = error
            else:
                raise error
        self._raise_all([faults[each] for each in futures if each in faults])
        return records

    def _prepared(
        self, figures: Sequence[PlannedFigure]
    ) -> tuple[dict[str, RenderJob], list[SitegenError]]:
        jobs: dict[str, RenderJob] = {}
        faults: list[SitegenError] = []
        for planned in figures:
            try:
                with naming(planned.figure):
                    job = self.renderer.render_job(planned.figure)
                    jobs[planned.request_digest] = _guarded(planned.figure.kind, job)
            except SitegenError as error:
                faults.append(error)
        return jobs, faults

    def _raise_all(self, faults: Sequence[SitegenError]) -> None:
        for error in faults:
            report_traceback(error, self.report)
        if faults:
            raise together(faults)

    def _render(
        self,
        planned: PlannedFigure,
        job: RenderJob,
        left: Eta,
        stop: threading.Event,
        begin: Callable[[], Callable[[], float]],
    ) -> Record:
        with naming(planned.figure), self.store.workspace() as folder:
            _refuse_if_stopped(stop)
            watch, request = begin(), planned.request_digest
            title, in_all = left.title(request, planned.figure.id), partial(left.in_all, request)
            steps = len(job.levels) * len(job.clips) + job.steps
            with self.report.rendering(title, steps, in_all) as advance:
                files = self._write_files(job, folder, advance, stop)
            clip = next(iter(job.clips.values()), None)
            record = Record(
                kind=planned.figure.kind,
                models=planned.models,
                levels=clip.spec.levels(job.levels) if clip else job.levels,
                files=files,
                results=job.results(),
                **planned.provenance(job.parameters, self.environment),
            )
            self.store.remember(planned.request_json)
            sources = {name: folder / file.path for name, file in files.items()}
            self.store.put(planned.request_digest, record, sources)
            self.timed(planned.work, planned.cost, watch())
            left.done(planned.request_digest)
            return record

    def _write_files(
        self, job: RenderJob, folder: Path, advance: Advance, stop: threading.Event
    ) -> dict[str, MediaFile]:
        """Make all files of a job in `folder`, and return them by name; variants add theirs to
        the name.
        """
        files: dict[str, MediaFile] = {}
        for _ in _counted(job.work, advance, stop):
            pass
        for variant, clip in job.clips.items():
            inside = folder / variant
            inside.mkdir(exist_ok=True)
            made = self.encode(_counted(clip.frames, advance, stop), clip.spec, inside)
            wanted = len(clip.spec.levels(job.levels))
            if made["mp4"].frames != wanted:
                raise TargetError(f"{made['mp4'].frames} frames for {wanted} levels")
            for name, file in made.items():
                ending = f"-{variant}" if variant else ""
                path = folder / f"{Path(file.path).stem}{ending}{Path(file.path).suffix}"
                (inside / file.path).replace(path)
                files[f"{name}{ending}"] = replace(file, path=path.name)
        files |= {name: draw(folder) for name, draw in job.stills.items()}
        if not {"mp4", "image", "weights"} & files.keys():
            raise ValueError("it has neither a clip nor a still named image")
        for name, file in files.items():
            if not (folder / file.path).is_file():
                raise ValueError(f"{name} was not written to the given folder")
        return files


def _watch() -> Callable[[], float]:
    started = time.monotonic()
    return lambda: time.monotonic() - started


@dataclass
class _Turns:
    """Stopwatches for overlapping figures: each returns the time that it added to the total."""

    _ended: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> Callable[[], float]:
        """Start a stopwatch that returns the seconds since now or since another figure ended."""
        started = time.monotonic()

        def seconds() -> float:
            with self._guard:
                since, self._ended = max(started, self._ended), time.monotonic()
                return self._ended - since

        return seconds


def _stop_encoding(stop: threading.Event, futures: Iterable[Future[Record]]) -> None:
    """Stop the figures, and kill what encodes them until all have ended."""
    from sitegen.media import encoder

    stop.set()
    encoder.stop_encoding()
    while wait(futures, 0.1).not_done:
        encoder.stop_encoding()  # a clip runs one program after the other


def _handed(
    job: RenderJob, stop: threading.Event
) -> tuple[RenderJob, list[BackgroundIterator[Any]]]:
    """Return the job with its sampling in other threads, and the iterators that run there.

    Those are its work and its first clip; the other clips show states sampled for the first. A clip
    that is only drawn does not need a thread.
    """
    work = BackgroundIterator(_counted(job.work, lambda: None, stop))
    made: list[BackgroundIterator[Any]] = [work]
    clips = dict(job.clips)
    for name, clip in [(name, clip) for name, clip in clips.items() if clip.sampled][:1]:
        sampled = _counted(clip.frames, lambda: None, stop)
        frames = BackgroundIterator(frame.copy() for frame in sampled)
        clips[name] = ClipSource(clip.spec, iter(frames))
        made.append(frames)
    return replace(job, work=work, clips=clips), made


def _guarded(kind: str, job: RenderJob) -> RenderJob:
    """Return a job that raises a SitegenError for any exception of a plug-in's steps or frames."""

    def steps(source: Iterable[T]) -> Iterator[T]:
        with plug_in_errors(kind):
            yield from source

    clips = {name: replace(each, frames=steps(each.frames)) for name, each in job.clips.items()}
    return replace(job, work=steps(job.work), clips=clips)


def _ends_the_build(error: BaseException) -> bool:
    return isinstance(error, PlatformError) or not isinstance(error, SitegenError)


def _ended(
    handed: list[BackgroundIterator[Any]], stop: threading.Event, future: Future[Record]
) -> None:
    """Stop the iterators of an ended figure, and the other figures after a fatal error."""
    error = None if future.cancelled() else future.exception()
    if error is not None and _ends_the_build(error):
        stop.set()
    for each in handed:
        each.leave()


def _counted(steps: Iterable[T], advance: Advance, stop: threading.Event) -> Iterator[T]:
    for step in steps:
        _refuse_if_stopped(stop)
        yield step
        advance()


def _refuse_if_stopped(stop: threading.Event) -> None:
    if stop.is_set():
        raise TargetError("stopped, because the build ended or was interrupted")


@contextmanager
def naming(figure: Figure) -> Iterator[None]:
    """Prefix errors of the block with the figure's line; keep their class."""
    try:
        with plug_in_errors(figure.kind):
            yield
    except SitegenError as error:
        raise named(figure, error) from error


def named(figure: Figure, error: SitegenError) -> SitegenError:
    """Return the error, as the cause of one that has the figure's line before its message."""
    where = f"{figure.place.file}:{figure.place.line}"
    located = with_message(error, f"{where}: {figure.id}: {error}")
    located.__cause__ = error
    return located


def report_traceback(error: BaseException, report: Reporter) -> None:
    """Report the traceback of a plug-in's exception, if the error has one, once."""
    cause: BaseException | None = error
    while isinstance(cause, PlugInError) and not cause.trace:
        cause = cause.__cause__
    if isinstance(cause, PlugInError):
        report.detail(cause.trace)
        cause.trace = ""


@contextmanager
def tracebacks(report: Reporter) -> Iterator[None]:
    """Report the tracebacks of plug-ins' exceptions when an error leaves the block."""
    try:
        yield
    except PlugInError as error:
        report_traceback(error, report)
        raise
