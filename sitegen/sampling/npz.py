"""An `.npz` file larger than memory: arrays filled piece by piece, then packed.

Each array is a file of its own beside the target, of its full size from the start, so that a disk
which is too small is found before anything is computed; pieces may come in any order. The target
appears whole, in one step, or not at all, and the same arrays are the same bytes.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sitegen.core.files import (
    flush_folder,
    platform_errors,
    require_writable,
    sweep,
    temporary_folder,
)

_COPY_BYTES = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Npz:
    """The arrays of a file under way; made by `writing`."""

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder = folder
        self._target = target
        self._starts: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def declare(self, name: str, shape: tuple[int, ...]) -> None:
        """Announce a float32 array, to be filled by `fill`; what is not filled is 0."""
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        with platform_errors(self._target), self._path(name).open("xb") as file:
            npy.write_array_header_1_0(file, header)
            file.flush()
            self._starts[name] = file.tell()
            _reserve(file.fileno(), file.tell() + 4 * math.prod(shape))
        self._shapes[name] = shape

    def fill(self, name: str, index: tuple[int, ...], values: NDArray[np.float32]) -> None:
        """Write `values`, which lie side by side in the array from `index` on (C order)."""
        shape = self._shapes[name]
        first = sum(at * math.prod(shape[axis + 1 :]) for axis, at in enumerate(index))
        with platform_errors(self._target), self._path(name).open("r+b") as file:
            file.seek(self._starts[name] + 4 * first)
            file.write(np.ascontiguousarray(values, "<f4").data)

    def keep(self, name: str, values: NDArray[Any] | np.generic) -> None:
        """Write a whole small array, or a scalar."""
        with platform_errors(self._target), self._path(name).open("xb") as file:
            npy.write_array(file, np.asarray(values), allow_pickle=False)

    def pack(self) -> None:
        """Put all arrays, uncompressed, into the target; they are gone afterwards."""
        packed = self._folder / "packed"
        with platform_errors(self._target):
            with zipfile.ZipFile(packed, "x", zipfile.ZIP_STORED) as archive:
                for path in sorted(self._folder.glob("*.npy")):
                    _add(archive, path)
                    path.unlink()
            packed.replace(self._target)
            flush_folder(self._target.parent)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npy"


@contextmanager
def writing(path: Path) -> Iterator[Npz]:
    """Fill arrays in the block; at its end they become the file `path`, if nothing went wrong.

    Takes the disk space of the arrays, and for a moment that of the largest once more. Raises
    PlatformError, naming `path`, when the disk is full or cannot be written.
    """
    require_writable(path.parent, path)
    sweep(path.parent)
    with temporary_folder(path.parent) as folder:
        arrays = Npz(folder, path)
        yield arrays
        arrays.pack()


def _reserve(handle: int, size: int) -> None:
    """Make a file `size` bytes long, on the disk itself where the file system can."""
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(handle, size)


def _add(archive: zipfile.ZipFile, path: Path) -> None:
    entry = zipfile.ZipInfo(path.name, _EPOCH)
    with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
        shutil.copyfileobj(source, sink, _COPY_BYTES)
