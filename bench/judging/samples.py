"""Reader of samples in the .npz files of `sitegen sample`, one level at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.judging.images import Samples
from bench.judging.spectra import Floats, Images, power, watched_levels

Planes = Callable[[NDArray[Any]], Images]


def read_samples(
    path: Path, sigmas: tuple[float, ...] | None, planes: Planes | None = None
) -> Samples:
    """Read the samples in `path`; states are used only with the blur schedule `sigmas`.

    planes: converts images (N, C, H, W) to the form that is measured; grey by default
    """
    planes = planes or grey
    with np.load(path) as arrays:
        missing = {"final", "initial", "sampling_noise_std"} - set(arrays)
        if missing:
            raise SystemExit(f"{path}: no array {', '.join(sorted(missing))}")
        final, initial = planes(arrays["final"]), planes(arrays["initial"])
        std = float(arrays["sampling_noise_std"])
        has_states = "states" in arrays
    spectra = dict(_spectra(path, sigmas, planes)) if has_states and sigmas else {}
    return Samples(final, initial, std, sigmas, spectra, len(final) if spectra else 0)


def grey(images: NDArray[Any]) -> Images:
    """Return images (N, H, W) of (N, 1, H, W); raises SystemExit for more channels."""
    if images.ndim != 4 or images.shape[1] != 1:
        raise SystemExit(f"samples have shape {images.shape}; one channel (N, 1, H, W) is needed")
    return np.ascontiguousarray(images[:, 0], dtype=np.float32)


def coloured(images: NDArray[Any]) -> Images:
    """Return images (N, 3, H, W); raises SystemExit for another number of channels."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise SystemExit(f"samples have shape {images.shape}; colours (N, 3, H, W) are needed")
    return np.ascontiguousarray(images, dtype=np.float32)


def _spectra(path: Path, sigmas: tuple[float, ...], planes: Planes) -> Iterator[tuple[int, Floats]]:
    """Yield level and mean power of the watched states u_K … u_0, one at a time."""
    with np.load(path) as arrays:
        if "levels" not in arrays:
            raise SystemExit(f"{path}: no array levels, the levels of its states")
        visited = arrays["levels"].tolist()
    with zipfile.ZipFile(path) as archive, archive.open("states.npy") as stream:
        np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if fortran or shape[0] != len(visited) or visited[0] != len(sigmas) - 1:
            raise SystemExit(
                f"{path}: states {shape} do not fit the card's {len(sigmas) - 1} levels"
            )
        for level in visited:
            data = stream.read(int(np.prod(shape[1:])) * dtype.itemsize)
            if level in watched_levels(visited):
                yield level, power(planes(np.frombuffer(data, dtype).reshape(shape[1:])))
