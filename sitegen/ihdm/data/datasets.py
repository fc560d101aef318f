"""Data sets in files of their own: MNIST's format, and CIFAR's batches."""

from __future__ import annotations

import gzip
import math
import pickle
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size

Images = NDArray[np.uint8]

IDX_UINT8 = 0x08
_IDX_NAMES = ("train-images-idx3-ubyte", "train-images.idx3-ubyte")
_CIFAR = {"cifar-10-batches-py": "data_batch_*", "cifar-100-python": "train"}
_CIFAR_SHAPE = (3, 32, 32)
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)
"""What a damaged pickle may end in."""


def find_dataset(folder: Path) -> Callable[[], Images] | None:
    """What reads the data set that a folder is or holds; None if it holds none.

    Known are MNIST-format training images, in the folder or as torchvision keeps them
    (NAME/raw/), and CIFAR's batches. Raises RefusedError if there are several.
    """
    idx, cifar = _find_idx(folder), _find_cifar(folder)
    found = [*idx, *cifar]
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found)
        raise RefusedError(f"{folder}: holds several data sets ({names}); name one of them")
    if idx:
        return lambda: read_idx(idx[0])
    return (lambda: read_cifar(cifar[0])) if cifar else None


def _find_idx(folder: Path) -> list[Path]:
    places = [folder, folder / "raw", *sorted(folder.glob("*/raw"))]
    found = []
    for place in places:
        files = [place / f"{name}{end}" for name in _IDX_NAMES for end in ("", ".gz")]
        found += [file for file in files if file.is_file()][:1]
    return found


def _find_cifar(folder: Path) -> list[Path]:
    places = [folder, *(folder / name for name in _CIFAR)]
    return [place for place in places if place.name in _CIFAR and place.is_dir()]


def read_idx(path: Path) -> Images:
    """The images (N, 1, H, W) of one MNIST-format file, gzipped or not.

    The format is a header of big-endian integers (0, 0, type 8 for uint8, number of axes, the
    lengths of the axes) and then the bytes. Raises RefusedError for any other file.
    """
    regular_size(path, "file of images")
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from error
    shape = _idx_shape(path, data)
    size = len(data) - 16
    if size != math.prod(shape):
        raise RefusedError(
            f"{path}: holds {size} bytes of pixels, but its header says {shape[0]} images of "
            f"{shape[2]}×{shape[1]}; it was cut or damaged: fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=16).reshape(shape[0], 1, *shape[1:]).copy()


def _idx_shape(path: Path, data: bytes) -> tuple[int, int, int]:
    if len(data) < 16 or data[:4] != bytes((0, 0, IDX_UINT8, 3)):
        raise RefusedError(
            f"{path}: not a file of images in the MNIST format (uint8, three axes); "
            "give the file that ends in images-idx3-ubyte, or a folder of pictures"
        )
    count, height, width = struct.unpack(">3I", data[4:16])
    return count, height, width


def read_cifar(folder: Path) -> Images:
    """The training images (N, 3, 32, 32) in a folder of CIFAR's batches.

    The batches are pickles; only arrays are taken from them and nothing is executed. Raises
    RefusedError for a file that is anything else.
    """
    files = sorted(folder.glob(_CIFAR[folder.name]))
    if not files:
        raise RefusedError(f"{folder}: holds no {_CIFAR[folder.name]}; unpack the archive again")
    return np.concatenate([_read_batch(file) for file in files])


def _read_batch(path: Path) -> Images:
    regular_size(path, "batch of images")
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these pickles were made by a NumPy of 2009
            pixels = _ArraysOnly(file, encoding="bytes").load()[b"data"]
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise TypeError("its data are no array of uint8")
        return pixels.reshape(-1, *_CIFAR_SHAPE)
    except _DAMAGE as error:
        raise RefusedError(f"{path}: not a batch of CIFAR, or damaged: {error}") from error


class _ArraysOnly(pickle.Unpickler):
    """Reads what NumPy arrays are made of, under the old names and the new, and nothing else."""

    _modules = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
    _names = ("ndarray", "dtype", "_reconstruct")

    def find_class(self, module: str, name: str) -> Any:
        """The class that a pickle names. UnpicklingError if it is none of ours."""
        if module not in self._modules or name not in self._names:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        if name == "_reconstruct":
            return _reconstruct
        return getattr(np, name)


def _reconstruct(kind: type, shape: tuple[int, ...], _code: bytes) -> Images:
    """An empty array, which the pickle then fills."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("it makes something else than an array")
    return np.ndarray(shape, np.uint8)
