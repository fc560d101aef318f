"""Figures are rendered into the store; one that fails stops no other, a full disk stops all."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sitegen.builder.plan import PlannedFigure
from sitegen.builder.render import Encode, Rendering
from sitegen.builder.store import Store
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import PlatformError, PlugInError, RefusedError
from sitegen.figures.base import Figure, spec_json
from sitegen.figures.trajectories import Trajectories
from sitegen.media.frames import Frame
from sitegen.media.manifest import Cells, ClipSource, MediaFile, ModelRef, RenderJob
from tests.support.builders import fake_encode, temporaries
from tests.support.reporters import Silent

ENVIRONMENT = {"device": "cpu"}


def planned(seed: int) -> PlannedFigure:
    """Return a figure to render."""
    spec = Trajectories("tiny", count=1, seed=seed)
    place = SourceLocation("index.md", seed)
    figure = Figure("trajectories", f"figure-{seed}", spec, "", None, place)
    return PlannedFigure(figure, "index.html", (ModelRef("tiny", "0" * 64),), 2, f"{seed:064x}")


class Counting:
    """Counts how many figures are rendered at a time; seed 13 fails.

    together: figures that wait for each other before their first frame
    """

    def __init__(self, pause: float = 0.0, together: int = 1) -> None:
        self.pause = pause
        self.started = threading.Barrier(together, timeout=60)
        self.most = self.now = 0
        self.frames: dict[str, int] = {}
        self.guard = threading.Lock()

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare three frames."""
        spec = spec_json(figure)
        states = self._frames(figure, spec)
        clip = ClipSource(Cells(1, 16, 16, 1), 2, 24.0, (0, 1, 2), states)
        return RenderJob(spec, clip, (2, 1, 0))

    def _frames(self, figure: Figure, spec: dict[str, int]) -> Iterator[Frame]:
        with self.guard:
            self.now += 1
            self.most = max(self.most, self.now)
        self.started.wait()
        for number in range(3):
            time.sleep(self.pause)
            if spec["seed"] == 13:
                raise RefusedError("failed")
            with self.guard:
                self.frames[figure.id] = number + 1
            yield np.full((1, 8, 8, 3), 50 * number, np.uint8)
        with self.guard:
            self.now -= 1


def rendering(
    renderer: Any, folder: Path, jobs: int = 1, encode: Encode = fake_encode
) -> Rendering:
    """Return a rendering into a store in a folder, without the real encoder."""
    return Rendering(renderer, Store(folder), encode, Silent(), ENVIRONMENT, jobs)


@pytest.mark.parametrize("jobs", [1, 3])
def test_records_and_store(tmp_path: Path, jobs: int) -> None:
    """Every figure has its record, under its key; `jobs` of them are rendered at a time."""
    renderer = Counting(pause=0.05, together=jobs)
    figures = [planned(seed) for seed in range(3)]
    run = rendering(renderer, tmp_path, jobs)
    records = run.render_all(figures)
    assert list(records) == [figure.key for figure in figures]
    for key, record in records.items():
        assert Store(tmp_path).get(key) == record
        assert (record.levels, record.environment) == ((2, 1, 0), ENVIRONMENT)
        assert record.files["mp4"].frames == 3
    assert renderer.most == jobs
    assert temporaries(tmp_path) == []
    assert run.seconds.keys() == records.keys()
    assert min(run.seconds.values()) >= 0.15


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_figure_that_fails_is_reported(tmp_path: Path, jobs: int) -> None:
    """Those that fail are reported together, in page order, after the others are finished."""

    class Failing(Counting):
        """Refuses seed 7 before its first frame."""

        def render_job(self, figure: Figure) -> RenderJob:
            if spec_json(figure)["seed"] == 7:
                raise RefusedError("does not fit")
            return super().render_job(figure)

    figures = [planned(seed) for seed in (13, 1, 7, 2)]
    keys = [figure.key for figure in figures]
    with pytest.raises(RefusedError) as caught:
        rendering(Failing(), tmp_path, jobs).render_all(figures)
    assert str(caught.value).splitlines() == [
        "index.md:13: figure-13: failed",
        "index.md:7: figure-7: does not fit",
    ]
    assert list(Store(tmp_path).find(keys)) == [keys[1], keys[3]]
    assert temporaries(tmp_path) == []


def test_a_figure_is_encoded_while_the_next_is_sampled(tmp_path: Path) -> None:
    """The first is encoded only when the second has been sampled, which would else wait forever."""
    sampled = threading.Event()

    class Second(Counting):
        """Reports when the second figure has been sampled."""

        def _frames(self, figure: Figure, spec: dict[str, int]) -> Iterator[Frame]:
            yield from super()._frames(figure, spec)
            if spec["seed"] == 2:
                sampled.set()

    def encode(clip: ClipSource, folder: Path, check: Callable[[], None]) -> dict[str, MediaFile]:
        files = fake_encode(clip, folder)
        assert sampled.wait(60)
        return files

    renderer = Second()
    figures = [planned(seed) for seed in (1, 2, 3)]
    assert len(rendering(renderer, tmp_path, 1, encode).render_all(figures)) == 3
    assert renderer.most == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_ends_the_build(tmp_path: Path, jobs: int) -> None:
    """A lack of the machine would stop the other figures as well, so they stop."""

    def encode(clip: ClipSource, folder: Path, check: object) -> dict[str, MediaFile]:
        next(iter(clip.states))
        raise PlatformError("no room")

    renderer = Counting(pause=0.2)
    figures = [planned(seed) for seed in range(1, 7)]
    with pytest.raises(PlatformError, match=r"figure-\d: no room$"):
        rendering(renderer, tmp_path, jobs, encode).render_all(figures)
    assert len(renderer.frames) <= jobs + 1
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption(tmp_path: Path, jobs: int) -> None:
    """Ctrl-C ends a figure and those beside it; nothing of them is left."""

    class Interrupted(Counting):
        """Is interrupted at the second frame of the first figure."""

        def _frames(self, figure: Figure, spec: dict[str, int]) -> Iterator[Frame]:
            for number, frame in enumerate(super()._frames(figure, spec)):
                if spec["seed"] == 1 and number == 1:
                    raise KeyboardInterrupt
                yield frame

    figures = [planned(seed) for seed in (1, 2, 3)]
    with pytest.raises(KeyboardInterrupt):
        rendering(Interrupted(0.05), tmp_path, jobs).render_all(figures)
    assert temporaries(tmp_path) == []
    assert Store(tmp_path).get(planned(1).key) is None


def test_a_plug_in_that_returns_no_job(tmp_path: Path) -> None:
    """It is an error of the package, with the line, and the other figures are rendered."""

    class Nothing(Counting):
        """Prepares nothing for the kind of another package."""

        def render_job(self, figure: Figure) -> Any:
            return None if figure.kind == "strip" else super().render_job(figure)

    strange = replace(planned(1), figure=replace(planned(1).figure, kind="strip"))
    with pytest.raises(PlugInError, match=r"^index\.md:1: figure-1: strip of the package strip"):
        rendering(Nothing(), tmp_path).render_all([strange, planned(2)])
    assert Store(tmp_path).get(planned(2).key) is not None
