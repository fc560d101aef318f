"""Panels: even places at any size, names above them, pictures untouched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitegen.media.frames import upscale
from sitegen.media.labels import label_width
from sitegen.media.panels import Panels

PAPER, INK = (32, 36, 48), (228, 231, 241)
LABELS = ("IHDM", "Full DDPM latent", "DDIM")


@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([8, 28, 32, 64, 128, 256]))
def test_places(count: int, rows: int, side: int) -> None:
    """All even, inside the canvas, in order, with wide gaps between."""
    layout = Panels(LABELS[:count], rows, side, PAPER, INK)
    height, width = layout.size
    places = [layout.place(panel, row) for panel in range(count) for row in range(rows)]
    for top, left in places:
        assert top % 2 == left % 2 == 0
        assert 24 <= left <= width - layout.picture - 24
        assert 24 <= top <= height - layout.picture - 24
    assert layout.place(0, 0)[1] == 24
    assert len(set(places)) == len(places)
    assert layout.factor == 1 or layout.factor % 2 == 0
    assert width <= 24 + count * max(320, side + 24)


@pytest.mark.parametrize("side", [28, 32, 64, 128, 256])
def test_names_are_legible_on_a_phone(side: int) -> None:
    """No name reaches beyond its panel and gap; on 390 pixels they are 11 pixels or more."""
    layout = Panels(LABELS, 1, side, PAPER, INK)
    assert all(label_width(each, layout.font) <= layout.picture + 24 for each in LABELS)
    assert layout.font * 358 / layout.size[1] >= 11


def test_pictures_are_untouched() -> None:
    """Each stands enlarged in its place, on a canvas that has only names beside them."""
    layout = Panels(LABELS, 2, 28, PAPER, INK)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 2, 28, 28, 3), np.uint8)
    frame = layout.draw(list(pictures))
    assert frame.shape == (*layout.size, 3)
    for panel in range(3):
        for row in range(2):
            top, left = layout.place(panel, row)
            spot = frame[top : top + layout.picture, left : left + layout.picture]
            np.testing.assert_array_equal(spot, upscale(pictures[panel, row], layout.factor))
            spot[:] = PAPER
    names = frame[: layout.place(0, 0)[0]]
    for panel in range(3):
        left = layout.place(panel, 0)[1]
        assert (names[:, left : left + layout.picture] == INK).all(-1).any()
    names[:] = PAPER
    assert (frame == PAPER).all()
    assert (layout.canvas[layout.place(0, 0)[0] :] == PAPER).all()
