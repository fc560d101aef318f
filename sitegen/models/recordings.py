"""Make a recording of states that something else than `sitegen.record` has saved.

These are an `.npy` of the shape (T, N, C, H, W) or (T, N, H, W, C), the `.npz` that `sitegen sample
--trajectory` writes, and a folder of PNGs: one for each step, or a folder for each step with one
for each sample. They are read a step at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import RefusedError
from sitegen.core.source import natural_order
from sitegen.generative.data.arrays import ArrayFile, open_arrays
from sitegen.generative.data.images import read_picture
from sitegen.record import LARGEST_ARRAY, record

RECORDING_NAME = "recording.npz"
_LEVEL = re.compile(r"level-\d+\.png")

Array = NDArray[Any]


def is_recording(path: Path) -> bool:
    """Return whether a file is a recording already."""
    if path.is_dir():
        return False
    with open_arrays(path) as file:
        return "run.json" in file.others


def write_recording(source: Path, target: Path) -> tuple[str, ...]:
    """Convert `source` to a recording, and return notes on the assumptions made.

    Raises RefusedError, naming the file, for data that cannot be read or does not fit.
    """
    try:
        if source.is_dir():
            order, files = _files(source)
            with record(target, axis=("step", ""), range=(0, 255), dtype="uint8") as rec:
                for number, paths in enumerate(files):
                    pixels = [read_picture(path) for path in paths]
                    if len({picture.shape for picture in pixels}) > 1:
                        folder = paths[0].parent.name
                        raise ValueError(f"{folder}: pictures of a step must have one size")
                    images = np.stack(pixels)
                    rec(
                        number,
                        images.transpose(0, 3, 1, 2) if images.ndim == 4 else images[:, None],
                    )
            return (f"the pictures were read in the order of their {order}",)
        with open_arrays(source, max(LARGEST_ARRAY, 2 * source.stat().st_size)) as file:
            for name, info in file.arrays.items():
                if name not in ("", "states", "means"):
                    continue
                array = name or "the array"
                if len(info.shape) == 3 and info.shape[2] == 2 and not name:
                    return (_record_points(file, target),)
                if len(info.shape) != 5:
                    orders = "(T, N, C, H, W)" if name else "(T, N, C, H, W) or (T, N, H, W, C)"
                    others = "a page shows video files by video()"
                    fault = f"{array} has the shape {info.shape}; must be {orders}; {others}"
                    raise ValueError(fault)
                if (size := 4 * prod(info.shape[1:])) > LARGEST_ARRAY:
                    most = f"at most {LARGEST_ARRAY:,}"
                    raise ValueError(f"a step of {array} takes {size:,} bytes; {most}")
            if "states" in file.arrays:
                _record_samples(file, target)
                return ()
            if "" in file.arrays:
                return (_record_array(file, target),)
    except ValueError as error:
        raise RefusedError(f"{source}: {error}") from None
    raise RefusedError(
        f"{source}: is neither a recording of sitegen.record nor an .npz of `sitegen sample "
        "--trajectory`, which has `states` and `levels`"
    )


def _record_samples(file: ArrayFile, target: Path) -> None:
    """Record the states and means of `sitegen sample --trajectory`."""
    levels = file.read("levels").ravel().tolist() if "levels" in file.arrays else []
    count = file.arrays["states"].shape[0]
    if len(levels) != count:
        raise ValueError(f"has {count} states and {len(levels)} levels; their number must agree")
    seed = None
    if "seed" in file.arrays:
        stored = file.read("seed")
        if stored.size != 1 or not float(stored.item()).is_integer():
            raise ValueError(f"seed = {stored.ravel()[:3].tolist()}: give one whole number")
        seed = int(stored.item())
    means: Iterator[Array | None] = iter([None] * count)
    if "means" in file.arrays:
        means = chain([None], file.read("means"))
    with record(target, axis=("level", ""), range=(0, 1), dtype="float32", seed=seed) as rec:
        for level, states, mean in zip(levels, file.read("states"), means, strict=True):
            rec(level, states, mean=mean)


def _record_points(file: ArrayFile, target: Path) -> str:
    """Record points in the plane (T, N, 2), in a square around 0; return a note on it."""
    steps = file.read("").astype(np.float32)
    end = float(f"{1.1 * np.abs(steps).max() or 1.0:.1g}")
    end = max(end, float(np.abs(steps).max()))
    with record(target, axis=("step", ""), range=(-end, end), dtype="float32") as rec:
        rec.scan(range(len(steps)), steps)
    return (
        f"both axes go from {-end:g} to {end:g}; for others record with sitegen.record and range="
    )


def _record_array(file: ArrayFile, target: Path) -> str:
    """Record an array of steps in the range of bytes, [-1, 1] or [0, 1]; return a note on it."""
    info, steps = file.arrays[""], file.read("")
    are_bytes = info.dtype == np.uint8
    low = 0 if are_bytes else min(float(states.min()) for states in steps)
    # States of images in [0, 1] reach -0.05 in models/mnist and -0.13 in models/faces.
    ends = (0 if low >= -0.5 else -1, 255 if are_bytes else 1)
    if info.shape[2] not in (1, 3) and info.shape[4] in (1, 3):
        steps = steps.transpose(0, 1, 4, 2, 3)
    dtype: Any = "uint8" if are_bytes else "float32"
    with record(target, axis=("step", ""), range=ends, dtype=dtype) as rec:
        for number, states in enumerate(steps):
            rec(number, states)
    note = f"{ends[0]} is taken for black and {ends[1]} for white"
    return f"{note}; if that is wrong, record with sitegen.record and range="


def _files(folder: Path) -> tuple[str, list[list[Path]]]:
    """Return how the PNGs of a folder are ordered, in words, and those of each step.

    `sitegen sample --trajectory` numbers levels, which fall, in a folder for each sample.
    """
    folders = sorted(
        (path for path in folder.iterdir() if path.is_dir()),
        key=lambda path: natural_order(path.name),
    )
    files = [_pngs(path) for path in folders] if folders else [[path] for path in _pngs(folder)]
    order = "names, first to last"
    if all(_LEVEL.fullmatch(path.name) for paths in files for path in paths):
        order = "levels, the highest first"
        if len({tuple(path.name for path in paths) for paths in files if folders}) > 1:
            raise ValueError("each folder must have the same levels")
        files = [[*paths] for paths in zip(*files, strict=True)] if folders else files
        files.reverse()
    if len(files) < 2 or not all(files):
        raise ValueError("must hold a PNG for each step, or a folder with PNGs for each step")
    return order, files


def _pngs(folder: Path) -> list[Path]:
    return sorted(
        (path for path in folder.iterdir() if path.suffix.lower() == ".png"),
        key=lambda path: natural_order(path.name),
    )
