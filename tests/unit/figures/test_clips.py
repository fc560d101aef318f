"""Jobs of clips, without an encoder."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sitegen.core.diagnostics import SourceLocation
from sitegen.figures.clips import clip_spec, grid_job
from sitegen.figures.registry import make_figure
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.recorded import RecordingConfig
from sitegen.media.look import film, recorded
from tests.support.tinymodel import large_card


def test_settings_of_recordings() -> None:
    """Clips of a recording are encoded by constants of their own, which are in their keys alone."""
    ours = clip_spec(large_card(), 64, 24.0)
    values = RecordingConfig((0.0, 1.0), 4)
    noise = clip_spec(ModelCard(8, 1, 1, kind="recording", recording=values), 64, 24.0)
    assert (ours.preset, ours.gif_filter, ours.gif_share) == (film.PRESET, "", 0.97)
    settings = recorded.PRESET, recorded.GIF_FILTER, recorded.GIF_SHARE
    assert (noise.preset, noise.gif_filter, noise.gif_share) == settings


@pytest.mark.parametrize(("largest", "side"), [(400, 6), (10**6, 12)])
def test_large_grid_is_reduced(largest: int, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are averaged until a grid fits the limit, and its cells have their new size."""
    monkeypatch.setattr(film, "LARGEST", largest)
    figure = make_figure("trajectories", ("ours",), {"count": 6}, SourceLocation("index.md", 1))
    images = np.linspace(0, 1, 864, dtype=np.float32).reshape(6, 1, 12, 12)
    card = replace(large_card(), image_size=12)
    job = grid_job(figure, card, (6, 3), iter([images]))
    (frame,) = job.clips[""].frames
    assert frame.shape == (2 * side, 3 * side, 3)
    assert job.parameters["cells"]["width"] == job.parameters["cells"]["height"] == side
    assert abs(int(frame.mean()) - 127) <= 1


def test_work_of_a_plug_in_comes_before_the_stored_states() -> None:
    """A grid that is drawn twice stores its states after the work and steps of its caller."""
    figure = make_figure("trajectories", ("ours",), {"count": 9}, SourceLocation("index.md", 1))
    card, done = large_card(), list[str]()

    def work() -> Iterator[None]:
        done.append("work")
        yield

    def frames() -> Iterator[NDArray[np.float32]]:
        done.append("frames")
        yield np.zeros((9, *card.shape), np.float32)

    job = grid_job(figure, card, (9, 9), frames(), work=work(), steps=1)
    assert (len(list(job.work)), done) == (2, ["work", "frames"])
    assert job.steps == card.steps + 2
    assert set(job.clips) == {"", "narrow"}
