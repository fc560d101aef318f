"""Frames: uint8 pictures made from images, laid out in grids, and enlarged by integer factors.

A frame is an (H, W, 3) uint8 array in RGB. All operations give the same bytes everywhere.
"""

import numpy as np
from numpy.typing import NDArray

from sitegen.media.look import stills

Frame = NDArray[np.uint8]
Colour = tuple[int, int, int]


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
        scaled = np.clip(image.astype(np.float64), 0.0, 1.0) * 255.0
        lower = np.floor(scaled)  # exact
        frames[index] = (lower + (scaled - lower >= 0.5)).transpose(1, 2, 0)
    return frames


def grid(images: Frame, columns: int, background: Colour) -> Frame:
    """Lay out (N, H, W, 3) images row by row, edge to edge, as one (rows·H, columns·W, 3).

    An incomplete last row is centred on `background`, rounded to the left. Raises ValueError if
    there is no image.
    """
    if images.ndim != 4 or images.shape[0] < 1 or images.shape[3] != 3:
        raise ValueError(f"images must be (N, H, W, 3) with N above 0, not {images.shape}")
    count, height, width, _ = images.shape
    sheet = np.full((-(-count // columns) * height, columns * width, 3), background, np.uint8)
    for start in range(0, count, columns):
        row = np.concatenate(list(images[start : start + columns]), axis=1)
        top, left = start // columns * height, (columns * width - row.shape[1]) // 2
        sheet[top : top + height, left : left + row.shape[1]] = row
    return sheet


def scale_factor(width: int, height: int) -> int:
    """Return the integer factor that enlarges a small clip to 480 to 960 pixels of width.

    It is the smallest even one, since video stores one colour for 2 × 2 pixels and even factors
    keep colours sharp. Clips that would be taller than 1280 pixels get a smaller factor; wide ones
    get 1.
    """
    wanted = 1 if width >= stills.WIDE_ENOUGH else 2 * -(-stills.WIDE_ENOUGH // (2 * width))
    return max(1, min(wanted, stills.TOO_TALL // height // 2 * 2))


def reduce(images: Frame, factor: int) -> Frame:
    """Average squares of pixels of images (N, H, W, 3); those at the edge may be incomplete."""
    if factor == 1:
        return images
    from PIL import Image

    return np.stack([np.asarray(Image.fromarray(image).reduce(factor)) for image in images])


def upscale(frame: Frame, factor: int) -> Frame:
    """Enlarge (H, W, 3) to (H·factor, W·factor, 3), each pixel a square; returns a new array."""
    return frame.repeat(factor, axis=1).repeat(factor, axis=0)  # this order is four times faster


def enlarge(frame: Frame, factor: int, *, smooth: bool) -> Frame:
    """Enlarge (H, W, 3) by an integer factor: smoothly, or each pixel as a square."""
    if factor == 1 or not smooth:
        return upscale(frame, factor)
    from PIL import Image

    height, width, _ = frame.shape
    size = width * factor, height * factor
    image = Image.fromarray(np.ascontiguousarray(frame))
    return np.array(image.resize(size, Image.Resampling.BICUBIC))


def pad_to_even(frame: Frame, background: Colour) -> Frame:
    """Add a row below and a column on the right, in `background`, if H or W is odd."""
    height, width, _ = frame.shape
    if height % 2 == 0 and width % 2 == 0:
        return frame
    padded = np.full((height + height % 2, width + width % 2, 3), background, np.uint8)
    padded[:height, :width] = frame
    return padded
