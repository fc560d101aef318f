"""Rendering: figures that the store lacks, one after the other or several at a time, into it.

While a figure is sampled, what was drawn of it is encoded, and the one before is finished. Each
clip is kept as soon as it is done. A figure that fails does not stop the others. When the machine
lacks something, or the user stops the build, the others stop at their next frame and leave nothing
behind.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sitegen.builder.cache import Store
from sitegen.builder.plan import PlannedFigure
from sitegen.builder.timings import Eta
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError, PlugInError, SitegenError, TargetError, with_message
from sitegen.core.prefetch import BackgroundIterator
from sitegen.core.progress import Advance, Reporter
from sitegen.figures.base import Figure
from sitegen.figures.registry import plug_in_errors
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.manifest import MediaFile, Record
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from sitegen.media.encoder import ClipSpec
    from sitegen.media.frames import Frame

T = TypeVar("T")


class Renderer(Protocol):
    """What a build needs of what renders its figures."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure to be rendered."""

    def pace(self, model: str) -> float:
        """Seconds that a model takes for one image at one level, measured now."""


RendererFactory = Callable[[Mapping[str, ModelSource], ComputeTarget], Renderer]


def encode_clip(frames: Iterable[Frame], spec: ClipSpec, folder: Path) -> dict[str, MediaFile]:
    """`encoder.encode_clip`, which reads NumPy; laying out pages needs none."""
    from sitegen.media import encoder

    return encoder.encode_clip(frames, spec, folder)


def preflight() -> None:
    """`encoder.preflight`."""
    from sitegen.media import encoder

    encoder.preflight()


def stop_encoding() -> None:
    """`encoder.stop_encoding`."""
    from sitegen.media import encoder

    encoder.stop_encoding()


@dataclass(frozen=True)
class Encoder:
    """What makes files of frames, as `encode_clip` does, and sees before that it can."""

    encode: Callable[[Iterable[Frame], ClipSpec, Path], dict[str, MediaFile]] = encode_clip
    preflight: Callable[[], None] = preflight


@dataclass(frozen=True)
class RenderExecutor:
    """Renders figures into the store.

    environment: what the clips are made with, for their records
    timed: told how many seconds each figure took
    leave: called when nothing more is wanted of the renderer, also while others are at work
    """

    renderer: Renderer
    store: Store
    report: Reporter
    environment: Mapping[str, str]
    encode: Callable[[Iterable[Frame], ClipSpec, Path], dict[str, MediaFile]] = encode_clip
    timed: Callable[[PlannedFigure, float], None] = lambda planned, seconds: None
    leave: Callable[[], None] = lambda: None

    def render(
        self,
        figures: Sequence[PlannedFigure],
        workers: int,
        estimates: Callable[[], Mapping[str, float | None]] = dict,
    ) -> dict[str, Record]:
        """Render every figure, `workers` at a time; the records by request.

        estimates: tells the seconds that each takes, by request, when the models are loaded

        Raises what is wrong with any of them, model or call, before the first is rendered; later,
        when all others are finished, the errors of the figures that failed. Each message has the
        figure's place on its page.
        """
        with ExitStack() as ending:
            ending.callback(self.leave)
            jobs = self._prepared(figures)
            left = Eta(figures, estimates() if len(figures) > 1 else {}, workers)
            return self._render_all(figures, workers, jobs, left)

    def _render_all(
        self,
        figures: Sequence[PlannedFigure],
        workers: int,
        jobs: dict[str, RenderJob],
        left: Eta,
    ) -> dict[str, Record]:
        if workers == 1:
            return self._render_in_turn(figures, jobs, left)
        stop = threading.Event()
        with ThreadPoolExecutor(workers) as pool:

            def begun(each: PlannedFigure) -> Future[Record]:
                job = jobs.pop(each.request_digest)
                return pool.submit(self._render, each, job, left, stop, _watch)

            futures = {begun(each): each for each in figures}
            try:
                return self._results(futures)
            finally:
                stop.set()
                self.leave()
                pool.shutdown(cancel_futures=True)

    def _render_in_turn(
        self, figures: Sequence[PlannedFigure], jobs: dict[str, RenderJob], left: Eta
    ) -> dict[str, Record]:
        """Sample one figure after the other, and finish the one before in the meantime.

        Only the calling thread samples, where an interruption arrives.
        """
        stop, ended, turns = threading.Event(), threading.Event(), _Turns()
        futures: dict[Future[Record], PlannedFigure] = {}
        with ThreadPoolExecutor(2) as pool:
            try:
                for planned in figures:
                    job, handed = _handed(jobs.pop(planned.request_digest), ended)
                    future = pool.submit(self._render, planned, job, left, stop, turns.begin)
                    futures[future] = planned
                    future.add_done_callback(partial(_ended, handed, ended))
                    for each in handed:
                        if not each.make():
                            break
                    if ended.is_set():
                        break
                return self._results(futures)
            except (KeyboardInterrupt, SystemExit):
                stop_encoding()
                raise
            finally:
                stop.set()

    def _results(self, futures: Mapping[Future[Record], PlannedFigure]) -> dict[str, Record]:
        """Return the records by request, once all figures have ended.

        Raises the error that ends the build at once, otherwise those of all figures that failed.
        """
        records: dict[str, Record] = {}
        faults: dict[str, SitegenError] = {}
        for future in as_completed(futures):
            request, error = futures[future].request_digest, future.exception()
            if error is None:
                records[request] = future.result()
            elif isinstance(error, SitegenError) and not _ends_the_build(error):
                faults[request] = error
            else:
                raise error
        self._raise_all(
            [
                faults[each.request_digest]
                for each in futures.values()
                if each.request_digest in faults
            ]
        )
        return records

    def _prepared(self, figures: Sequence[PlannedFigure]) -> dict[str, RenderJob]:
        """Return the jobs by request: the models are loaded, nothing is sampled yet."""
        jobs: dict[str, RenderJob] = {}
        faults: list[SitegenError] = []
        for planned in figures:
            try:
                with naming(planned.figure):
                    job = self.renderer.render_job(planned.figure)
                jobs[planned.request_digest] = _guarded(planned.figure.kind, job)
            except SitegenError as error:
                faults.append(error)
        self._raise_all(faults)
        return jobs

    def _raise_all(self, faults: Sequence[SitegenError]) -> None:
        """Raise one error with the messages of all, if there are any; report tracebacks."""
        for error in faults:
            report_traceback(error, self.report)
        if faults:
            raise with_message(faults[0], "\n".join(map(str, faults)))

    def _render(
        self,
        planned: PlannedFigure,
        job: RenderJob,
        left: Eta,
        stop: threading.Event,
        begin: Callable[[], Callable[[], float]],
    ) -> Record:
        """Make a figure's files and keep them; `begin` starts a watch that tells its seconds."""
        with naming(planned.figure), self.store.workspace() as folder:
            watch = begin()
            with self.report.rendering(left.title(planned), job.length) as advance:
                files = self._write_files(job, folder, advance, stop)
            record = Record(
                kind=planned.figure.kind,
                models=planned.models,
                seed=int(job.parameters.get("seed", 0)),
                parameters=job.parameters,
                levels=job.shown_levels,
                files=files,
                results=job.results(),
                environment=self.environment,
            )
            self.store.remember(planned.request_json)
            sources = {name: folder / file.path for name, file in files.items()}
            self.store.put(planned.request_digest, record, sources)
            seconds = watch()
            self.timed(planned, seconds)
            left.done(planned, seconds)
            return record

    def _write_files(
        self, job: RenderJob, folder: Path, advance: Advance, stop: threading.Event
    ) -> dict[str, MediaFile]:
        """Make all files of a job in `folder`, by name; a variant carries it in their names."""
        files: dict[str, MediaFile] = {}
        for _ in _counted(job.work, advance, stop):
            pass
        for variant, clip in job.clips.items():
            inside = folder / variant
            inside.mkdir(exist_ok=True)
            made = self.encode(_counted(clip.frames, advance, stop), clip.spec, inside)
            if made["mp4"].frames != len(clip.spec.levels(job.levels)):
                raise TargetError(f"{made['mp4'].frames} frames for {len(job.levels)} levels")
            for name, file in made.items():
                ending = f"-{variant}" if variant else ""
                path = folder / f"{Path(file.path).stem}{ending}{Path(file.path).suffix}"
                (inside / file.path).replace(path)
                files[f"{name}{ending}"] = replace(file, path=path.name)
        return files | {name: draw(folder) for name, draw in job.stills.items()}


def _watch() -> Callable[[], float]:
    """Start a watch, which tells the seconds since."""
    started = time.monotonic()
    return lambda: time.monotonic() - started


@dataclass
class _Turns:
    """Watches of figures that end one after the other: each tells what it has added to all."""

    _ended: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> Callable[[], float]:
        """Start a watch: it tells the seconds since, or since another ended if that is later."""
        started = time.monotonic()

        def seconds() -> float:
            with self._guard:
                since, self._ended = max(started, self._ended), time.monotonic()
                return self._ended - since

        return seconds


def _nothing() -> None:
    """Tell nobody."""


def _handed(
    job: RenderJob, stop: threading.Event
) -> tuple[RenderJob, list[BackgroundIterator[Any]]]:
    """A job whose sampling is done elsewhere, and that sampling: of its work and its first clip.

    What other clips show was sampled for the first. A clip that is only drawn is not waited for.
    """
    work = BackgroundIterator(_counted(job.work, _nothing, stop))
    made: list[BackgroundIterator[Any]] = [work]
    clips = dict(job.clips)
    for name, clip in [(name, clip) for name, clip in clips.items() if clip.sampled][:1]:
        frames = BackgroundIterator(frame.copy() for frame in _counted(clip.frames, _nothing, stop))
        clips[name] = ClipSource(clip.spec, iter(frames))
        made.append(frames)
    return replace(job, work=work, clips=clips), made


def _guarded(kind: str, job: RenderJob) -> RenderJob:
    """Return a job whose steps and frames raise a SitegenError for what a plug-in raises."""

    def steps(source: Iterable[T]) -> Iterator[T]:
        with plug_in_errors(kind):
            yield from source

    clips = {name: replace(each, frames=steps(each.frames)) for name, each in job.clips.items()}
    return replace(job, work=steps(job.work), clips=clips)


def _ends_the_build(error: BaseException) -> bool:
    """Whether no other figure can be made after an error: the machine's, or a bug."""
    return isinstance(error, PlatformError) or not isinstance(error, SitegenError)


def _ended(
    handed: list[BackgroundIterator[Any]], ended: threading.Event, future: Future[Record]
) -> None:
    """Ask for nothing more of a figure, and of those after it if the build cannot go on."""
    error = future.exception()
    if error is not None and _ends_the_build(error):
        ended.set()
    for each in handed:
        each.leave()


def _counted(steps: Iterable[T], advance: Advance, stop: threading.Event) -> Iterator[T]:
    """The steps, each told when it is done, until the build is stopped."""
    for step in steps:
        if stop.is_set():
            raise TargetError("stopped, because the build ended or was interrupted")
        yield step
        advance()


@contextmanager
def naming(figure: Figure) -> Iterator[None]:
    """Give errors of the block the figure's place on its page; their class stays."""
    try:
        with plug_in_errors(figure.kind):
            yield
    except SitegenError as error:
        where = f"{figure.place.file}:{figure.place.line}"
        raise with_message(error, f"{where}: {figure.id}: {error}") from error


def report_traceback(error: BaseException, report: Reporter) -> None:
    """Report the traceback of the exception of a plug-in that an error is about, if it is."""
    cause: BaseException | None = error
    while isinstance(cause, PlugInError):
        cause = cause.__cause__
    if cause is not None and isinstance(error, PlugInError):
        report.detail("".join(traceback.format_exception(cause)).rstrip())


@contextmanager
def tracebacks(report: Reporter) -> Iterator[None]:
    """Report the tracebacks of plug-ins for errors that leave the block."""
    try:
        yield
    except PlugInError as error:
        report_traceback(error, report)
        raise
