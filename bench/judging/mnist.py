"""Reader of data sets in MNIST's format: four idx files, plain or gzipped."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_UNSIGNED_BYTE = 8
_NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


@dataclass(frozen=True)
class Dataset:
    """Data set: images uint8 (N, H, W), labels uint8 (N,); `digest` is that of the raw arrays."""

    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes
    digest: str

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.train_labels.max()) + 1


def read_idx(path: Path) -> Bytes:
    """Read an idx file of unsigned bytes; raises SystemExit if it is damaged."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE:
        raise SystemExit(f"{path}: not an idx file of unsigned bytes")
    dimensions = data[3]
    shape = np.frombuffer(data, ">u4", count=dimensions, offset=4).astype(int)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
    if values.size != shape.prod():
        raise SystemExit(f"{path}: has {values.size} values, but its header says {shape.prod()}")
    return values.reshape(tuple(shape))


def read_dataset(folder: Path) -> Dataset:
    """Read the four files of `folder`; raises SystemExit if one is missing."""
    arrays = {name: read_idx(_find(folder, stem)) for name, stem in _NAMES.items()}
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return Dataset(**arrays, digest=digest.hexdigest())


def as_floats(images: Bytes) -> NDArray[np.float32]:
    """Convert images to floats in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def _find(folder: Path, stem: str) -> Path:
    for path in (folder / stem, folder / f"{stem}.gz"):
        if path.is_file():
            return path
    raise SystemExit(
        f"{folder}: no {stem} or {stem}.gz; `make data` fetches MNIST into .data/mnist"
    )
