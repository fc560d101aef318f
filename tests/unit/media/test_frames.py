"""Frames: exact numbers, whole-number geometry, and the same pixels in the right places."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sitegen.media.frames import (
    grid,
    pad_to_even,
    reduce,
    scale_factor,
    to_uint8,
    upscale,
)

RED = (255, 0, 7)
pictures = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.just(3))
)


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


def test_reduced_images() -> None:
    """Squares of pixels are averaged, incomplete ones at the edge as well."""
    images = np.zeros((2, 4, 5, 3), np.uint8)
    images[1, :2, :2] = [[RED, RED], [(1, 0, 7), (1, 0, 7)]]
    reduced = reduce(images, 2)
    assert reduced.shape == (2, 2, 3, 3)
    assert reduced[1, 0, 0].tolist() == [128, 0, 7]
    assert not reduced[0].any()
    assert reduce(images, 1) is images


SHEET = np.zeros((3, 2, 2, 3), np.uint8)


@settings(max_examples=40)
@given(pictures, st.integers(1, 11))
def test_grid_geometry(images: Any, columns: int) -> None:
    """Each picture stands in its cell, the last row in the middle, and the rest is background."""
    count, height, width, _ = images.shape
    sheet = grid(images, columns, RED)
    rows = -(-count // columns)
    assert sheet.shape == (rows * height, columns * width, 3)
    covered = np.zeros(sheet.shape[:2], bool)
    for index in range(count):
        row, column = divmod(index, columns)
        missing = columns - min(columns, count - row * columns)
        top, left = row * height, column * width + missing * width // 2
        assert (sheet[top : top + height, left : left + width] == images[index]).all()
        covered[top : top + height, left : left + width] = True
    assert covered.sum() == count * height * width
    assert (sheet[~covered] == RED).all()


def test_known_factors() -> None:
    """Known sizes, channels in order, 256 levels of every float; what cannot be is told."""
    known = {168: 4, 28: 18, 32: 16, 64: 8, 128: 4, 479: 2, 480: 1, 640: 1, 9: 54}
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
    with pytest.raises(ValueError, match="images must"):
        grid(SHEET[:0], 3, RED)


@given(st.integers(1, 2000), st.integers(1, 3000))
def test_factor_reaches_its_range(width: int, height: int) -> None:
    """1, or even and within 480 to 960 pixels of width, unless the clip would be too tall."""
    factor = scale_factor(width, height)
    assert factor == 1 or factor % 2 == 0
    if width >= 480:
        assert factor == 1
    elif height <= width:
        assert 480 <= width * factor < 1440
        assert width < 240 or width * factor < 960
    assert factor == 1 or height * factor <= 1280


@given(pictures, st.integers(1, 5))
def test_upscale_makes_squares(images: Any, factor: int) -> None:
    """Every pixel becomes a square of its colour."""
    frame = images[0]
    large = upscale(frame, factor)
    assert large.shape == (frame.shape[0] * factor, frame.shape[1] * factor, 3)
    for row in range(factor):
        for column in range(factor):
            assert (large[row::factor, column::factor] == frame).all()
    assert not np.shares_memory(large, frame)


@given(pictures)
def test_padding_is_even_and_minimal(images: Any) -> None:
    """At most one row and one column of background come, below and on the right."""
    frame = images[0]
    height, width, _ = frame.shape
    padded = pad_to_even(frame, RED)
    assert padded.shape[0] == height + height % 2
    assert padded.shape[1] == width + width % 2
    assert (padded[:height, :width] == frame).all()
    assert (padded[height:] == RED).all()
    assert (padded[:, width:] == RED).all()
