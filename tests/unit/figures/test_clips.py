"""Jobs of clips, without an encoder."""

from dataclasses import replace

import numpy as np
import pytest

from sitegen.core.diagnostics import SourceLocation
from sitegen.figures.clips import grid_job
from sitegen.figures.registry import make_figure
from sitegen.media.look import film
from tests.support.tinymodel import large_card


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
