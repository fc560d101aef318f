"""Power by spatial frequency, in the cosine basis in which heat dissipation is diagonal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

Floats = NDArray[np.float64]
Images = NDArray[np.float32]

BANDS = ((0.5, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 28.0))


def power(images: Images) -> Floats:
    """Return the mean squared DCT-II coefficient (H, W) over images (N, H, W) in constant memory.

    Colour images (N, C, H, W) count as one image per channel.
    """
    images = images.reshape(-1, *images.shape[-2:])
    total = np.zeros(images.shape[1:])
    for start in range(0, len(images), 1000):
        coefficients = dctn(images[start : start + 1000], axes=(1, 2), norm="ortho")
        total += np.square(coefficients, dtype=np.float64).sum(0)
    return total / len(images)


def dissipated_power(sharp: Floats, sigma_b: float) -> Floats:
    """Return the power (H, W) of `sharp` after a blur of `sigma_b` pixels."""
    height, width = sharp.shape
    rows = (np.pi * np.arange(height) / height) ** 2
    columns = (np.pi * np.arange(width) / width) ** 2
    return np.asarray(sharp * np.exp(-(rows[:, None] + columns) * sigma_b**2))


def band_power(spectrum: Floats) -> Floats:
    """Return the mean power in each of `BANDS`, by the DCT radius √(n² + m²) of (H, W)."""
    radius = _radius(spectrum)
    return np.array([spectrum[(low <= radius) & (radius < high)].mean() for low, high in BANDS])


def log_spectral_distance(first: Floats, second: Floats) -> float:
    """Return the root mean square, over integer radii, of the log10 ratio of two spectra (H, W)."""
    ring = np.rint(_radius(first)).astype(int)
    sums = [np.bincount(ring.ravel(), weights=spectrum.ravel()) for spectrum in (first, second)]
    rings = slice(1, min(first.shape))
    ratio = np.log10(sums[0][rings] / sums[1][rings])
    return float(np.sqrt(np.mean(ratio**2)))


def _radius(spectrum: Floats) -> Floats:
    rows, columns = np.indices(spectrum.shape)
    return np.asarray(np.hypot(rows, columns), np.float64)


@dataclass(frozen=True)
class LevelDeviation:
    """log10 of measured over expected band power at a level; None if noise hides the band."""

    level: int
    shown: str
    bands: tuple[float | None, ...]

    @property
    def largest(self) -> float:
        """Largest deviation of any visible band, in decades."""
        return max((abs(band) for band in self.bands if band is not None), default=0.0)


def watched_levels(visited: Sequence[int]) -> tuple[int, ...]:
    """Return the levels to compare: K, 3K/4, K/2, K/4, 10 and 1, or visited ones nearby."""
    levels, noisy = max(visited), [level for level in visited if level]
    targets = {levels, 3 * levels // 4, levels // 2, levels // 4, min(10, levels), 1}
    watched = {min(noisy, key=lambda level: abs(level - target)) for target in targets}
    return tuple(sorted(watched, reverse=True))


def deviations(
    states: Mapping[int, Floats], data: Floats, sigmas: tuple[float, ...], std: float
) -> tuple[LevelDeviation, ...]:
    """Compare the power of states with that of dissipated data and noise.

    `states` maps levels to spectra (H, W), `sigmas` is the blur schedule from level 0 on, and
    `std` the sampling noise; the state of the highest level, where sampling starts, has none.
    """
    return tuple(_deviation(level, states[level], data, sigmas, std) for level in states)


def sharp_deviation(shown: str, images: Floats, data: Floats) -> LevelDeviation:
    """Compare the power (H, W) of sharp images, without noise, with that of data."""
    ratio = np.log10(band_power(images) / band_power(data))
    return LevelDeviation(0, shown, tuple(ratio.tolist()))


def _deviation(
    level: int, measured: Floats, data: Floats, sigmas: tuple[float, ...], std: float
) -> LevelDeviation:
    signal = band_power(dissipated_power(data, sigmas[level]))
    noise = 0.0 if level == len(sigmas) - 1 else std**2
    bands = tuple(
        math.log10(measured_power / (expected + noise)) if expected > std**2 else None
        for measured_power, expected in zip(band_power(measured), signal, strict=True)
    )
    return LevelDeviation(level, "state", bands)
