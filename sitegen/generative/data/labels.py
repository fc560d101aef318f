"""Class labels of training images: a folder a class, or the labels of an MNIST-format data set."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import RefusedError
from sitegen.core.source import natural_order, shown
from sitegen.generative.card.limits import MOST_CLASSES
from sitegen.generative.data.datasets import find_idx, read_idx
from sitegen.generative.data.images import find_pictures

_NAME = 200
"""Longest name of a class, as in a card."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of images in the order of `read_images`: `numbers` (N,) are indices of `names`."""

    names: tuple[str, ...]
    numbers: NDArray[np.int64]


def read_labels(path: Path, idx: bool = False) -> Labels:
    """Return the labels of the images at a path.

    idx: they are in the file beside those of an MNIST-format data set, and their numbers are their
        names. Otherwise pictures are in a folder for each class, whose name is the class's; numbers
        in names are sorted as such. Raises RefusedError if there are no such labels.
    """
    images = [path] if path.is_file() else find_idx(path)
    if idx and len(images) != 1:
        raise RefusedError(
            f"{shown(path)}: has {'several' if images else 'no'} images in MNIST's format; "
            f"{'name one' if images else 'use --labels folders'}"
        )
    if not idx and images:
        raise RefusedError(f"{shown(images[0])}: is no folder of classes; use --labels idx")
    if idx:
        first, stem = images[0], images[0].name.removesuffix(".gz")
        name = re.sub(r"images(.)idx[34]", r"labels\1idx1", stem)
        files = [first.with_name(name + end) for end in ("", ".gz")]
        file = next((file for file in files if name != stem and file.is_file()), None)
        if file is None:
            raise RefusedError(f"{shown(first)}: has no labels; MNIST's are in {name} beside it")
        values, numbers = np.unique(read_idx(file, "labels", (1,)), return_inverse=True)
        return Labels(tuple(map(str, values)), numbers)
    classes = list[str]()
    for file in find_pictures(path):
        folder, *others = file.relative_to(path).parts
        if not others:
            raise RefusedError(
                f"{shown(file)}: is in no folder of a class; put every picture into one, or leave "
                "out --labels"
            )
        if len(folder) > _NAME or not folder.isprintable():
            raise RefusedError(f"{shown(path)}: the folder {folder[:40]!r} has no name for a class")
        classes.append(folder)
    names = tuple(sorted({*classes}, key=natural_order))
    if not 2 <= len(names) <= MOST_CLASSES:
        few = "one class" if names else "no classes"
        raise RefusedError(
            f"{shown(path)}: has {few if len(names) < 2 else 'too many classes'}; labels are the "
            "names of the folders in it that hold pictures, a folder a class"
        )
    places = {name: place for place, name in enumerate(names)}
    return Labels(names, np.array([places[name] for name in classes], np.int64))
