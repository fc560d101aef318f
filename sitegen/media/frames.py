"""Frames: uint8 pictures made from images, enlarged, and placed in the cells of a clip.

A frame is an (H, W, 3) uint8 array in RGB. All operations give the same bytes everywhere.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sitegen.media.manifest import Cells

Frame = NDArray[np.uint8]

PAPER = (255, 255, 255)
"""Colour between the cells of a clip, 0 to 255."""
INK = (29, 33, 48)
"""Colour of the texts under cells."""
TEXT_LINE, _SMALLEST_TEXT = 20, 12
"""Height in pixels of a line of them, as shown, and the one below which there is no room for it."""
WIDE_ENOUGH = 112
"""Width in pixels to which a clip is enlarged at least; the page enlarges it more smoothly."""
TOO_TALL = 1280
"""Height in pixels that further enlargement does not exceed."""
LARGEST = 2048 * 2048
"""Pixels of a clip above which its images are reduced; old phones decode this many."""
LONGEST = 16_000
"""Side in pixels above which they are; WebP and H.264 have at most 16,383 with gutters."""


def to_uint8(images: NDArray[np.floating]) -> Frame:
    """Convert images (N, C, H, W), with [0, 1] as black to white, to frames (N, H, W, 3).

    C is 1 (grey) or 3. Values outside [0, 1] are clipped, then rounded to the nearest level, halves
    away from zero. Raises ValueError for another shape or dtype, and for NaN.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must be (N, 1 or 3, H, W), not {images.shape}")
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"images must be floating-point, not {images.dtype}")
    if np.isnan(images).any():
        raise ValueError("an image contains NaN: the model's output is not a number")
    count, _, height, width = images.shape
    frames = np.empty((count, height, width, 3), np.uint8)
    for index, image in enumerate(images):  # one at a time: float64 of all would need much memory
        # Not np.round, which takes halves to even levels, nor a mere cast, which truncates: the
        # published code darkens images by half a level in that way.
        scaled = np.clip(image.astype(np.float64), 0.0, 1.0) * 255.0
        lower = np.floor(scaled)  # exact
        frames[index] = (lower + (scaled - lower >= 0.5)).transpose(1, 2, 0)
    return frames


def scale_factor(width: int, height: int) -> int:
    """Return the power of two by which a clip of native size is enlarged.

    It is at least 2: H.264 stores one colour for 2 × 2 pixels, which are then one pixel of an
    image. Small clips are enlarged to `WIDE_ENOUGH`, unless they become too tall.
    """
    factor = 2
    while factor * width < WIDE_ENOUGH and 2 * factor * height <= TOO_TALL:
        factor *= 2
    return factor


def reduction(count: int, width: int, height: int, columns: int) -> int:
    """Return the smallest integer factor by which `count` images of that size are reduced.

    Their clip, at twice their size, then has at most `LARGEST` pixels, and sides of `LONGEST`.
    """
    factor, rows = 1, -(-count // columns)
    while factor < max(width, height):
        across, down = -(-width // factor), -(-height // factor)
        longest = 2 * max(columns * across, rows * down)
        if 4 * count * across * down <= LARGEST and longest <= LONGEST:
            break
        factor += 1
    return factor


def reduce(images: Frame, factor: int) -> Frame:
    """Average squares of pixels of images (N, H, W, 3); those at the edge may be incomplete."""
    if factor == 1:
        return images
    from PIL import Image

    return np.stack([np.asarray(Image.fromarray(image).reduce(factor)) for image in images])


def upscale(frames: Frame, factor: int) -> Frame:
    """Enlarge (…, H, W, 3) by an integer factor, each pixel a square."""
    return frames.repeat(factor, axis=-2).repeat(factor, axis=-3)


def enlarge(frames: Frame, factor: int, *, smooth: bool) -> Frame:
    """Enlarge (…, H, W, 3) by a power of two: smoothly, or each pixel as a square.

    Either way the mean of the pixels that stand for one pixel is that pixel, to rounding, so that
    nothing is lost: cubic filters blur by about 30 dB.
    """
    if not smooth:
        return upscale(frames, factor)
    while factor > 1:
        frames = _doubled(_doubled(frames, -2), -3)
        factor //= 2
    return frames


def _doubled(frames: Frame, axis: int) -> Frame:
    """Replace each pixel by two, on a slope through its neighbours that stays within 0 … 255."""
    pixels = np.moveaxis(frames, axis, 0).astype(np.int16)
    padded = np.concatenate([pixels[:1], pixels, pixels[-1:]])
    # The neighbours are two pixels apart, and the new pixels a quarter of one from the old.
    slope = (padded[2:] - padded[:-2]) // 8
    room = np.minimum(pixels, 255 - pixels)
    # Both new pixels have room for the slope, so neither is clipped and their mean stays.
    slope = np.clip(slope, -room, room)
    pairs = np.stack([pixels - slope, pixels + slope], axis=1).astype(np.uint8)
    return np.moveaxis(pairs.reshape(-1, *pixels.shape[1:]), 0, axis)


def sheet(pictures: Frame, cells: Cells) -> Frame:
    """Place pictures (N, H, W, 3) in the cells, with their texts; returns a new frame."""
    height = len(pictures[0])  # a plug-in may have a list of them
    frame = _paper(cells, height).copy()
    for (x, y), picture in zip(cells.corners, pictures, strict=True):
        frame[y : y + height, x : x + cells.width] = picture
    return frame


@lru_cache(maxsize=4)
def _paper(cells: Cells, height: int) -> Frame:
    """Return paper with the texts of the cells, under pictures of that height."""
    frame = np.empty((*cells.size[::-1], 3), np.uint8)
    frame[:] = PAPER
    if cells.strip < _SMALLEST_TEXT:
        return frame
    from PIL import Image, ImageDraw

    from sitegen.media.typeface import font

    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    most, line = cells.lines, cells.strip / cells.lines
    for (x, y), text in zip(cells.corners, cells.texts, strict=True):
        size = int(0.75 * line)
        while size > _SMALLEST_TEXT // 2 and not _fits(text, size, cells.width, most):
            size -= 1
        while not _fits(text, size, cells.width, most) and len(text) > 1:
            text = text.removesuffix("…")[:-1] + "…"
        for number, words in enumerate(wrapped(text, size, cells.width)):
            middle = x + cells.width / 2, y + height + (number + 0.5) * line
            draw.text(middle, words, fill=INK, font=font(size), anchor="mm")
    return np.asarray(image)


def wrapped(text: str, size: int, width: int) -> list[str]:
    """Return a text in lines of at most that width in pixels; a wider word is a line."""
    from sitegen.media.typeface import font

    first, *words = text.split() or [""]
    lines = [first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _fits(text: str, size: int, width: int, most: int) -> bool:
    """Return whether a text has at most that many lines, and none is too wide."""
    from sitegen.media.typeface import font

    lines = wrapped(text, size, width)
    return len(lines) <= most and all(font(size).getlength(line) <= width for line in lines)
