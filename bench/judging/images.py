"""Judging of a set of samples from their pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from bench.judging.classifier import Classifier
from bench.judging.metrics import entropy, frechet_distance, label_entropy, manifolds, nearest, take
from bench.judging.mnist import Dataset, as_floats
from bench.judging.spectra import (
    Floats,
    Images,
    LevelDeviation,
    deviations,
    log_spectral_distance,
    power,
    sharp_deviation,
)


@dataclass(frozen=True)
class Samples:
    """Grey images (N, H, W) in [0, 1] units, unclipped: last means, and the u_K they came from.

    `states` maps watched levels to the mean power (H, W) of `watched` states there, and `sigmas` is
    the blur schedule from level 0 on, if it is known.
    """

    final: Images
    initial: Images
    sampling_noise_std: float
    sigmas: tuple[float, ...] | None = None
    states: Mapping[int, Floats] = field(default_factory=dict)
    watched: int = 0


@dataclass(frozen=True)
class Measures:
    """Measurements of a set of images; the README of `bench` defines each."""

    confident_share: float
    mean_max_probability: float
    mean_entropy: float
    label_entropy: float
    feature_fid: float
    precision: float
    recall: float
    density: float
    coverage: float
    nearest_neighbour_ratio: float
    log_spectral_distance: float
    variance_ratio: float


@dataclass(frozen=True)
class Drift:
    """Mean intensity of the final mean minus that of u_K, per image, compared with δ√K/N."""

    mean: float
    std: float
    predicted_std: float


@dataclass(frozen=True)
class Seeds:
    """Shares of samples with a known training image that are nearest to it, or of its class."""

    known: int
    nearest_is_seed: float
    same_class: float


@dataclass(frozen=True)
class Quality:
    """All reported measurements of a set of samples."""

    count: int
    watched: int
    classifier_digest: str
    classifier_accuracy: float
    samples: Measures
    real: Measures
    levels: tuple[LevelDeviation, ...]
    drift: Drift | None
    seeds: Seeds | None


class Judge:
    """Measures sets of `count` images against held-out ones; caches the shared parts."""

    def __init__(self, data: Dataset, classifier: Classifier, count: int) -> None:
        self.data, self.classifier, self.count = data, classifier, count
        self.train = as_floats(data.train_images)
        self.held_out = as_floats(data.test_images)
        self.features, _ = classifier.judge(self.held_out)
        self.spectrum = power(self.held_out)
        self.chosen = take(count, len(self.held_out), seed=1)
        self.ordinary = np.median(self.nearest_training(self.held_out[self.chosen])[0])

    def nearest_training(self, images: Images) -> tuple[Images, NDArray[np.int64]]:
        """Return distance and index (N,) of the nearest training image, pixel by pixel."""
        distances, indices = nearest(_flat(images), _flat(self.train))
        return distances[:, 0], indices[:, 0]

    def measure(self, images: Images, distances: Images) -> Measures:
        """Measure `images` (N, H, W), given the `distances` (N,) to the nearest training image."""
        features, probabilities = self.classifier.judge(images.clip(0, 1))
        overlap = manifolds(self.features[self.chosen], features)
        spectrum = power(images)
        return Measures(
            confident_share=float((probabilities.max(1) > 0.9).mean()),
            mean_max_probability=float(probabilities.max(1).mean()),
            mean_entropy=float(entropy(probabilities).mean()),
            label_entropy=label_entropy(probabilities.argmax(1), self.data.classes),
            feature_fid=frechet_distance(self.features, features),
            **asdict(overlap),
            nearest_neighbour_ratio=float(np.median(distances) / self.ordinary),
            log_spectral_distance=log_spectral_distance(spectrum, self.spectrum),
            variance_ratio=float(images.var(0).sum() / self.held_out.var(0).sum()),
        )

    def real(self, draws: int = 4) -> Measures:
        """Measure `count` training images, averaged over `draws`: the best possible result."""
        sets = [self.train[take(self.count, len(self.train), seed)] for seed in range(draws)]
        ordinary = np.full(self.count, self.ordinary)
        found = [asdict(self.measure(images, ordinary)) for images in sets]
        return Measures(**{name: float(np.mean([f[name] for f in found])) for name in found[0]})


def judge_samples(samples: Samples, data: Dataset, classifier: Classifier) -> Quality:
    """Compute all measurements of `samples` that the available data allow."""
    judge = Judge(data, classifier, len(samples.final))
    distances, neighbours = judge.nearest_training(samples.final.clip(0, 1))
    return Quality(
        count=len(samples.final),
        watched=samples.watched,
        classifier_digest=classifier.digest,
        classifier_accuracy=classifier.accuracy,
        samples=judge.measure(samples.final, distances),
        real=judge.real(),
        levels=_levels(samples, judge),
        drift=_drift(samples),
        seeds=_seeds(samples, judge, neighbours),
    )


def _levels(samples: Samples, judge: Judge) -> tuple[LevelDeviation, ...]:
    """Compare states, the final mean, and training images, which are the best possible result."""
    data = judge.spectrum
    some = judge.train[take(len(judge.held_out), len(judge.train), seed=2)]
    return (
        *deviations(samples.states, data, samples.sigmas or (0.0,), samples.sampling_noise_std),
        sharp_deviation("final mean", power(samples.final), data),
        sharp_deviation("training images", power(some), data),
    )


def _drift(samples: Samples) -> Drift | None:
    if samples.sigmas is None:
        return None
    change = samples.final.mean((1, 2)) - samples.initial.mean((1, 2))
    pixels = math.sqrt(samples.final[0].size)
    predicted = samples.sampling_noise_std * math.sqrt(len(samples.sigmas) - 1) / pixels
    return Drift(float(change.mean()), float(change.std()), predicted)


def _seeds(samples: Samples, judge: Judge, neighbours: NDArray[np.int64]) -> Seeds | None:
    """Judge samples whose blurred training image is ten times nearer to u_K than all others."""
    if samples.sigmas is None:
        return None
    lowest = _lowest_cosines(judge.train) * _attenuation(judge.train, samples.sigmas[-1])
    initial = _lowest_cosines(samples.initial)
    distances, indices = nearest(_flat(initial), _flat(lowest), count=2)
    known = distances[:, 0] < 0.1 * distances[:, 1]
    if not known.any():
        return None
    seeds = indices[known, 0]
    _, probabilities = judge.classifier.judge(samples.final[known].clip(0, 1))
    return Seeds(
        known=int(known.sum()),
        nearest_is_seed=float((seeds == neighbours[known]).mean()),
        same_class=float((probabilities.argmax(1) == judge.data.train_labels[seeds]).mean()),
    )


def _lowest_cosines(images: Images) -> Images:
    """Return the 6×6 lowest DCT-II coefficients of images (N, H, W)."""
    parts = [
        dctn(images[start : start + 2000], axes=(1, 2), norm="ortho")[:, :6, :6]
        for start in range(0, len(images), 2000)
    ]
    return np.concatenate(parts)


def _attenuation(images: Images, sigma_b: float) -> Images:
    """Return the factors of the 6×6 lowest cosines after a blur of `sigma_b` pixels."""
    rows, columns = (np.pi * np.arange(6) / size for size in images.shape[1:])
    eigenvalues = rows[:, None] ** 2 + columns**2
    return np.asarray(np.exp(-eigenvalues * sigma_b**2 / 2), np.float32)


def _flat(images: Images) -> Images:
    return images.reshape(len(images), -1)
