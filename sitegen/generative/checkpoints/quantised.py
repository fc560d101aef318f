"""Weights of one byte each: integers from -127 to 127, and a float32 scale for each row.

A weight is its integer times the scale of its row, the first axis: a row of a matrix, or a kernel
of a convolution. The largest weight of a row is ±127 scales, so rounding changes a weight by at
most 1/254 of it. The integers are stored under the name of the weights, the scales under that name
with `SCALE` appended. Needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCALE = ".scale"
"""Suffix of the name of the scales."""
LARGEST = 127


def quantised(values: NDArray[np.floating]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return integers and scales (rows,) for finite weights (rows, …).

    Restored weights give the same integers again.
    """
    import numpy as np

    rows = np.asarray(values, np.float32).reshape(len(values), -1)
    scale = np.asarray(np.abs(rows).max(1) / np.float32(LARGEST), np.float32)
    # A row of zeros has the scale 0.
    numbers: NDArray[np.floating] = np.rint(rows / np.where(scale > 0, scale, 1)[:, None])
    return numbers.astype(np.int8).reshape(values.shape), scale
