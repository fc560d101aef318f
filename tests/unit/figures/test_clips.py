"""Jobs of clips, without an encoder."""

from dataclasses import replace

import numpy as np
import pytest

from sitegen.core.diagnostics import SourceLocation
from sitegen.figures.clips import clip_job, grid_job
from sitegen.media import frames
from sitegen.media.manifest import Cells
from tests.support.calling import make_figure
from tests.support.tinymodel import large_card

PLACE = SourceLocation("index.md", 1)


@pytest.mark.parametrize(("largest", "side"), [(1700, 6), (10**6, 12)])
def test_large_grid_is_reduced(largest: int, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are averaged until a grid, at twice their size, fits the limit."""
    monkeypatch.setattr(frames, "LARGEST", largest)
    figure = make_figure("trajectories", ("ours",), {"count": 6}, PLACE)
    images = np.linspace(0, 1, 864, dtype=np.float32).reshape(6, 1, 12, 12)
    card = replace(large_card(), image_size=12)
    job = grid_job(figure, card, 3, iter([images]), samples=tuple(range(6)))
    assert job.clip is not None
    (pictures,) = job.clip.states
    assert pictures.shape == (6, side, side, 3)
    factor = job.clip.factor
    assert job.clip.cells == Cells(
        6, side * factor, side * factor, 3, factor, samples=tuple(range(6))
    )
    assert abs(int(pictures.mean()) - 127) <= 1


def test_a_clip_opens_on_the_finished_pictures_and_holds_them() -> None:
    """The last state is shown for a second, then every state in turn, then the last for two."""
    figure = make_figure("trajectories", ("ours",), {"count": 1, "fps": 4}, PLACE)
    card = large_card()
    job = clip_job(figure, card, Cells(1, 8, 8, 1), iter(()))
    assert job.clip is not None
    last = card.steps
    assert job.clip.order == (*[last] * 4, *range(last + 1), *[last] * 8)
    assert job.clip is not None
    frame_levels = [job.levels[number] for number in job.clip.order]
    assert frame_levels[:5] == [0, 0, 0, 0, card.visited_levels[0]]
    assert frame_levels[-1] == 0
    assert job.parameters["fps"] == 4
