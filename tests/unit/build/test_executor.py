"""Rendering: each clip kept at once, errors with their place, and several figures at a time."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from sitegen.build.cache import Store
from sitegen.build.executor import Renderer, RenderExecutor, naming
from sitegen.build.plan import PlannedFigure
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import LockedError, RefusedError, TargetError
from sitegen.figures.base import Figure, spec_json
from sitegen.figures.trajectories import Trajectories
from sitegen.media.encoder import ClipSpec, write_still
from sitegen.media.frames import Frame
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.manifest import ModelRef
from tests.support.builders import fake_encode, temporaries
from tests.support.reporters import Silent


def planned(seed: int) -> PlannedFigure:
    """A figure to render."""
    spec = Trajectories("tiny", count=1, seed=seed)
    place = SourceLocation("index.md", seed)
    figure = Figure("trajectories", f"figure-{seed}", spec, "", None, place)
    return PlannedFigure(figure, "index.html", (ModelRef("tiny", "0" * 64),), 2, f"{seed:064x}")


def executor(renderer: Renderer, folder: Path) -> RenderExecutor:
    """What renders into a store in a folder, without the real encoder."""
    return RenderExecutor(renderer, Store(folder), Silent(), HERE, fake_encode)


HERE = {"device": "cpu"}
T = TypeVar("T")


class Counting:
    """Counts how many figures are rendered at a time; seed 13 breaks down, seed 7 is short."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.most = self.now = 0
        self.frames: dict[str, int] = {}
        self.guard = threading.Lock()

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare two frames of noise, and a third."""
        spec = spec_json(figure)
        clip = ClipSource(ClipSpec(24.0, 18, 2, (0, 0, 0)), self._frames(figure, spec))
        return RenderJob((2, 1, 0), spec, {"": clip})

    def pace(self, model: str) -> float:
        """Nobody asks."""
        raise NotImplementedError

    def _frames(self, figure: Figure, spec: dict[str, int]) -> Iterator[Frame]:
        with self.guard:
            self.now += 1
            self.most = max(self.most, self.now)
        for number in range(2 if spec["seed"] == 7 else 3):
            time.sleep(self.pause)
            if spec["seed"] == 13:
                raise RefusedError("broke down")
            with self.guard:
                self.frames[figure.id] = number + 1
            yield np.full((8, 8, 3), 50 * number, np.uint8)
        with self.guard:
            self.now -= 1


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_records_and_store(tmp_path: Path, workers: int) -> None:
    """Every figure has its record, under its key; as many are rendered at a time as asked for."""
    renderer = Counting(pause=0.05)
    figures = [planned(seed) for seed in range(3)]
    records = executor(renderer, tmp_path).render(figures, workers)
    assert set(records) == {each.request_digest for each in figures}
    for key, record in records.items():
        assert Store(tmp_path).get(key) == record
        assert (record.levels, record.environment) == ((2, 1, 0), HERE)
        assert record.files["mp4"].frames == 3
    assert renderer.most == workers
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_wrong_is_told_before_the_first_is_rendered(tmp_path: Path, workers: int) -> None:
    """A model that does not fit, far down the page, costs no minutes; all faults are told."""

    class Strict(Counting):
        """Refuses odd seeds."""

        def render_job(self, figure: Figure) -> RenderJob:
            """As its parent, of even seeds only."""
            if spec_json(figure)["seed"] % 2:
                raise RefusedError("does not fit")
            return super().render_job(figure)

    renderer = Strict()
    with pytest.raises(RefusedError) as caught:
        executor(renderer, tmp_path).render([planned(seed) for seed in range(4)], workers)
    told = str(caught.value).splitlines()
    assert told == [f"index.md:{n}: figure-{n}: does not fit" for n in (1, 3)]
    assert renderer.frames == {}


def test_work_comes_before_frames_and_stills_after_them(tmp_path: Path) -> None:
    """So frames can show what was computed, and a still what the frames have shown."""
    told: list[str] = []

    def made(word: str, *values: T) -> Iterator[T]:
        for value in values:
            told.append(word)
            yield value

    class Painter(Counting):
        """Tells what it is asked for."""

        def render_job(self, figure: Figure) -> RenderJob:
            """Two steps of work, a clip of two frames for each page, and a still."""
            black, spec = np.zeros((8, 8, 3), np.uint8), ClipSpec(24.0, 18, 2, (0, 0, 0))
            light, dark = (ClipSource(spec, made(each, black, black)) for each in ("light", "dark"))
            still = made("still", black)
            return RenderJob(
                levels=(0, 0),
                parameters={},
                clips={"": light, "dark": dark},
                steps=2,
                work=made("work", None, None),
                stills={"strip": lambda folder: write_still(next(still), folder / "s.webp")},
                results=lambda: {"summary": " ".join(told)},
            )

    (record,) = executor(Painter(), tmp_path).render([planned(1)], 1).values()
    assert record.results == {"summary": "work work light light dark dark still"}
    assert {"mp4", "mp4-dark", "strip"} <= set(record.files)


def test_what_was_finished_is_kept(tmp_path: Path) -> None:
    """Figures before a failure are kept, no half clip is; others end, and the cause is told."""
    store = Store(tmp_path)
    with pytest.raises(TargetError, match="figure-7: 2 frames for 3 levels"):
        executor(Counting(), tmp_path).render([planned(7)], 1)
    assert store.get(planned(7).request_digest) is None
    with pytest.raises(RefusedError, match=r"^index\.md:13: figure-13: broke down$"):
        executor(Counting(), tmp_path).render([planned(1), planned(13), planned(2)], 1)
    assert store.get(planned(1).request_digest) is not None
    assert store.get(planned(2).request_digest) is None
    assert temporaries(tmp_path) == []
    renderer = Counting(pause=0.2)
    with pytest.raises(RefusedError, match="figure-13: broke down"):
        executor(renderer, tmp_path / "more").render(
            [planned(1), planned(13), planned(2), planned(3)], 2
        )
    assert renderer.frames.get("figure-1", 0) < 3
    assert "figure-3" not in renderer.frames
    assert temporaries(tmp_path) == []
    for kind in [RefusedError, TargetError, LockedError]:
        with (
            pytest.raises(kind, match=r"^index\.md:1: figure-1: cause$"),
            naming(planned(1).figure),
        ):
            raise kind("cause")
