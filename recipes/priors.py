"""Draw the priors of the published configurations, `sitegen/generative/card/presets`.

    python -m recipes.priors [--data .data/mnist]

The training images of CIFAR-10, AFHQ, FFHQ and LSUN churches may not be redistributed, and were not
available. At level K little more is left of an image than its mean colour and the lowest cosines.
For these sets the initial states are therefore drawn from a model of natural images: images with
the set's mean and standard deviation of each channel, a quarter of the variance between the images'
mean colours, and the rest in cosines with power 1/f² (Field 1987; Torralba and Oliva 2003), with a
correlation of 90 % between channels (Ruderman, Cronin and Chiao 1998). They are dissipated like
training images. The model lacks the positions of things in the image (faces in the middle, sky on
top), and the unusual colours of real sets.

MNIST's priors are made from its training images, for which `--data` is needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sitegen.cli import exits
from sitegen.generative.card.card import ModelCard, preset
from sitegen.generative.data.images import read_images
from sitegen.generative.data.prior import Prior, make_prior
from sitegen.generative.maths.heat import cosine_basis
from sitegen.models.registry import preset_prior

COUNT = 256
SOURCE = "a model of natural images"
BETWEEN = 0.25
"""Share of a pixel's variance between the mean colours of images; CIFAR-10 has 0.29."""
ALIKE = 0.9
"""Correlation of two colour channels."""
_MEASURED = ("mnist", "mnist-small")


@dataclass(frozen=True)
class Colours:
    """Mean and standard deviation of a set's pixels, in [0, 1], of red, green and blue."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_AFHQ = Colours((0.502, 0.460, 0.399), (0.255, 0.246, 0.250))
_FFHQ = Colours((0.520, 0.425, 0.380), (0.250, 0.224, 0.221))
COLOURS = {
    "cifar10": Colours((0.491, 0.482, 0.447), (0.247, 0.244, 0.262)),
    "afhq-64": _AFHQ,
    "afhq-256": _AFHQ,
    "ffhq-128": _FFHQ,
    "ffhq-256": _FFHQ,
    "lsun-church-128": Colours((0.470, 0.483, 0.482), (0.277, 0.276, 0.285)),
}
"""Values commonly used to normalize these sets, to three digits. None are known for LSUN churches;
those of Google's Landmarks, also outdoor photographs of buildings, replace them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the priors; MNIST's only if its training images are given."""
    parser = argparse.ArgumentParser(prog="recipes.priors", description="Draw the presets' priors.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="MNIST's training images")
    options = parser.parse_args(arguments)
    for name in COLOURS:
        _write(name, natural_prior(name))
    for name in _MEASURED if options.data else ():
        _write(name, make_prior(read_images(options.data), preset(name), COUNT, "mnist"))


def natural_prior(name: str) -> Prior:
    """Return the prior of a preset, from images of the model of natural images."""
    card = preset(name)
    return make_prior(natural_pictures(card, COLOURS[name], COUNT), card, COUNT, SOURCE)


def natural_pictures(card: ModelCard, colours: Colours, count: int) -> NDArray[np.uint8]:
    """Return uint8 images (count, 3, N, N) with the statistics of natural images only."""
    generator = np.random.default_rng(0)
    shape = (count, *card.shape)
    pictures = np.empty(shape, np.uint8)
    scale = _scales(card.image_size, np.array(colours.std))
    offset = np.zeros(card.shape)
    offset[:, 0, 0] = np.array(colours.mean) * card.image_size
    basis = cosine_basis(card.image_size, torch.float64, torch.device("cpu")).numpy()
    for picture in pictures:
        common, single = generator.standard_normal(shape[2:]), generator.standard_normal(shape[1:])
        numbers = np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * single
        pixels = basis.T @ (offset + scale * numbers) @ basis
        picture[...] = np.rint(255 * pixels.clip(0, 1))
    return pictures


def _scales(size: int, std: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return standard deviations (3, N, N) of the cosine coefficients for pixels of `std` (3,)."""
    squares = np.arange(size) ** 2
    radius = squares[:, None] + squares[None, :]
    power = 1 / np.maximum(radius, 1)
    power[0, 0] = 0
    power *= (1 - BETWEEN) / power.sum()
    power[0, 0] = BETWEEN
    return np.asarray(std[:, None, None] * size * np.sqrt(power))


def _write(name: str, prior: Prior) -> None:
    path = preset_prior(name)
    prior.write(path)
    low = prior.coefficients.shape[-1]
    print(f"{path.name}: {len(prior)} starts, {low}×{low} cosines, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    exits.run(main)
