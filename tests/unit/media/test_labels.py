"""Labels, strips and panels: words where they belong, and pictures untouched."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sitegen.media.frames import Frame, upscale
from sitegen.media.labels import Panels, label_width, strip, write_label

PAPER, INK = (250, 251, 252), (9, 8, 7)


def blank(height: int = 60, width: int = 200) -> Frame:
    """Nothing but paper."""
    return np.full((height, width, 3), PAPER, np.uint8)


def inked(frame: Frame) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is not paper."""
    rows, columns = np.nonzero((frame != PAPER).any(-1))
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_labels() -> None:
    """A label stands on its place, an index below it, and names are legible on a phone."""
    whole = [write_label(blank(), words, (100, 40), 30, INK) for words in ("u", "u_K")]
    plain, indexed = map(inked, whole)
    assert indexed[1] > plain[1]
    assert label_width("u", 30) < label_width("u_K", 30) < label_width("uK", 30)
    for side in [28, 32, 64, 128, 256]:
        layout = Panels(LABELS, 1, side, PAPER, INK)
        assert all(label_width(each, layout.font_size) <= layout.picture + 16 for each in LABELS)
        assert layout.font_size * 358 / layout.size[1] >= 7
    for words in ["IHDM", "Full DDPM latent"]:
        before = blank()
        frame = write_label(before, words, (100, 40), 20, INK)
        top, bottom, left, right = inked(frame)
        assert abs((left + right) / 2 - 100) <= 2
        assert bottom in (39, 40)
        assert 10 <= 40 - top <= 20
        assert abs(right - left - label_width(words, 20)) <= 6
        assert (frame == INK).all(-1).any()
        assert (before == PAPER).all()


def test_strip() -> None:
    """Pictures stand enlarged in their places, in strips and panels, beside names alone."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 20, 20, 3), np.uint8)
    sheet = strip([("u_K", list(pictures[0])), ("Longer", list(pictures[1]))], PAPER, INK)
    factor = 920 // 3 // 20
    pitch = 20 * factor + 4
    left = sheet.shape[1] - (3 * pitch - 4)
    assert sheet.shape[0] == 2 * pitch - 4
    for row in range(2):
        for column in range(3):
            top, start = row * pitch, left + column * pitch
            seen = sheet[top : top + 20 * factor, start : start + 20 * factor]
            np.testing.assert_array_equal(seen, upscale(pictures[row, column], factor))
    names = sheet[:, : left - 2]
    assert inked(names)[2] >= 0
    assert inked(names)[3] < left - 8
    assert (sheet[pitch - 4 : pitch] == PAPER).all()
    large = strip([("a", [np.zeros((256, 256, 3), np.uint8)] * 5)], PAPER, INK)
    assert large.shape[0] == 256  # never made smaller
    unnamed = strip([("", list(pictures[0]))], PAPER, INK)
    np.testing.assert_array_equal(unnamed[:, : 20 * factor], upscale(pictures[0, 0], factor))
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


LABELS = ("IHDM", "Full DDPM latent", "DDIM")


@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([8, 28, 32, 64, 128, 256]))
def test_places(count: int, rows: int, side: int) -> None:
    """All even, inside the canvas, in order, from the left edge on."""
    layout = Panels(LABELS[:count], rows, side, PAPER, INK)
    height, width = layout.size
    places = [layout.place(panel, row) for panel in range(count) for row in range(rows)]
    for top, left in places:
        assert top % 2 == left % 2 == 0
        assert 0 <= left <= width - layout.picture
        assert (16 if count > 1 else 0) <= top <= height - layout.picture
    assert layout.place(0, 0)[1] == 0
    assert count > 1 or layout.place(0, 0)[0] == 0
    assert count == 1 or (layout.canvas == INK).all(-1).any()
    assert len(set(places)) == len(places)
    assert layout.factor == 1 or layout.factor % 2 == 0
    assert width <= count * max(320, side + 16)
