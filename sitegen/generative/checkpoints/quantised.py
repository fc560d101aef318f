"""Weights of a byte each: whole numbers from -127 to 127, and a float32 scale for each row.

A weight is its number times the scale of its row, the first axis: a row of a matrix, a kernel of a
convolution. The largest of a row is ±127 scales, so rounding costs at most 1/254 of it. Both lie in
a file under the name of the weights, the scales with `SCALE` at its end. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCALE = ".scale"
"""How the name of the scales goes on after that of their weights."""
INT8 = "I8"
"""What safetensors calls the numbers."""
LARGEST = 127


def quantised(values: NDArray[np.floating]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Numbers and scales (rows,) of weights (rows, …), which are finite.

    What was restored from some gives the same numbers again.
    """
    import numpy as np

    rows = np.asarray(values, np.float32).reshape(len(values), -1)
    scale = np.abs(rows).max(1) / np.float32(LARGEST)
    numbers = np.rint(rows / np.where(scale > 0, scale, 1)[:, None])
    return numbers.astype(np.int8).reshape(values.shape), scale


def restored(numbers: NDArray[np.int8], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weights (rows, …) that numbers and scales (rows,) stand for."""
    import numpy as np

    rows = numbers.reshape(len(numbers), -1).astype(np.float32)
    return (rows * scale[:, None]).reshape(numbers.shape)


def weights_of(names: Iterable[str]) -> set[str]:
    """Which of the names are of weights that have scales among them."""
    known = set(names)
    return {name for name in known if name + SCALE in known}
