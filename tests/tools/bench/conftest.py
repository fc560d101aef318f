"""A made-up data set in the format of MNIST: bright squares, one place a class, some noise."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

CLASSES = 4


def squares(count: int, seed: int) -> dict[str, NDArray[np.uint8]]:
    """Images (N, 28, 28) and labels (N,), by the names of their files."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(CLASSES, size=count).astype(np.uint8)
    images = generator.integers(0, 60, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = 3 + 12 * (label // 2), 3 + 12 * (label % 2)
        image[top : top + 9, left : left + 9] += generator.integers(100, 190, dtype=np.uint8)
    return {"images-idx3-ubyte": images, "labels-idx1-ubyte": labels}


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four idx files."""
    folder = tmp_path_factory.mktemp("squares")
    for part, count, seed in (("train", 600, 0), ("t10k", 200, 1)):
        for name, array in squares(count, seed).items():
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{name}").write_bytes(header + array.tobytes())
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the classifier is kept, so that it is trained once a test run."""
    return tmp_path_factory.mktemp("cache")
