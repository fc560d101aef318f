"""Training images: a folder of pictures, or a data set in files (`datasets.py`).

Everything becomes one uint8 array (N, C, H, W), which is how these small sets are used. The files
may come from someone else: sizes are checked before memory is allocated, and no code is run.
"""

import io
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size
from sitegen.generative.data.datasets import DATASET_BYTES, Images, read_dataset

RawImage = NDArray[np.uint8]
Choice = Callable[[int], Sequence[int]]

EXAMPLE_NAME = "example.png"
"""File name of an example image, stored next to its card."""
SMALLEST, LARGEST = 4, 4096
"""Minimum and maximum side of an image in pixels."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
"""Supported formats; decoders of other formats may start a program."""
LARGEST_PIXELS = 50_000_000
"""Maximum pixels of a picture, which take about 500 MB while it is read."""
DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError),
    *(pickle.UnpicklingError, struct.error, zlib.error, zipfile.BadZipFile),
)
"""Exceptions that reading a damaged picture or state of a training run may raise."""


def read_images(
    path: Path,
    image_size: int | None = None,
    channels: int | None = None,
    choose: Choice | None = None,
) -> Images:
    """Return images (N, C, H, W) uint8, with N at least 1 and H = W, from a file or folder.

    `path` is an MNIST-format file or an .npz, a folder with `train-images-idx3-ubyte` (or its .gz)
    or CIFAR's binary version, or a folder of square pictures, searched recursively.
    `image_size` scales the middle square of images of another size. Images have one channel if none
    has colour; `channels` = 3 converts grey images to colour. `choose` is called with the number of
    images and returns the indices of those to use; only these pictures of a folder are read.

    Raises RefusedError if nothing usable is there, or an image does not fit the others.
    """
    dataset = read_dataset(path)
    if dataset is None:
        images = _read_pictures(path, image_size, choose)
    else:
        images = _scaled_dataset(path, dataset, image_size, choose)
    _, own_channels, height, width = images.shape
    if channels is not None and channels != own_channels:
        if own_channels != 1:
            raise RefusedError(f"{path}: its images have colour; this model is for grey ones")
        images = np.repeat(images, channels, axis=1)
    if height != width:
        raise RefusedError(f"{path}: its images are {width}×{height} pixels; use squares")
    return np.ascontiguousarray(images)


def require_enough(images: Images, where: Path | str) -> None:
    """Raise RefusedError for images (N, C, H, W) that are too few or too small for training."""
    count, side = len(images), images.shape[-1]
    if count < 2:
        raise RefusedError(f"{where}: holds one image; a model learns from hundreds at least")
    if side < SMALLEST:
        raise RefusedError(
            f"{where}: its images are {side}×{side} pixels; use at least {SMALLEST}×{SMALLEST}"
        )


def as_png(image: RawImage) -> bytes:
    """Return an image (C, H, W), uint8 with 1 or 3 channels, as PNG."""
    file = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


def image_side(path: Path) -> int | None:
    """Return the side in pixels of the images in a file or folder; None unless all are equal
    squares.

    Only the headers of pictures are read. Raises RefusedError as `read_images` does.
    """
    dataset = read_dataset(path)
    files = find_pictures(path) if dataset is None else []
    sizes = set() if dataset is None else {dataset.shape[1:3]}
    for file in files:
        with opened_picture(file, file) as picture:
            sizes.add((picture.height, picture.width))
    if not sizes:
        raise _nothing(path)
    height, width = sizes.pop()
    return height if height == width and not sizes else None


def _scaled_dataset(
    path: Path, dataset: Images, image_size: int | None, choose: Choice | None
) -> Images:
    """Return the chosen images (N, C, H, W) of a data set (N, H, W, C), scaled one by one."""
    count, height, width, channels = dataset.shape
    order = range(count) if choose is None else choose(count)
    if image_size is not None:
        height = width = image_size
    if len(order) * height * width * channels > DATASET_BYTES:
        raise RefusedError(
            f"{path}: {len(order):,} images of {width}×{height} pixels are more than "
            f"sitegen reads ({DATASET_BYTES:,} bytes); use fewer, or a smaller --image-size"
        )
    images = np.empty((len(order), height, width, channels), np.uint8)
    for row, index in enumerate(order):
        picture = dataset[index]
        grey = scaled(picture[..., 0], image_size)[..., None] if channels == 1 else None
        images[row] = scaled(picture, image_size) if grey is None else grey
    return images.transpose(0, 3, 1, 2)


def _read_pictures(folder: Path, image_size: int | None, choose: Choice | None) -> Images:
    """Return the chosen pictures (N, C, H, W) of a folder; C is 1 if all are grey."""
    files = find_pictures(folder)
    if not files:
        raise _nothing(folder)
    if choose is not None:
        files = [files[index] for index in choose(len(files))]
    pictures = [read_picture(files[0], image_size)]
    height, width = pictures[0].shape[:2]
    if width > LARGEST or pictures[0].size * len(files) > DATASET_BYTES:
        raise RefusedError(
            f"{folder}: {len(files)} pictures of {width}×{height} pixels are more than sitegen "
            f"reads ({LARGEST} pixels a side, {DATASET_BYTES:,} bytes); scale their middle squares "
            "with --image-size"
        )
    for file in files:
        if file != files[0]:
            pictures.append(read_picture(file, image_size))
        if (picture := pictures[-1]).shape[:2] != (height, width) or height != width:
            size = f"{picture.shape[1]}×{picture.shape[0]}"
            other = "" if height != width else f", the first image {width}×{height}"
            raise RefusedError(
                f"{file}: is {size} pixels{other}; use squares of one "
                "size, or scale their middle squares with --image-size"
            )
    if all(picture.ndim == 2 for picture in pictures):
        return np.stack(pictures)[:, None]
    colour = [
        picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
        for picture in pictures
    ]
    return np.stack(colour).transpose(0, 3, 1, 2)


def _nothing(folder: Path) -> RefusedError:
    suffixes = sorted({path.suffix.lower() for path in folder.iterdir() if path.suffix})[:5]
    others = f"; what it has are files named {', '.join(suffixes)}" if suffixes else ""
    return RefusedError(
        f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}), no MNIST-format "
        f"training images and no binary CIFAR{others}"
    )


def find_pictures(folder: Path) -> list[Path]:
    """Return the pictures in a folder and below, sorted, without hidden files and folders."""
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = [path for path in paths if path.is_file()]
    return sorted(path for path in files if "/." not in f"/{path.relative_to(folder).as_posix()}")


def read_picture(
    file: Path,
    image_size: int | None = None,
    data: bytes | None = None,
    *,
    transparent: bool = False,
) -> RawImage:
    """Return a picture, (H, W) when it has no colour, else (H, W, 3), or (H, W, 4) with alpha.

    With `image_size` its middle square is scaled to that side. `data` is the content of the file,
    if it was read before. Raises RefusedError for a file that cannot be read or has too many
    pixels, and for pixels whose meaning is not certain: of 32 bits, or transparent ones unless
    the picture may be `transparent`.
    """
    if data is None:
        # Opening a pipe would wait for a writer.
        regular_size(file, "picture")
    with opened_picture(file, file if data is None else io.BytesIO(data)) as opened:
        if opened.width * opened.height > LARGEST_PIXELS:
            raise ValueError(
                f"it has {opened.width}×{opened.height} pixels, more than "
                f"{LARGEST_PIXELS // 1_000_000} megapixels; scale it down first"
            )
        opened.load()
        ImageOps.exif_transpose(opened, in_place=True)
        if opened.mode in ("I", "F"):
            raise ValueError("its pixels have 32 bits; save it with 8 or 16")
        if opened.mode.startswith("I;16"):
            # 65,535 = 257 · 255, so this rounds to the nearest of 256 values.
            pixels = ((np.asarray(opened).astype(np.uint32) + 128) // 257).astype(np.uint8)
        else:
            alpha = opened.convert("RGBA").getchannel("A") if opened.has_transparency_data else None
            if alpha is not None and alpha.getextrema()[0] != 255:
                if transparent:
                    return np.asarray(opened.convert("RGBA"))
                raise ValueError("it has transparent pixels; put it on a background first")
            pixels = np.asarray(opened.convert("L" if opened.mode in ("1", "L", "LA") else "RGB"))
    grey = pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all())
    return scaled(pixels[..., 0] if grey else pixels, image_size)


@contextmanager
def opened_picture(file: Path, source: Path | io.BytesIO) -> Iterator[Image.Image]:
    """Open a picture without reading its pixels; any fault in the block is one of the `file`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unusual but readable files; unreadable ones raise
            with Image.open(source, formats=FORMATS) as opened:
                yield opened
    except DAMAGE as error:
        fault = "it is no picture" if isinstance(error, UnidentifiedImageError) else error
        raise RefusedError(f"{file}: cannot be read as an image: {fault}") from error


def scaled(picture: RawImage, image_size: int | None) -> RawImage:
    """Return the middle square of a picture, scaled; the whole picture without `image_size`."""
    height, width = picture.shape[:2]
    if image_size is None or (height, width) == (image_size, image_size):
        return picture
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(picture[top : top + side, left : left + side])
    # Average whole blocks exactly; use a general filter for other ratios.
    method = Image.Resampling.BICUBIC if side % image_size else Image.Resampling.BOX
    return np.asarray(square.resize((image_size, image_size), method))
