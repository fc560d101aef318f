"""Data sets in single files: MNIST's format, gzipped or not, CIFAR's binary version, and `.npz`."""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size
from sitegen.core.zips import UNPACKED, UNPACKED_BYTES
from sitegen.generative.data.arrays import open_arrays

Images = NDArray[np.uint8]

DATASET_BYTES = 16 << 30
"""Maximum bytes of the images of a data set, all of which are in memory once scaled."""
_IDX_NAMES = tuple(f"train-images{dot}idx{axes}-ubyte" for axes in (3, 4) for dot in "-.")
_CIFAR = {"cifar-10-batches-bin": ("data_batch_*.bin", 1), "cifar-100-binary": ("train.bin", 2)}
"""Folders of CIFAR's binary version: names of their files, and the labels before each image."""
_NPZ_NAMES = ("train_images", "x_train", "images", "data", "arr_0")


def read_dataset(path: Path) -> Images | None:
    """Return the images (N, H, W, C) of a file or folder; None for a folder without a data set.

    Known are MNIST-format training images, in the folder or as torchvision keeps them (NAME/raw/),
    CIFAR's binary version, and an `.npz` file. Files that are not packed are mapped into memory.
    Raises RefusedError if there are several, and for a file that is anything else.
    """
    if not path.exists():
        raise RefusedError(f"{path}: not there; give a folder of images or an MNIST-format file")
    if not path.is_dir():
        return _npz(path) if path.suffix == ".npz" else _idx(path)
    folders = [path, *(path / name for name in _CIFAR)]
    cifar = [folder for folder in folders if folder.name in _CIFAR and folder.is_dir()]
    idx = find_idx(path)
    if len(datasets := [*idx, *cifar]) > 1:
        names = ", ".join(str(dataset.relative_to(path)) for dataset in datasets)
        raise RefusedError(f"{path}: holds several data sets ({names}); name one of them")
    if idx:
        return _idx(idx[0])
    return _cifar(cifar[0]) if cifar else None


def find_idx(folder: Path) -> list[Path]:
    """Return the MNIST-format training images in a folder, or as torchvision keeps them."""
    first_files = []
    for parent in (folder, folder / "raw", *sorted(folder.glob("*/raw"))):
        files = [parent / f"{name}{end}" for name in _IDX_NAMES for end in ("", ".gz")]
        first_files += [file for file in files if file.is_file()][:1]
    return first_files


def read_idx(path: Path, what: str, axes: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the array of one MNIST-format file, gzipped or not; `what` it has is for messages.

    The format is a header of big-endian integers (0, 0, type 8 for uint8, number of axes, the
    lengths of the axes) and then the bytes. Raises RefusedError for anything else, and for an
    array whose number of axes is not among `axes`.
    """
    size = regular_size(path, f"file of {what}")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with cast(IO[bytes], gzip.open(path)) if packed else path.open("rb") as stream:
            start = stream.read(4)
            count = start[3] if len(start) == 4 and start[:3] == b"\0\0\x08" else 0
            header = stream.read(4 * count) if count in axes else b""
            if not header or len(header) < 4 * count:
                raise RefusedError(
                    f"{path}: not a file of {what} in the MNIST format (uint8, axes: "
                    f"{' or '.join(map(str, axes))}); give the file that ends in -ubyte, an .npz, "
                    "or a folder of pictures"
                )
            shape = struct.unpack(f">{count}I", header)
            length = prod(shape)
            if packed and length > UNPACKED * size + UNPACKED_BYTES:
                raise RefusedError(
                    f"{path}: its header says {length:,} bytes, more than a gzipped file of its "
                    "size may hold; unpack it first"
                )
            data = stream.read(length + 1) if packed else b""  # to its end, with a checksum
    except (OSError, EOFError, zlib.error) as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from None
    stored = len(data) if packed else size - 4 - len(header)
    if stored != length:
        contents = f"more than {length}" if packed and stored > length else str(stored)
        raise RefusedError(
            f"{path}: holds {contents} bytes, but its header says {' × '.join(map(str, shape))} "
            f"{what}; truncated or damaged; download it again"
        )
    if not length:
        raise RefusedError(f"{path}: holds no {what}")
    if packed:
        return np.frombuffer(data, np.uint8).reshape(shape)
    # Mapped, so that of a file of several GB only the chosen images cost memory.
    return np.memmap(path, np.uint8, "r", 4 + len(header), shape)


def _idx(path: Path) -> Images:
    """Return the images of one MNIST-format file, whose fourth axis is that of their channels."""
    images = read_idx(path, "images", (3, 4))
    if images.ndim == 4 and images.shape[3] not in (1, 3):
        raise RefusedError(f"{path}: has the shape {images.shape}; images have 1 or 3 channels")
    return images if images.ndim == 4 else images[..., None]


def _cifar(folder: Path) -> Images:
    """Return the training images of CIFAR's binary version: labels, then 3 × 32 × 32 bytes."""
    pattern, labels = _CIFAR[folder.name]
    files, row = sorted(folder.glob(pattern)), labels + 3072
    if not files:
        raise RefusedError(f"{folder}: holds no {pattern}; unpack the archive again")
    for file in files:
        if (size := regular_size(file, "batch of images")) % row:
            raise RefusedError(f"{file}: its {size:,} bytes are not rows of {row}; damaged")
    rows = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, row) for file in files])
    return rows[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _npz(path: Path) -> Images:
    """Return the images (N, H, W), (N, H, W, C) or (N, C, H, W), uint8, of an `.npz` file."""
    with open_arrays(path, DATASET_BYTES) as file:
        images = {
            name: info.shape
            for name, info in file.arrays.items()
            if info.dtype == np.uint8 and len(info.shape) in (3, 4)
        }
        name = next((name for name in _NPZ_NAMES if name in images), "")
        if not name and len(images) == 1:
            (name,) = images
        if not name:
            arrays = ", ".join(f"{n} {i.dtype} {i.shape}" for n, i in file.arrays.items())[:300]
            raise RefusedError(
                f"{path}: which array are the images? It has {arrays or 'none'}; save uint8 images "
                "(N, H, W) or (N, H, W, 3) under the name images"
            )
        shape = images[name] if len(images[name]) == 4 else (*images[name], 1)
        first = shape[3] not in (1, 3) and shape[1] in (1, 3)
        if shape[1 if first else 3] not in (1, 3):
            raise RefusedError(f"{path}: {name} has the shape {shape}; images have 1 or 3 channels")
        pixels = file.read(name)
    return pixels.transpose(0, 2, 3, 1) if first else pixels.reshape(shape)
