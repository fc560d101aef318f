"""Training images: a folder of pictures, MNIST-format files, or CIFAR's batches.

Everything becomes one uint8 array (N, C, H, W), which is how these small sets are used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sitegen.core.errors import RefusedError
from sitegen.ihdm.data.datasets import Images, find_dataset, read_idx
from sitegen.ihdm.data.pictures import (
    SUFFIXES,
    Picture,
    find_pictures,
    picture_size,
    read_picture,
    scaled,
)

SMALLEST = 4
"""Pixels a side that an image must have."""


Choice = Callable[[int], Sequence[int]]


def read_images(
    path: Path,
    image_size: int | None = None,
    channels: int | None = None,
    choose: Choice | None = None,
) -> Images:
    """Images (N, C, H, W) uint8, N at least 1 and H = W, from a file or folder.

    `path` is an MNIST-format file, a folder that holds `train-images-idx3-ubyte` (also gzipped) or
    CIFAR's batches as torchvision keeps them, or a folder of square pictures, searched below, too.
    `image_size` scales images of another size (their middle square). Images have one channel when
    none has colour; `channels` = 3 makes grey images colour ones. Only those
    images are taken, and of a folder of pictures read, whose places `choose` gives, told how many
    there are.

    Raises RefusedError when nothing usable is there, or an image does not fit the others.
    """
    if not path.exists():
        raise RefusedError(f"{path}: not there; give a folder of images or an MNIST-format file")
    images = _with_channels(path, _read(path, image_size, choose), channels)
    count, _, height, width = images.shape
    if not count:
        raise RefusedError(f"{path}: holds no images")
    if height != width:
        raise RefusedError(f"{path}: its images are {width}×{height} pixels; use squares")
    return np.ascontiguousarray(images)


def require_enough(images: Images, where: Path | str) -> None:
    """Refuse images (N, C, H, W) that nothing can be learnt from: one alone, or tiny ones."""
    count, side = len(images), images.shape[-1]
    if count < 2:
        raise RefusedError(f"{where}: holds one image; a model learns from hundreds at least")
    if side < SMALLEST:
        raise RefusedError(
            f"{where}: its images are {side}×{side} pixels; use at least {SMALLEST}×{SMALLEST}"
        )


def image_side(path: Path) -> int | None:
    """The side in pixels of the images in a file or folder; None unless all are squares of one.

    Of pictures only the headers are read. Raises RefusedError as `read_images` does.
    """
    if not path.exists():
        raise RefusedError(f"{path}: not there; give a folder of images or an MNIST-format file")
    dataset = _dataset(path)
    files = find_pictures(path) if dataset is None else []
    sizes = {dataset().shape[2:]} if dataset else {picture_size(file) for file in files}
    if not sizes:
        raise _nothing(path)
    height, width = sizes.pop()
    return height if height == width and not sizes else None


def _dataset(path: Path) -> Callable[[], Images] | None:
    return find_dataset(path) if path.is_dir() else lambda: read_idx(path)


def _read(path: Path, image_size: int | None, choose: Choice | None) -> Images:
    dataset = _dataset(path)
    if dataset is None:
        return _read_pictures(path, image_size, choose)
    images = dataset()
    if choose is not None and len(images):
        images = images[list(choose(len(images)))]
    if image_size is None or images.shape[2:] == (image_size, image_size) or not len(images):
        return images
    grey = images.shape[1] == 1
    pictures = images[:, 0] if grey else images.transpose(0, 2, 3, 1)
    return _stacked([scaled(picture, image_size) for picture in pictures])


def _read_pictures(folder: Path, image_size: int | None, choose: Choice | None) -> Images:
    files = find_pictures(folder)
    if not files:
        raise _nothing(folder)
    if choose is not None:
        files = [files[place] for place in choose(len(files))]
    pictures = [read_picture(file, image_size) for file in files]
    _refuse_mixed(files, pictures)
    return _stacked(pictures)


def _nothing(folder: Path) -> RefusedError:
    return RefusedError(
        f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}), no MNIST-format "
        "training images and no CIFAR batches"
    )


def _stacked(pictures: list[Picture]) -> Images:
    """Pictures (H, W) or (H, W, 3) of one size as (N, C, H, W); C is 1 where all are grey."""
    if all(picture.ndim == 2 for picture in pictures):
        return np.stack(pictures)[:, None]
    colour = [
        picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
        for picture in pictures
    ]
    return np.stack(colour).transpose(0, 3, 1, 2)


def _refuse_mixed(files: Sequence[Path], pictures: Sequence[Picture]) -> None:
    height, width = pictures[0].shape[:2]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape[:2] != (height, width) or height != width:
            size = f"{picture.shape[1]}×{picture.shape[0]}"
            other = "" if height != width else f", the first image {width}×{height}"
            raise RefusedError(
                f"{file}: is {size} pixels{other}; use squares of one "
                "size, or say which size to scale them to (--image-size)"
            )


def _with_channels(path: Path, images: Images, channels: int | None) -> Images:
    own = images.shape[1]
    if channels is None or channels == own:
        return images
    if own == 1:
        return np.repeat(images, channels, axis=1)
    raise RefusedError(f"{path}: its images have colour; this model is for grey ones")
