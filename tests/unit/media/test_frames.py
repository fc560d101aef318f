"""Frames: exact numbers, whole-number geometry, and the same pixels in the right places."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sitegen.media.frames import enlarge, reduction, scale_factor, sheet, to_uint8
from sitegen.media.manifest import Cells, TreeNode


@given(
    arrays.arrays(
        np.float32,
        (1, 1, 2, 3),
        elements=st.floats(-2, 2, width=32) | st.sampled_from([np.inf, -np.inf]),
    )
)
def test_rounding_is_exact(images: Any) -> None:
    """Each value is what decimal arithmetic makes of it: clipped, nearest, halves up."""
    expected = [
        int((Decimal(min(max(float(value), 0), 1)) * 255).quantize(Decimal(1), ROUND_HALF_UP))
        for value in images.ravel()
    ]
    frames = to_uint8(images)
    assert frames.dtype == np.uint8
    assert frames.shape == (1, 2, 3, 3)
    for channel in range(3):
        assert frames[..., channel].ravel().tolist() == expected


def test_cells_of_a_tree() -> None:
    """Pictures of a tree are at their nodes, and an enlarged tree is larger in all sizes."""
    nodes = (TreeNode(0, 2, None, 4, 4), TreeNode(8, 0, 0, 3, 0), TreeNode(8, 6, 0, 3, 0))
    cells = Cells(3, 4, 4, nodes=nodes)
    frame = sheet(np.zeros((3, 4, 4, 3), np.uint8), cells)
    assert frame.shape == (10, 12, 3)
    assert (frame == 0).all(axis=2).sum() == 48
    large = cells.enlarged(2)
    assert large.size == (24, 20)
    assert large.corners[2] == (16, 12)


@given(arrays.arrays(np.uint8, (2, 5, 4, 3)), st.sampled_from([2, 4, 8]), st.booleans())
def test_enlarged_pictures_lose_nothing(frames: Any, factor: int, smooth: bool) -> None:
    """The mean of the pixels that stand for a pixel is that pixel, to rounding at each doubling."""
    large = enlarge(frames, factor, smooth=smooth).astype(float)
    assert large.shape == (2, 5 * factor, 4 * factor, 3)
    means = large.reshape(2, 5, factor, 4, factor, 3).mean(axis=(2, 4))
    assert np.abs(means - frames).max() <= 0.01


def test_smooth_pictures_have_slopes() -> None:
    """Between a dark and a bright pixel, a smooth picture has values between them."""
    frame = np.array([[[40] * 3, [120] * 3, [200] * 3]], np.uint8)
    row = enlarge(frame, 2, smooth=True)[0, :, 0].tolist()
    assert row == [30, 50, 100, 140, 190, 210]


def test_reduced_images() -> None:
    """Images are reduced if their clip has too many pixels, or a side that no encoder takes."""
    assert [reduction(count, 64, 64, 8) for count in (64, 512)] == [1, 2]
    assert [reduction(4, 4096, 8, columns) for columns in (1, 2, 4)] == [1, 2, 3]
    assert reduction(16, 8, 4096, 1) == 9


def test_known_factors() -> None:
    """Known sizes, channels in order, 256 levels of every float; what cannot be is told."""
    known = {168: 2, 28: 4, 27: 8, 55: 4, 56: 2, 64: 2, 640: 2, 9: 16}
    assert {width: scale_factor(width, width) for width in known} == known
    image = np.zeros((2, 3, 4, 5), np.float32)
    image[1, 0, 2, 3] = 1
    frames = to_uint8(image)
    assert frames.shape == (2, 4, 5, 3)
    assert frames[1, 2, 3].tolist() == [255, 0, 0]
    assert frames.sum() == 255
    for kind in [np.float16, np.float32, np.float64]:
        levels = np.arange(256) / 255
        assert to_uint8(levels.astype(kind).reshape(1, 1, 16, 16))[
            0, ..., 0
        ].ravel().tolist() == list(range(256))
        below = np.array([0.5039215683937073, 0.998039186000824], np.float32).reshape(1, 1, 1, 2)
        assert to_uint8(below)[0, 0, :, 0].tolist() == [128, 254]
        halves = np.array([0.5 / 255, 1.5 / 255, 0.4999999 / 255]).reshape(1, 1, 1, 3)
        assert to_uint8(halves)[0, 0, :, 0].tolist() == [1, 2, 0]
    grey = np.zeros((1, 1, 4, 4), np.float32)
    for images, words in [
        (grey.repeat(2, 1), "images must be"),
        (grey[0], "images must be"),
        (grey.astype(np.uint8), "floating-point"),
        (grey * np.nan, "NaN"),
    ]:
        with pytest.raises(ValueError, match=words):
            to_uint8(images)
