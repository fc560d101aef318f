"""Rendering: figures that the store lacks, one after the other or several at a time, into it.

Each clip is kept as soon as it is done. When one fails, or the user stops the build, the others
under way stop at their next frame and leave nothing behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from sitegen.build.cache import Store
from sitegen.build.plan import PlannedFigure
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import SitegenError, TargetError
from sitegen.core.progress import Advance, Reporter
from sitegen.figures.base import Figure
from sitegen.media.encoder import encode_clip
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.manifest import MediaFile, Record
from sitegen.models.registry import ModelSource

T = TypeVar("T")


class Renderer(Protocol):
    """What a build needs of what renders its figures."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure to be rendered."""

    def pace(self, model: str) -> float:
        """Seconds that a model takes for one image at one level, measured now."""


RendererFactory = Callable[[Mapping[str, ModelSource], ComputeTarget], Renderer]


@dataclass(frozen=True)
class RenderExecutor:
    """What renders, where the clips go, where progress is told, and who is told the seconds."""

    renderer: Renderer
    store: Store
    report: Reporter
    timed: Callable[[PlannedFigure, float], None] = lambda planned, seconds: None

    def render(self, figures: Sequence[PlannedFigure], workers: int) -> dict[str, Record]:
        """Render every figure, `workers` at a time; the records by request.

        Raises what is wrong with any of them, model or call, before the first is rendered; later
        the error of the first figure that fails. Each is told with its place on the page.
        """
        stop = threading.Event()
        jobs = self._prepared(figures)
        if workers == 1 or len(figures) == 1:
            return {
                planned.request_digest: self._render(planned, jobs, stop) for planned in figures
            }
        with ThreadPoolExecutor(workers) as pool:
            futures = {
                pool.submit(self._render, planned, jobs, stop): planned for planned in figures
            }
            try:
                return {
                    futures[done].request_digest: done.result() for done in as_completed(futures)
                }
            finally:
                stop.set()
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
        self, planned: PlannedFigure, jobs: dict[str, RenderJob], stop: threading.Event
    ) -> Record:
        """Render one figure into the store; its job is used up."""
        job = jobs.pop(planned.request_digest)
        with naming(planned.figure), self.store.workspace() as folder:
            started = time.monotonic()
            with self.report.rendering(f"rendering {planned.figure.id}", job.length) as advance:
                files = _write_files(job, folder, _Pace(advance, stop))
            record = _record(planned, job, files)
            assert planned.key is not None
            sources = {name: folder / file.path for name, file in files.items()}
            self.store.remember(planned.request_json)
            self.store.put(planned.key, record, sources)
            self.timed(planned, time.monotonic() - started)
            return record


@dataclass(frozen=True)
class _Pace:
    """Tells each step that is taken, and takes no more when the build is stopped."""

    advance: Advance
    stop: threading.Event

    def counted(self, steps: Iterable[T]) -> Iterator[T]:
        """The steps, until the build is stopped."""
        for step in steps:
            if self.stop.is_set():
                raise TargetError(
                    "stopped, because another figure failed or the build was interrupted"
                )
            yield step
            self.advance()


def _write_files(job: RenderJob, folder: Path, pace: _Pace) -> dict[str, MediaFile]:
    """Make all files of a job in `folder`, by name."""
    files: dict[str, MediaFile] = {}
    for _ in pace.counted(job.work):
        pass
    for variant, footage in job.clips.items():
        files |= _clip(job, variant, footage, folder, pace)
    return files | {name: draw(folder) for name, draw in job.stills.items()}


def _clip(
    job: RenderJob, variant: str, footage: ClipSource, folder: Path, pace: _Pace
) -> dict[str, MediaFile]:
    """Encode one clip; the files of a variant carry it in their names."""
    if not variant:
        files = encode_clip(pace.counted(footage.frames), footage.spec, folder)
        _refuse_length(job, files["mp4"])
        return files
    (folder / variant).mkdir()
    files = encode_clip(pace.counted(footage.frames), footage.spec, folder / variant)
    _refuse_length(job, files["mp4"])
    return {
        f"{name}-{variant}": _renamed(file, folder / variant, folder, variant)
        for name, file in files.items()
    }


def _renamed(file: MediaFile, source: Path, folder: Path, variant: str) -> MediaFile:
    name = Path(file.path)
    renamed = f"{name.stem}-{variant}{name.suffix}"
    (source / file.path).replace(folder / renamed)
    return replace(file, path=renamed)


@contextmanager
def naming(figure: Figure) -> Iterator[None]:
    """Give errors of the block the figure's place on its page; their kind stays."""
    try:
        yield
    except SitegenError as error:
        place = figure.place
        raise type(error)(f"{place.file}:{place.line}: {figure.id}: {error}") from error


def _refuse_length(job: RenderJob, clip: MediaFile) -> None:
    if clip.frames != len(job.levels):
        raise TargetError(f"{clip.frames} frames for {len(job.levels)} levels")


def _record(planned: PlannedFigure, job: RenderJob, files: Mapping[str, MediaFile]) -> Record:
    return Record(
        kind=planned.figure.kind,
        models=planned.models,
        seed=int(job.parameters.get("seed", 0)),
        parameters=job.parameters,
        levels=job.levels,
        files=files,
        results=job.results(),
    )
