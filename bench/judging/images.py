"""Judging of a set of samples from their pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

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
class Quality:
    """All reported measurements of a set of samples."""

    count: int
    watched: int
    classifier_digest: str
    classifier_accuracy: float
    samples: Measures
    real: Measures
    levels: tuple[LevelDeviation, ...]


class Judge:
    """Measures sets of `count` images against held-out ones; caches the shared parts."""

    def __init__(self, data: Dataset, classifier: Classifier, count: int) -> None:
        self.data, self.classifier, self.count = data, classifier, count
        self.train = as_floats(data.train_images)
        self.flat_train = self.train.reshape(len(self.train), -1)
        self.held_out = as_floats(data.test_images)
        self.features, _ = classifier.judge(self.held_out)
        self.spectrum = power(self.held_out)
        self.chosen = take(count, len(self.held_out), seed=1)
        self.ordinary = np.median(self.nearest_training(self.held_out[self.chosen]))

    def nearest_training(self, images: Images) -> Images:
        """Return the distance (N,) to the nearest training image, pixel by pixel."""
        distances, _ = nearest(images.reshape(len(images), -1), self.flat_train)
        return distances[:, 0]

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
        draws_measured = [asdict(self.measure(images, ordinary)) for images in sets]
        means = {
            name: float(np.mean([draw[name] for draw in draws_measured]))
            for name in draws_measured[0]
        }
        return Measures(**means)


def judge_samples(samples: Samples, data: Dataset, classifier: Classifier) -> Quality:
    """Compute all measurements of `samples` that the available data allow."""
    judge = Judge(data, classifier, len(samples.final))
    distances = judge.nearest_training(samples.final.clip(0, 1))
    return Quality(
        count=len(samples.final),
        watched=samples.watched,
        classifier_digest=classifier.digest,
        classifier_accuracy=classifier.accuracy,
        samples=judge.measure(samples.final, distances),
        real=judge.real(),
        levels=_levels(samples, judge),
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
