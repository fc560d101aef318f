"""Rendering of figures into the store: sample, encode, and store each as soon as it is done.

A figure that fails does not stop the others. If the machine lacks something, or the user stops the
build, all stop and leave no files.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Protocol, TypeVar

from sitegen.builder.plan import PlannedFigure, naming
from sitegen.builder.store import Records, Store
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError, PlugInError, SitegenError, TargetError, together
from sitegen.core.progress import Advance, Reporter
from sitegen.figures.base import Figure
from sitegen.media.manifest import ClipSource, MediaFile, Record, RenderJob
from sitegen.models.registry import ModelSource
from sitegen.sampling.provider import ModelProvider

T = TypeVar("T")
Encode = Callable[[ClipSource, Path, Callable[[], None]], dict[str, MediaFile]]
"""Encodes a clip to files in a folder; the function is called before each frame, and may raise."""

FIRST_FIGURES = 2
"""Number of figures in the store after which a new site can be opened."""

STOP_S = 0.5
"""Seconds that an interrupted build waits for steps of networks that have begun."""


class Renderer(Protocol):
    """The interface of a renderer that the build needs."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure for rendering."""


class FigureRenderer(ModelProvider):
    """Renders figures; loads each model once."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure; its frames are rendered when they are requested.

        Raises RefusedError for weights or priors that are missing, damaged or incompatible.
        """
        return figure.spec.sample(self, figure)


RendererFactory = Callable[[Mapping[str, ModelSource], ComputeTarget], Renderer]


@dataclass
class Rendering:
    """Renders figures into a store.

    environment: settings and versions for the clips' records
    jobs: number of figures to sample at a time
    show_first: called when the first figures are in the store and more follow
    seconds: measured seconds of each finished figure, by key
    """

    renderer: Renderer
    store: Store
    encode: Encode
    report: Reporter
    environment: Mapping[str, str]
    jobs: int = 1
    show_first: Callable[[], None] = lambda: None
    seconds: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    def render_all(self, figures: Sequence[PlannedFigure]) -> Records:
        """Render figures; return their records by key. Call it once.

        Raises one error for all figures that failed, when the others are finished; PlatformError
        at once.
        """

        def attempt(number: int, figure: PlannedFigure) -> Record | SitegenError:
            counted = f"figure {number} of {len(figures)}:" if len(figures) > 1 else "rendering"
            try:
                return self.render(figure, f"{counted} {figure.figure.id}", sampling)
            except PlatformError:
                self._stop.set()
                raise
            except SitegenError as error:
                if isinstance(error, PlugInError):
                    self.report.detail(error.trace)
                return error

        sampling = threading.Semaphore(self.jobs)
        # One more than are sampled: a clip is encoded on one core while the next is sampled.
        pool, seconds = ThreadPoolExecutor(self.jobs + 1), None
        tasks = [pool.submit(attempt, *numbered) for numbered in enumerate(figures, 1)]
        try:
            outcomes = [task.result() for task in tasks[:FIRST_FIGURES]]
            failed = any(isinstance(outcome, SitegenError) for outcome in outcomes)
            if len(outcomes) < len(tasks) and not failed:
                self.show_first()
            outcomes += [task.result() for task in tasks[FIRST_FIGURES:]]
        except (KeyboardInterrupt, SystemExit):
            seconds = STOP_S
            raise
        finally:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            wait([task for task in tasks if not task.cancelled()], seconds)
        errors = [outcome for outcome in outcomes if isinstance(outcome, SitegenError)]
        if errors:
            raise together(errors)
        pairs = zip(figures, outcomes, strict=True)
        return {figure.key: record for figure, record in pairs if isinstance(record, Record)}

    def render(self, planned: PlannedFigure, title: str, turns: threading.Semaphore) -> Record:
        """Render a figure into the store; return its record. Errors name the figure's line.

        turns: held while the figure is sampled
        """
        with naming(planned.figure), self.store.workspace() as folder, ExitStack() as sampling:
            sampling.enter_context(turns)
            self._refuse_if_stopped()
            started = time.monotonic()
            job = self.renderer.render_job(planned.figure)
            files: dict[str, MediaFile] = {}
            with self.report.rendering(title, job.steps + len(job.levels)) as advance:
                for _ in self._counted(job.work, advance):
                    pass
                if job.clip:
                    # When the last state is sampled, another figure may be, while this one is
                    # encoded.
                    states = self._counted(job.clip.states, advance, sampling.close)
                    clip = replace(job.clip, states=states)
                    files |= self.encode(clip, folder, self._refuse_if_stopped)
                files |= {name: draw(folder) for name, draw in job.stills.items()}
            order = job.clip.order if job.clip else ()
            record = Record(
                kind=planned.figure.kind,
                models=planned.models,
                levels=tuple(job.levels[n] for n in order) if job.levels else (),
                files=files,
                cells=job.clip.cells if job.clip else None,
                results=job.results(),
                note=job.note,
                **planned.provenance(job.parameters, self.environment),
            )
            self.store.put(planned.key, record, folder)
        self.seconds[planned.key] = time.monotonic() - started
        return record

    def _counted(
        self, steps: Iterable[T], advance: Advance, end: Callable[[], None] = lambda: None
    ) -> Iterator[T]:
        for step in steps:
            self._refuse_if_stopped()
            yield step
            advance()
        end()

    def _refuse_if_stopped(self) -> None:
        if self._stop.is_set():
            raise TargetError("stopped, because the build ended")


def environment(compute_target: ComputeTarget) -> Mapping[str, str]:
    """Return the settings and versions for clips made here: device class, precision, packages.

    Imports none of the packages. Raises PlatformError, with the missing package, on a machine that
    can only render pages.
    """
    versions = {}
    for name in ("torch", "numpy", "imageio-ffmpeg", "pillow"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise PlatformError(f"{name} is not installed here: `pip install {name}`") from None
    device = compute_target.device.partition(":")[0]
    settings = {"device": device, "precision": compute_target.precision}
    return {**settings, **versions}
