"""Radially averaged power spectra of images, in the basis of the heat equation.

The power of an image at the place (n, m) is its squared coefficient c²_nm of the orthonormal
DCT-II, which takes the image as mirrored at its edges, so that these add no false power (Denis,
Côté and Laprise 2002, Mon. Weather Rev. 130, 1812). A spectrum is its mean over channels and over
the ring of all places with r − ½ ≤ √(n² + m²) < r + ½, for r = 0, 1, 2, …, up to the corner. Ring r
has r/2 cycles along a side of the image, or πr/N radians a pixel. White noise of the standard
deviation s has the power s² in every ring; ring 0 is the mean of the image.

Values are of pixels in [0, 1] units, unclipped.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from sitegen.ihdm.process.heat import dct2
from sitegen.ihdm.process.model import Statistics


@lru_cache(maxsize=16)
def ring_of(size: int) -> Tensor:
    """The ring r that each place (n, m) of a square spectrum belongs to, (size, size) int64."""
    index = torch.arange(size, dtype=torch.float64)
    return torch.hypot(index[:, None], index[None, :]).round().long()


def rings(size: int) -> int:
    """How many rings there are for images of `size` pixels a side."""
    return int(ring_of(size).max()) + 1


def frequencies(size: int) -> list[float]:
    """Cycles along a side of the image, of each ring."""
    return [ring / 2 for ring in range(rings(size))]


def ring_means(power: Tensor) -> Tensor:
    """Means over the rings of a power (…, N, N), and over its leading axes: (rings,) float64."""
    places = ring_of(power.shape[-1]).to(power.device).flatten()
    flat = power.double().reshape(-1, places.numel()).mean(0)
    sums = flat.new_zeros(int(places.max()) + 1).index_add_(0, places, flat)
    return sums / torch.bincount(places)


def spectrum(images: Tensor) -> Tensor:
    """Mean spectrum (rings,) float64, on the CPU, of images (N, C, H, H)."""
    return ring_means(dct2(images.double()).square()).cpu()


def spectrum_of(statistics: Statistics) -> Tensor:
    """Mean spectrum (rings,) float64 of the images that the statistics were taken of; exact.

    E[c²] = mean² + variance for every coefficient c.
    """
    power = statistics.mean.double().square() + statistics.variance.double()
    return ring_means(power).cpu()
