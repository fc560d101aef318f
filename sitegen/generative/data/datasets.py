"""Data sets in single files: images in MNIST's format, gzipped or not, and CIFAR's batches."""

import gzip
import struct
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size
from sitegen.generative.untrusted.pickles import (
    NUMPY_CALLS,
    NUMPY_NAMES,
    EncodedText,
    NumpyArray,
    NumpyType,
    PickleError,
    Vocabulary,
    read_pickle,
)
from sitegen.generative.untrusted.zips import UNPACKED, UNPACKED_BYTES

Images = NDArray[np.uint8]

DATASET_BYTES = 16 << 30
"""Maximum bytes of the pixels of a data set, all of which are in memory."""
BATCH_BYTES = 512 << 20
"""Maximum bytes of the batches of CIFAR together, which have 155 MB."""
IDX_UINT8 = 0x08
_PIECE = 1 << 20
_IDX_NAMES = tuple(f"train-images{dot}idx{axes}-ubyte" for axes in (3, 4) for dot in "-.")
_CIFAR = {"cifar-10-batches-py": "data_batch_*", "cifar-100-python": "train"}
_CIFAR_SHAPE = (3, 32, 32)
_BATCH = Vocabulary(
    writer="CIFAR's authors",
    kind="batch of CIFAR",
    calls=NUMPY_CALLS,
    names=NUMPY_NAMES,
    bytes=BATCH_BYTES,
    operations=1_000_000,
)


def find_dataset(path: Path) -> Callable[[], Images] | None:
    """Return the function that reads the data set of a file or folder; None if it holds none.

    Known are MNIST-format training images, in the folder or as torchvision keeps them
    (NAME/raw/), and CIFAR's batches. Raises RefusedError if there are several.
    """
    if not path.exists():
        raise RefusedError(f"{path}: not there; give a folder of images or an MNIST-format file")
    if not path.is_dir():
        return lambda: read_idx(path)
    places = [path, *(path / name for name in _CIFAR)]
    cifar = [place for place in places if place.name in _CIFAR and place.is_dir()]
    idx = _find_idx(path)
    found = [*idx, *cifar]
    if len(found) > 1:
        names = ", ".join(str(each.relative_to(path)) for each in found)
        raise RefusedError(f"{path}: holds several data sets ({names}); name one of them")
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


def read_idx(path: Path) -> Images:
    """Read the images (N, C, H, W) of one MNIST-format file, gzipped or not.

    The format is a header of big-endian integers (0, 0, type 8 for uint8, number of axes, the
    lengths of the axes) and then the bytes. Grey images have three axes, images in colour a fourth
    for their channels. Raises RefusedError for any other file, before memory is taken for it.
    """
    size = regular_size(path, "file of images")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                return _read_idx(path, file, size, size)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read_idx(
                    path, cast(IO[bytes], unpacked), None, UNPACKED * size + UNPACKED_BYTES
                )
    except (OSError, EOFError, zlib.error) as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from error


def _read_idx(path: Path, file: IO[bytes], size: int | None, most: int) -> Images:
    """Read the images from an open file of `size` bytes (None if unknown).

    No more than `most` bytes are unpacked.
    """
    shape, header = _idx_shape(path, file)
    wanted = prod(shape)
    if size is not None and size - header != wanted:
        raise _wrong_length(path, f"{size - header}", shape)
    if wanted > min(most, DATASET_BYTES):
        raise RefusedError(
            f"{path}: its header says {wanted:,} bytes of pixels, more than {_limit(most)}"
        )
    pixels, filled = np.empty(wanted, np.uint8), 0
    while filled < wanted and (piece := file.read(min(_PIECE, wanted - filled))):
        pixels[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    if file.read(1):  # at the end, a gzipped file's checksum is verified
        raise _wrong_length(path, f"more than {wanted}", shape)
    if filled < wanted:
        raise _wrong_length(path, f"{filled}", shape)
    return np.ascontiguousarray(pixels.reshape(shape).transpose(0, 3, 1, 2))


def _limit(most: int) -> str:
    if most < DATASET_BYTES:
        return f"a gzipped file of its size may hold ({most:,}); unpack it first"
    return f"sitegen reads ({DATASET_BYTES:,})"


def _wrong_length(path: Path, held: str, shape: tuple[int, ...]) -> RefusedError:
    count, height, width, channels = shape
    return RefusedError(
        f"{path}: holds {held} bytes of pixels, but its header says {count} images of "
        f"{width}×{height}{' in colour' if channels == 3 else ''}; truncated or damaged; "
        "download it again"
    )


def _idx_shape(path: Path, file: IO[bytes]) -> tuple[tuple[int, int, int, int], int]:
    """Read the header: the images, rows, columns and channels, and its own length."""
    start = file.read(4)
    axes = start[3] if len(start) == 4 and start[:3] == bytes([0, 0, IDX_UINT8]) else 0
    data = file.read(4 * axes) if axes in (3, 4) else b""
    shape = struct.unpack(f">{axes}I", data) if data and len(data) == 4 * axes else ()
    if len(shape) == 3:
        return (*shape, 1), 16
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise RefusedError(
            f"{path}: not a file of images in the MNIST format (uint8, three axes or four); "
            "give the file that ends in images-idx3-ubyte, or a folder of pictures"
        )
    return shape, 20


def read_cifar(folder: Path) -> Images:
    """Read the training images (N, 3, 32, 32) in a folder of CIFAR's batches.

    The batches are pickles, which are read as data: nothing of them is executed. Raises
    RefusedError for a file that is anything else.
    """
    files = sorted(folder.glob(_CIFAR[folder.name]))
    if not files:
        raise RefusedError(f"{folder}: holds no {_CIFAR[folder.name]}; unpack the archive again")
    size = sum(regular_size(file, "batch of images") for file in files)
    if size > BATCH_BYTES:
        raise RefusedError(f"{folder}: its batches have {size:,} bytes; those of CIFAR have 155 MB")
    return np.concatenate([_read_batch(file) for file in files])


def _read_batch(path: Path) -> Images:
    try:
        batch = read_pickle(path.read_bytes(), _BATCH)
        if not isinstance(batch, dict):
            raise PickleError(f"it holds a {type(batch).__name__}, not a dict")
        return _pixels(batch.get("data", batch.get(b"data")))
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path}: not a batch of CIFAR, or damaged: {error}") from error


def _pixels(array: object) -> Images:
    if not isinstance(array, NumpyArray):
        raise PickleError("its data are not an array")
    if not isinstance(array.dtype, NumpyType) or array.dtype.code != "u1":
        raise PickleError("its data are not an array of uint8")
    data = array.data
    if isinstance(data, EncodedText):
        data = data.text
    if isinstance(data, str):  # a string of Python 2
        data = data.encode("latin1")
    width = prod(_CIFAR_SHAPE)
    if not isinstance(data, bytes | memoryview) or len(data) % width or not len(data):
        raise PickleError(f"its data are not rows of {width} bytes")
    if array.is_fortran is not False or array.shape != (len(data) // width, width):
        raise PickleError("its data do not have the shape of colour images of 32×32 pixels")
    return np.frombuffer(data, np.uint8).reshape(-1, *_CIFAR_SHAPE)
