"""Small files of data as their programs write them, and readers that check what they give."""

import io
import pickle
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sitegen.generative.untrusted.arrays import ArrayBounds, open_arrays

PIXELS = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
SMALL = ArrayBounds(members=100, bytes=1 << 24, block_bytes=1 << 22)


def batches() -> list[bytes]:
    """Return a batch of CIFAR by every protocol."""
    batch = {b"data": PIXELS, b"fine_labels": [1, 2], b"filenames": [b"a.png", b"b.png"]}
    return [pickle.dumps(batch, protocol) for protocol in (2, 3, 4, 5)]


def mnist_file() -> bytes:
    """Return a file of images in MNIST's format."""
    return bytes((0, 0, 8, 3)) + struct.pack(">3I", 3, 4, 4) + bytes(range(48))


def array_file() -> bytes:
    """Return an `.npy`."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(12, dtype=np.float32).reshape(3, 4))
    return buffer.getvalue()


def require_images(images: NDArray[np.uint8]) -> None:
    """Raise AssertionError unless these are images (N, C, H, W) of bytes."""
    assert images.dtype == np.uint8
    assert images.ndim == 4
    assert images.shape[2] == images.shape[3]


def read_all_arrays(path: Path) -> None:
    """Read all of an `.npz` or `.npy`, whole and row by row, and compare the two."""
    with open_arrays(path, SMALL) as file:
        for name, info in file.arrays.items():
            whole = file.read(name)
            assert whole.shape == info.shape
            if info.shape and len(whole) < 1000:
                rows = np.concatenate(list(file.blocks(name, 1)))
                assert rows.tobytes() == whole.tobytes()
        for name in file.others:
            file.member(name)
