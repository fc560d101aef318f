"""Reader of data sets in MNIST's format: four idx files, plain or gzipped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sitegen.generative.data.datasets import read_idx

Bytes = NDArray[np.uint8]

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


def read_dataset(folder: Path) -> Dataset:
    """Read the four files of `folder`; raises SystemExit if one is missing, RefusedError if it is
    damaged.
    """
    arrays = {
        name: read_idx(_find(folder, stem), "images or labels", (1, 3))
        for name, stem in _NAMES.items()
    }
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
