"""Pictures that are cut out of clips and posters, and compared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitegen.media.manifest import Cells


def cut_out(frame: NDArray[Any], cells: Cells, factor: int) -> NDArray[np.float64]:
    """Return the pictures of a frame (N, H, W, 3) at native size, each the mean of its pixels."""
    height, width = cells.height // factor, cells.width // factor
    parts = [frame[y : y + cells.height, x : x + cells.width] for x, y in cells.corners]
    squares = np.stack(parts).astype(float).reshape(-1, height, factor, width, factor, 3)
    return np.asarray(squares.mean(axis=(2, 4)))


def decibels(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio of two pictures, 0 to 255."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))
