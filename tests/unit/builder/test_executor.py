"""Rendering: each clip kept at once, errors with their place, and several figures at a time."""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from sitegen.builder.cache import Store
from sitegen.builder.executor import Renderer, RenderExecutor, naming
from sitegen.builder.plan import PlannedFigure
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import (
    LockedError,
    PlatformError,
    PlugInError,
    RefusedError,
    TargetError,
)
from sitegen.figures.base import Figure, spec_json
from sitegen.figures.trajectories import Trajectories
from sitegen.media.encoder import ClipSpec, write_still
from sitegen.media.frames import Frame
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.manifest import MediaFile, ModelRef
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


def test_the_cause_is_told(tmp_path: Path) -> None:
    """An error is of the class of its cause, and names the figure's line."""
    with pytest.raises(TargetError, match="figure-7: 2 frames for 3 levels"):
        executor(Counting(), tmp_path).render([planned(7)], 1)
    for kind in [RefusedError, TargetError, LockedError]:
        with (
            pytest.raises(kind, match=r"^index\.md:1: figure-1: cause$"),
            naming(planned(1).figure),
        ):
            raise kind("cause")


def test_frames_that_are_only_drawn_keep_no_sampling_waiting(tmp_path: Path) -> None:
    """A figure whose work has sampled all is drawn while the next one is sampled, to its end."""
    sampled = threading.Event()

    class Drawing(Counting):
        """Seed 1 is drawn when seed 2 was sampled."""

        def render_job(self, figure: Figure) -> RenderJob:
            """A clip that only has to be drawn, and one like its parent's."""
            job = super().render_job(figure)
            if spec_json(figure)["seed"] == 1:
                return replace(job, clips={"": ClipSource(spec, drawn(), sampled=False)})
            return replace(job, work=done())

    def drawn() -> Iterator[Frame]:
        for _ in range(3):
            assert sampled.wait(60)
            yield np.zeros((8, 8, 3), np.uint8)

    def done() -> Iterator[None]:
        yield
        sampled.set()

    spec = ClipSpec(24.0, 18, 2, (0, 0, 0))
    assert len(executor(Drawing(), tmp_path).render([planned(1), planned(2)], 1)) == 2


def test_the_end_of_a_figure_and_the_beginning_of_the_next(tmp_path: Path) -> None:
    """The next figure is sampled while one is encoded, by the thread that asked for all of them."""
    told: list[tuple[str, str]] = []
    begun = threading.Event()

    class Threads(Counting):
        """Tells which thread makes frames."""

        def _frames(self, figure: Figure, spec: dict[str, int]) -> Iterator[Frame]:
            for number, frame in enumerate(super()._frames(figure, spec)):
                told.append((figure.id, threading.current_thread().name))
                if (figure.id, number) == ("figure-2", 2):
                    begun.set()
                yield frame

    def encode(frames: Iterable[Frame], spec: ClipSpec, folder: Path) -> dict[str, MediaFile]:
        """Finish the first figure only when the second has been sampled as far as may be."""
        files = fake_encode(frames, spec, folder)
        assert begun.wait(60)
        return files

    made = RenderExecutor(Threads(), Store(tmp_path), Silent(), HERE, encode)
    made.render([planned(1), planned(2), planned(3)], 1)
    assert [name for name, _ in told] == [f"figure-{n}" for n in (1, 1, 1, 2, 2, 2, 3, 3, 3)]
    assert {thread for _, thread in told} == {threading.current_thread().name}


def test_what_was_sampled_is_finished_where_the_next_fails(tmp_path: Path) -> None:
    """A figure that is being encoded, its dark clip too, is kept though the next breaks down."""
    failed = threading.Event()

    class Both(Counting):
        """Has a clip for dark pages, which waits for the failure of the next figure."""

        def render_job(self, figure: Figure) -> RenderJob:
            """As its parent, and that clip."""
            job = super().render_job(figure)
            spec = job.clips[""].spec
            return replace(job, clips={**job.clips, "dark": ClipSource(spec, self._dark())})

        def _dark(self) -> Iterator[Frame]:
            assert failed.wait(60)
            time.sleep(0.05)
            yield from np.zeros((3, 8, 8, 3), np.uint8)

        def _frames(self, figure: Figure, spec: dict[str, int]) -> Iterator[Frame]:
            if spec["seed"] == 13:
                failed.set()
            yield from super()._frames(figure, spec)

    with pytest.raises(RefusedError, match="figure-13: broke down"):
        executor(Both(), tmp_path).render([planned(1), planned(13), planned(2)], 1)
    assert Store(tmp_path).get(planned(1).request_digest) is not None
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_every_figure_that_fails_is_told(tmp_path: Path, workers: int) -> None:
    """Those that fail are reported together, in page order, after the others are finished.

    These are kept, and no half clip is.
    """
    figures = [planned(seed) for seed in (13, 1, 7, 2)]
    with pytest.raises(RefusedError) as caught:
        executor(Counting(), tmp_path).render(figures, workers)
    first, second = str(caught.value).splitlines()
    assert first == "index.md:13: figure-13: broke down"
    assert second == "index.md:7: figure-7: 2 frames for 3 levels"
    kept = [each for each in figures if Store(tmp_path).get(each.request_digest)]
    assert kept == figures[1::2]
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_the_build(
    tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What the machine lacks, other figures would lack, too: none begins after the first error.

    Figures that never began are cancelled without an error in a callback, which would be logged.
    """

    def encode(frames: Iterable[Frame], spec: ClipSpec, folder: Path) -> dict[str, MediaFile]:
        """Find no room."""
        next(iter(frames))
        raise PlatformError("no room")

    renderer = Counting(pause=0.2)
    made = RenderExecutor(renderer, Store(tmp_path), Silent(), HERE, encode)
    with pytest.raises(PlatformError, match=r"figure-\d: no room$"):
        made.render([planned(seed) for seed in range(1, 7)], workers)
    assert set(renderer.frames) <= {"figure-1", "figure-2"}
    assert temporaries(tmp_path) == []
    assert caplog.records == []


def test_an_error_of_a_class_of_its_own(tmp_path: Path) -> None:
    """A subclass of another package keeps its meaning, whatever its arguments are."""

    class OwnError(RefusedError):
        """Takes two arguments."""

        def __init__(self, one: str, other: str) -> None:
            super().__init__(f"{one} and {other}")

    class Own(Counting):
        """Raises it."""

        def _frames(self, figure: Figure, spec: dict[str, int]) -> Iterator[Frame]:
            yield np.zeros((8, 8, 3), np.uint8)
            raise OwnError("this", "that")

    with pytest.raises(RefusedError, match=r"^index\.md:1: figure-1: this and that$"):
        executor(Own(), tmp_path).render([planned(1)], 1)


def test_an_encoder_that_fails_ends_the_sampling(tmp_path: Path) -> None:
    """What nobody takes is sampled no further, and the encoder's words are told with the place."""
    renderer = Counting(pause=0.05)

    def encode(frames: Iterable[Frame], spec: ClipSpec, folder: Path) -> dict[str, MediaFile]:
        """Break down at the first frame."""
        next(iter(frames))
        raise TargetError("no encoder")

    made = RenderExecutor(renderer, Store(tmp_path), Silent(), HERE, encode)
    with pytest.raises(TargetError, match=r"^index\.md:1: figure-1: no encoder$"):
        made.render([planned(1)], 1)
    assert renderer.frames.get("figure-1", 0) < 3


def test_a_plug_in_that_returns_no_job(tmp_path: Path) -> None:
    """It is an error of the package, with the place, and the other figures are rendered."""

    class Nothing(Counting):
        """Prepares nothing for the kind of another package."""

        def render_job(self, figure: Figure) -> Any:
            return None if figure.kind == "strip" else super().render_job(figure)

    strange = replace(planned(1), figure=replace(planned(1).figure, kind="strip"))
    with pytest.raises(PlugInError, match=r"^index\.md:1: figure-1: strip of the package strip"):
        executor(Nothing(), tmp_path).render([strange, planned(2)], 1)
    assert len(Store(tmp_path).keys("")) == 1


def test_an_interruption_reaches_the_sampling(tmp_path: Path) -> None:
    """Ctrl-C is raised where samples are drawn; what was encoded of the figure is gone."""

    class Interrupted(Counting):
        """Is interrupted at the second frame."""

        def _frames(self, figure: Figure, spec: dict[str, int]) -> Iterator[Frame]:
            yield np.zeros((8, 8, 3), np.uint8)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor(Interrupted(), tmp_path).render([planned(1), planned(2)], 1)
    assert temporaries(tmp_path) == []
    assert not list(Store(tmp_path).keys(""))


def test_the_seconds_of_figures_add_up_to_those_of_the_build(tmp_path: Path) -> None:
    """Where the end of one lies in the time of the next, it counts once."""
    seconds: list[float] = []

    def encode(frames: Iterable[Frame], spec: ClipSpec, folder: Path) -> dict[str, MediaFile]:
        """Take a while after the last frame."""
        files = fake_encode(frames, spec, folder)
        time.sleep(0.2)
        return files

    made = RenderExecutor(
        Counting(0.05),
        Store(tmp_path),
        Silent(),
        HERE,
        encode,
        lambda *took: seconds.append(took[-1]),
    )
    started = time.monotonic()
    made.render([planned(seed) for seed in range(4)], 1)
    assert len(seconds) == 4
    assert sum(seconds) <= time.monotonic() - started
