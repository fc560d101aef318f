"""Rendering: figures that the store lacks, one after the other or several at a time, into it.

Each clip is kept as soon as it is done. When one fails, or the user stops the build, the others
under way stop at their next frame and leave nothing behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from sitegen.build.cache import Store
from sitegen.build.plan import PlannedFigure
from sitegen.build.timings import Countdown
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import SitegenError, TargetError
from sitegen.core.progress import Advance, Reporter
from sitegen.figures.base import Figure
from sitegen.media.jobs import RenderJob
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

        Raises what is wrong with any of them, model or call, before the first is rendered; later
        the error of the first figure that fails. Each is told with its place on the page.
        """
        with ExitStack() as ending:
            ending.callback(self.leave)
            jobs = self._prepared(figures)
            left = Countdown(figures, estimates() if len(figures) > 1 else {}, workers)
            return self._render_all(figures, workers, jobs, left)

    def _render_all(
        self,
        figures: Sequence[PlannedFigure],
        workers: int,
        jobs: dict[str, RenderJob],
        left: Countdown,
    ) -> dict[str, Record]:
        stop = threading.Event()
        if workers == 1 or len(figures) == 1:
            return {each.request_digest: self._render(each, jobs, left, stop) for each in figures}
        with ThreadPoolExecutor(workers) as pool:
            futures = {pool.submit(self._render, each, jobs, left, stop): each for each in figures}
            try:
                ended = as_completed(futures)
                return {futures[each].request_digest: each.result() for each in ended}
            finally:
                stop.set()
                self.leave()
                pool.shutdown(cancel_futures=True)

    def _prepared(self, figures: Sequence[PlannedFigure]) -> dict[str, RenderJob]:
        """What is to be done, by request: the models are loaded, nothing is sampled yet."""
        jobs: dict[str, RenderJob] = {}
        faults: list[SitegenError] = []
        for planned in figures:
            try:
                with naming(planned.figure):
                    jobs[planned.request_digest] = self.renderer.render_job(planned.figure)
            except SitegenError as error:
                faults.append(error)
        if faults:
            raise type(faults[0])("\n".join(map(str, faults)))
        return jobs

    def _render(
        self,
        planned: PlannedFigure,
        jobs: dict[str, RenderJob],
        left: Countdown,
        stop: threading.Event,
    ) -> Record:
        job = jobs.pop(planned.request_digest)
        with naming(planned.figure), self.store.workspace() as folder:
            started = time.monotonic()
            with self.report.rendering(left.title(planned), job.length) as advance:
                files = self._write_files(job, folder, advance, stop)
            record = Record(
                kind=planned.figure.kind,
                models=planned.models,
                seed=int(job.parameters.get("seed", 0)),
                parameters=job.parameters,
                levels=job.levels,
                files=files,
                results=job.results(),
                environment=self.environment,
            )
            self.store.remember(planned.request_json)
            sources = {name: folder / file.path for name, file in files.items()}
            self.store.put(planned.request_digest, record, sources)
            seconds = time.monotonic() - started
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
            if made["mp4"].frames != len(job.levels):
                raise TargetError(f"{made['mp4'].frames} frames for {len(job.levels)} levels")
            for name, file in made.items():
                ending = f"-{variant}" if variant else ""
                path = folder / f"{Path(file.path).stem}{ending}{Path(file.path).suffix}"
                (inside / file.path).replace(path)
                files[f"{name}{ending}"] = replace(file, path=path.name)
        return files | {name: draw(folder) for name, draw in job.stills.items()}


def _counted(steps: Iterable[T], advance: Advance, stop: threading.Event) -> Iterator[T]:
    """The steps, each told when it is done, until the build is stopped."""
    for step in steps:
        if stop.is_set():
            raise TargetError("stopped, because another figure failed or the build was interrupted")
        yield step
        advance()


@contextmanager
def naming(figure: Figure) -> Iterator[None]:
    """Give errors of the block the figure's place on its page; their kind stays."""
    try:
        yield
    except SitegenError as error:
        where = f"{figure.place.file}:{figure.place.line}"
        raise type(error)(f"{where}: {figure.id}: {error}") from error
