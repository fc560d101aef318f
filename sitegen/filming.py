"""Filming: figures that the store lacks, one after the other or several at a time, into it.

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

from sitegen.encode import encode_clip
from sitegen.errors import SitegenError, TargetError
from sitegen.figures import Figure
from sitegen.media import MediaFile, Record
from sitegen.models import ModelSource
from sitegen.plan import Equipment, Footage, Job, Shot
from sitegen.report import Advance, Reporter
from sitegen.store import Store

T = TypeVar("T")


class Camera(Protocol):
    """What a build needs of a studio."""

    def shoot(self, figure: Figure) -> Shot:
        """Prepare a figure to be filmed."""

    def pace(self, model: str) -> float:
        """Seconds that a model takes for one image at one level, measured now."""


CameraFactory = Callable[[Mapping[str, ModelSource], Equipment], Camera]


@dataclass(frozen=True)
class Crew:
    """Who films, where the clips go, where progress is told, and who is told the seconds."""

    camera: Camera
    store: Store
    report: Reporter
    timed: Callable[[Job, float], None] = lambda job, seconds: None

    def film(self, jobs: Sequence[Job], workers: int) -> dict[str, Record]:
        """Film every job, `workers` at a time; the records by request.

        Raises what is wrong with any of them, model or call, before the first is filmed; later the
        error of the first figure that fails. Each is told with its place on the page.
        """
        stop = threading.Event()
        shots = self._prepared(jobs)
        if workers == 1 or len(jobs) == 1:
            return {job.request: self._film(job, shots, stop) for job in jobs}
        with ThreadPoolExecutor(workers) as pool:
            futures = {pool.submit(self._film, job, shots, stop): job for job in jobs}
            try:
                return {futures[done].request: done.result() for done in as_completed(futures)}
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)

    def _prepared(self, jobs: Sequence[Job]) -> dict[str, Shot]:
        """The shots of all jobs, by request: their models are loaded, nothing is sampled yet."""
        shots: dict[str, Shot] = {}
        faults: list[SitegenError] = []
        for job in jobs:
            try:
                with naming(job.figure):
                    shots[job.request] = self.camera.shoot(job.figure)
            except SitegenError as error:
                faults.append(error)
        if faults:
            raise type(faults[0])("\n".join(map(str, faults)))
        return shots

    def _film(self, job: Job, shots: dict[str, Shot], stop: threading.Event) -> Record:
        """Film one figure into the store; its shot is used up."""
        shot = shots.pop(job.request)
        with naming(job.figure), self.store.workspace() as folder:
            started = time.monotonic()
            with self.report.filming(f"filming {job.figure.id}", shot.length) as advance:
                files = _develop(shot, folder, _Pace(advance, stop))
            record = _record(job, shot, files)
            assert job.key is not None
            sources = {name: folder / file.path for name, file in files.items()}
            self.store.remember(job.asked)
            self.store.put(job.key, record, sources)
            self.timed(job, time.monotonic() - started)
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


def _develop(shot: Shot, folder: Path, pace: _Pace) -> dict[str, MediaFile]:
    """Make all files of a shot in `folder`, by name."""
    files: dict[str, MediaFile] = {}
    for _ in pace.counted(shot.work):
        pass
    for variant, footage in shot.clips.items():
        files |= _clip(shot, variant, footage, folder, pace)
    return files | {name: draw(folder) for name, draw in shot.stills.items()}


def _clip(
    shot: Shot, variant: str, footage: Footage, folder: Path, pace: _Pace
) -> dict[str, MediaFile]:
    """Encode one clip; the files of a variant carry it in their names."""
    if not variant:
        files = encode_clip(pace.counted(footage.frames), footage.spec, folder)
        _refuse_length(shot, files["mp4"])
        return files
    (folder / variant).mkdir()
    files = encode_clip(pace.counted(footage.frames), footage.spec, folder / variant)
    _refuse_length(shot, files["mp4"])
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


def _refuse_length(shot: Shot, clip: MediaFile) -> None:
    if clip.frames != len(shot.levels):
        raise TargetError(f"{clip.frames} frames for {len(shot.levels)} levels")


def _record(job: Job, shot: Shot, files: Mapping[str, MediaFile]) -> Record:
    return Record(
        kind=job.figure.kind,
        models=job.models,
        seed=int(shot.parameters.get("seed", 0)),
        parameters=shot.parameters,
        levels=shot.levels,
        files=files,
        results=shot.results(),
    )
