"""Reader of samples in the .npz files of `sitegen sample`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.judging.images import Samples
from bench.judging.spectra import Images

Planes = Callable[[NDArray[Any]], Images]


def read_samples(path: Path, planes: Planes) -> Samples:
    """Read the samples in `path`.

    planes: converts images (N, C, H, W) to the form that is measured
    """
    with np.load(path) as arrays:
        missing = {"final", "initial", "sampling_noise_std"} - set(arrays)
        if missing:
            raise SystemExit(f"{path}: no array {', '.join(sorted(missing))}")
        final, initial = planes(arrays["final"]), planes(arrays["initial"])
        std = float(arrays["sampling_noise_std"])
    return Samples(final, initial, std)


def grey(images: NDArray[Any]) -> Images:
    """Return images (N, H, W) of (N, 1, H, W); raises SystemExit for more channels."""
    return _with_channels(images, 1)[:, 0]


def coloured(images: NDArray[Any]) -> Images:
    """Return images (N, 3, H, W); raises SystemExit for another number of channels."""
    return _with_channels(images, 3)


def _with_channels(images: NDArray[Any], channels: int) -> Images:
    if images.ndim != 4 or images.shape[1] != channels:
        raise SystemExit(f"samples have shape {images.shape}; (N, {channels}, H, W) is needed")
    return np.ascontiguousarray(images, dtype=np.float32)
