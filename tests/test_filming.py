"""Filming: each clip kept at once, errors with their place, and several figures at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sitegen.encode import ClipSpec
from sitegen.errors import LockedError, RefusedError, SitegenError, TargetError
from sitegen.figures import Figure, Place, spec_json
from sitegen.filming import Crew, naming
from sitegen.frames import Frame
from sitegen.kinds.grids import Trajectories
from sitegen.media import ModelRef
from sitegen.plan import Footage, Job, Shot
from sitegen.report import Silent
from sitegen.store import Store
from tests.builders import temporaries


def job(seed: int) -> Job:
    """A figure to film."""
    spec = Trajectories("tiny", count=1, seed=seed)
    figure = Figure("trajectories", f"figure-{seed}", spec, "", None, Place("index.md", seed))
    return Job(figure, "index.html", (ModelRef("tiny", "0" * 64),), 2, f"{seed:064x}", "cpu")


class Camera:
    """Counts how many figures are filmed at a time; seed 13 breaks down, seed 7 is short."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.most = self.now = 0
        self.frames: dict[str, int] = {}
        self.guard = threading.Lock()

    def shoot(self, figure: Figure) -> Shot:
        """Prepare two frames of noise, and a third."""
        spec = spec_json(figure)
        clip = Footage(ClipSpec(24.0, 18, 2, (0, 0, 0)), self._frames(figure, spec))
        return Shot((2, 1, 0), spec, {"": clip})

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
    """Every figure has its record, under its key; as many are filmed at a time as asked for."""
    camera, store = Camera(pause=0.05), Store(tmp_path)
    jobs = [job(seed) for seed in range(3)]
    records = Crew(camera, store, Silent()).film(jobs, workers)
    assert set(records) == {each.request for each in jobs}
    for each in jobs:
        assert each.key is not None
        assert store.get(each.key) == records[each.request]
        assert records[each.request].levels == (2, 1, 0)
        assert records[each.request].files["mp4"].frames == 3
    assert camera.most == workers
    assert temporaries(tmp_path) == []


def test_what_was_finished_is_kept(tmp_path: Path) -> None:
    """The figure before the failure is in the store; the error tells place, figure and cause."""
    store = Store(tmp_path)
    crew = Crew(Camera(), store, Silent())
    with pytest.raises(RefusedError, match=r"^index\.md:13: figure-13: broke down$"):
        crew.film([job(1), job(13), job(2)], 1)
    assert store.get(job(1).key or "") is not None
    assert store.get(job(2).key or "") is None
    assert temporaries(tmp_path) == []


def test_failure_stops_the_others(tmp_path: Path) -> None:
    """What is under way ends at its next frame, what has not begun does not begin."""
    camera = Camera(pause=0.2)
    with pytest.raises(RefusedError, match="figure-13: broke down"):
        Crew(camera, Store(tmp_path), Silent()).film([job(1), job(13), job(2), job(3)], 2)
    assert camera.frames.get("figure-1", 0) < 3
    assert "figure-3" not in camera.frames
    assert temporaries(tmp_path) == []


def test_clip_that_lacks_a_frame(tmp_path: Path) -> None:
    """Fewer frames than levels is a failure, not a shorter clip."""
    with pytest.raises(TargetError, match="figure-7: 2 frames for 3 levels"):
        Crew(Camera(), Store(tmp_path), Silent()).film([job(7)], 1)
    assert Store(tmp_path).get(job(7).key or "") is None


@pytest.mark.parametrize("kind", [RefusedError, TargetError, LockedError])
def test_errors_keep_their_kind(kind: type[SitegenError]) -> None:
    """The exit code is that of the cause."""
    with pytest.raises(kind, match=r"^index\.md:1: figure-1: cause$"), naming(job(1).figure):
        raise kind("cause")


def test_key_needs_an_environment() -> None:
    """A machine that only renders has no key to film under."""
    assert job(1).key == f"{1:064x}-cpu"
    assert replace(job(1), environment=None).key is None
