"""Measures of how even a path of images is, with their uncertainty for a few paths.

A path of n images has n − 1 steps, each as large as the root mean square difference of the pixels
of two neighbours. Its peak is the largest step over the mean step, 1 if all steps are equal. Its
tortuosity is the sum of the steps over the distance of the ends, 1 for a straight line. The
perceptual path length of Karras et al. 2019 is the same idea for infinitely small steps.

A straight blend of two images scores 1 in both and shows nothing but two ghosts. Neither number
therefore says whether the images between the ends are good.

Intervals are of the percentile bootstrap over paths (Efron and Tibshirani 1993, ch. 13): the middle
95 % of the medians of resampled paths. Differences are taken within each pair first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitegen.figures.smoothness import look

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A median with its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]".replace("-", "−")


@dataclass(frozen=True)
class Evenness:
    """Measurements of each path: `peak` and `tortuosity` (paths,), `steps` (paths, n − 1)."""

    peak: Floats
    tortuosity: Floats
    steps: Floats

    @property
    def shape(self) -> Floats:
        """The median over the paths of each step over its path's mean step, (n − 1,)."""
        mean = self.steps.mean(1)[:, None]
        shares = np.where(mean > 0, self.steps / _nonzero(mean), 1.0)
        return np.asarray(np.median(shares, axis=0))


def evenness(paths: NDArray[np.floating]) -> Evenness:
    """Measure paths (paths, n, …) of n ≥ 2 images; one that never moves counts as even, 1 and 1."""
    count, points = paths.shape[:2]
    images = paths.reshape(count, points, -1).astype(np.float64)
    steps = _rms(images[:, 1:] - images[:, :-1])
    length, distance = steps.sum(1), _rms(images[:, -1] - images[:, 0])
    peak = np.where(length > 0, steps.max(1) / _nonzero(steps.mean(1)), 1.0)
    tortuosity = np.where(length > 0, length / _nonzero(distance), 1.0)
    return Evenness(peak, tortuosity, steps)


def median_interval(values: Floats, seed: int = 0) -> Interval:
    """The median of `values` (N,) with its bootstrap interval; the same seed gives the same one."""
    generator = np.random.default_rng(seed)
    chosen = generator.integers(0, len(values), (look.RESAMPLES, len(values)))
    medians = np.median(values[chosen], axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return Interval(float(np.median(values)), float(low), float(high))


def _rms(differences: Floats) -> Floats:
    return np.asarray(np.sqrt(np.mean(differences**2, axis=-1)))


def _nonzero(values: Floats) -> Floats:
    """Return the values with a lower limit that is safe to divide by."""
    return np.maximum(values, 1e-12)
