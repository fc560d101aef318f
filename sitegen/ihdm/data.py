"""Training images: a folder of pictures, MNIST-format files, or a torchvision dataset.

Everything becomes one uint8 array (N, C, H, W), which is how these small sets are used.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sitegen.errors import RefusedError

Images = NDArray[np.uint8]

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
IDX_UINT8 = 0x08


def read_images(path: Path, image_size: int | None = None) -> Images:
    """Images (N, C, H, W) uint8 from a file or folder.

    `path` is an MNIST-format file, a folder holding `train-images-idx3-ubyte` (also gzipped), or a
    folder of square pictures, searched below, too. `image_size` scales pictures of another size.
    Raises RefusedError when nothing usable is there, or an image does not fit the others.
    """
    if not path.exists():
        raise RefusedError(f"{path}: not there; give a folder of images or an MNIST-format file")
    if path.is_file():
        return read_idx(path)
    for name in ("train-images-idx3-ubyte", "train-images.idx3-ubyte"):
        for candidate in (path / name, path / f"{name}.gz"):
            if candidate.is_file():
                return read_idx(candidate)
    return _read_pictures(path, image_size)


def read_idx(path: Path) -> Images:
    """The images (N, 1, H, W) of one MNIST-format file, gzipped or not.

    The format is a header of big-endian integers (0, 0, type 8 for uint8, number of axes, the
    lengths of the axes) and then the bytes.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from error
    shape = _idx_shape(path, data)
    pixels = np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape))
    if pixels.size != np.prod(shape):
        raise RefusedError(f"{path}: holds {pixels.size} bytes of pixels, its header says {shape}")
    return pixels.reshape(shape[0], 1, *shape[1:])


def _idx_shape(path: Path, data: bytes) -> tuple[int, int, int]:
    if len(data) < 16 or data[:4] != bytes((0, 0, IDX_UINT8, 3)):
        raise RefusedError(
            f"{path}: not a file of images in the MNIST format (uint8, three axes); "
            "give the file that ends in images-idx3-ubyte"
        )
    count, height, width = struct.unpack(">3I", data[4:16])
    return count, height, width


def _read_pictures(folder: Path, image_size: int | None) -> Images:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURES)
    if not files:
        raise RefusedError(
            f"{folder}: holds no images ({', '.join(sorted(PICTURES))}) and no MNIST-format files"
        )
    images = [_read_picture(file, image_size) for file in files]
    if any(image.ndim == 3 for image in images):
        images = [_as_colour(image) for image in images]
    _refuse_mixed(files, images)
    stack = np.stack(images)
    return stack[:, None] if stack.ndim == 3 else np.ascontiguousarray(stack.transpose(0, 3, 1, 2))


def _read_picture(file: Path, image_size: int | None) -> Images:
    """One picture, (H, W) when it is grey, else (H, W, 3)."""
    try:
        with Image.open(file) as opened:
            grey = opened.mode in ("1", "L", "LA", "I;16")
            picture = opened.convert("L" if grey else "RGB")
            if image_size is not None and picture.size != (image_size, image_size):
                picture = _square(picture).resize((image_size, image_size), Image.Resampling.BOX)
            return np.asarray(picture)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise RefusedError(f"{file}: cannot be read as an image: {error}") from error


def _square(picture: Image.Image) -> Image.Image:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _as_colour(image: Images) -> Images:
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def _refuse_mixed(files: Iterable[Path], images: list[Images]) -> None:
    height, width = images[0].shape[:2]
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != (height, width) or image.shape[0] != image.shape[1]:
            raise RefusedError(
                f"{file}: is {image.shape[1]}×{image.shape[0]} pixels, the first image "
                f"{width}×{height}; use squares of one size, or give --image-size"
            )
