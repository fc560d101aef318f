"""Filming: figures that the store lacks, one after the other or several at a time, into it.

Each clip is kept as soon as it is done. When one fails, or the user stops the build, the others
under way stop at their next frame and leave nothing behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sitegen.encode import encode_clip
from sitegen.errors import SitegenError, TargetError
from sitegen.figures import Figure
from sitegen.frames import Frame
from sitegen.media import MediaFile, Record
from sitegen.models import ModelSource
from sitegen.plan import Equipment, Job, Shot
from sitegen.report import Advance, Reporter
from sitegen.store import Store


class Camera(Protocol):
    """What a build needs of a studio."""

    def shoot(self, figure: Figure) -> Shot:
        """Prepare a figure to be filmed."""


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

        Raises the error of the first figure that fails, with its place on the page.
        """
        stop = threading.Event()
        if workers == 1 or len(jobs) == 1:
            return {job.request: self._film(job, stop) for job in jobs}
        with ThreadPoolExecutor(workers) as pool:
            futures = {pool.submit(self._film, job, stop): job for job in jobs}
            try:
                return {futures[done].request: done.result() for done in as_completed(futures)}
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)

    def _film(self, job: Job, stop: threading.Event) -> Record:
        """Film one figure into the store."""
        with naming(job.figure), self.store.workspace() as folder:
            shot = self.camera.shoot(job.figure)
            title = f"filming {job.figure.id}"
            started = time.monotonic()
            with self.report.filming(title, len(shot.levels)) as advance:
                files = encode_clip(_counted(shot, advance, stop), shot.clip, folder)
            _refuse_length(shot, files["mp4"])
            record = _record(job, shot, files)
            assert job.key is not None
            sources = {name: folder / file.path for name, file in files.items()}
            self.store.put(job.key, record, sources)
            self.timed(job, time.monotonic() - started)
            return record


@contextmanager
def naming(figure: Figure) -> Iterator[None]:
    """Give errors of the block the figure's place on its page; their kind stays."""
    try:
        yield
    except SitegenError as error:
        place = figure.place
        raise type(error)(f"{place.file}:{place.line}: {figure.id}: {error}") from error


def _counted(shot: Shot, advance: Advance, stop: threading.Event) -> Iterator[Frame]:
    """The frames, until the build is stopped."""
    for frame in shot.frames:
        if stop.is_set():
            raise TargetError("stopped, because another figure failed or the build was interrupted")
        yield frame
        advance()


def _refuse_length(shot: Shot, clip: MediaFile) -> None:
    if clip.frames != len(shot.levels):
        raise TargetError(f"{clip.frames} frames for {len(shot.levels)} levels")


def _record(job: Job, shot: Shot, files: Mapping[str, MediaFile]) -> Record:
    seed = int(shot.parameters.get("seed", 0))
    return Record(job.figure.kind, job.models, seed, shot.parameters, shot.levels, files)
