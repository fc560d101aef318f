"""Judging of samples of faces by the classifier of their attributes, their colours and pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from bench.judging.attributes import (
    ATTRIBUTES,
    AttributeClassifier,
    Faces,
    Images,
    Judged,
    Labels,
    as_floats,
    hue_of,
    top_corners,
)
from bench.judging.images import Samples
from bench.judging.metrics import Manifolds, frechet_distance, manifolds, nearest, take
from bench.judging.report import levels_table, table
from bench.judging.spectra import LevelDeviation, deviations, power, sharp_deviation

SECTORS = 12
"""Parts of the colour circle, of 30 degrees each."""
DRAWS = 4
"""Sets of training images whose distance is the floor of the feature FID."""

_BLOCK = 10_000  # training images per block of distances: 120 MB


@dataclass(frozen=True)
class FaceQuality:
    """All reported measurements of samples of faces.

    feature_fid, floor: of the samples, and of the same number of training images
    manifolds, manifolds_floor: precision, recall, density and coverage of both
    nearest_neighbour_ratio: the median distance to the nearest training image over that of
        held-out faces; copies: the share of samples nearer than a tenth of that
    sure, sure_held_out: the share of images all of whose attributes the classifier is sure of
    frequencies: by attribute and class, the share of samples and of held-out faces that the
        classifier assigns to it, and the share of held-out faces drawn with it
    sectors, sectors_held_out: the share of backgrounds in each twelfth of the colour circle
    levels: the level-wise spectra
    """

    count: int
    watched: int
    classifier_digest: str
    classifier_accuracy: Mapping[str, float]
    feature_fid: float
    floor: float
    manifolds: Manifolds
    manifolds_floor: Manifolds
    nearest_neighbour_ratio: float
    copies: float
    sure: float
    sure_held_out: float
    frequencies: Mapping[str, Mapping[str, tuple[float, float, float]]]
    sectors: tuple[float, ...]
    sectors_held_out: tuple[float, ...]
    levels: tuple[LevelDeviation, ...]

    @property
    def worst_frequency(self) -> tuple[str, float]:
        """Class whose frequency is farthest from that of held-out faces, and the factor."""
        factors = [
            (f"{name}: {label}", sampled / max(held_out, 1e-9))
            for name, classes in self.frequencies.items()
            for label, (sampled, held_out, _) in classes.items()
        ]
        return max(factors, key=lambda pair: abs(np.log(max(pair[1], 1e-9))))

    @property
    def largest_deviation(self) -> float:
        """Largest deviation of any band at any level, in decades, except of training images."""
        return max(level.largest for level in self.levels if level.shown != "training images")


def judge_faces(samples: Samples, data: Faces, classifier: AttributeClassifier) -> FaceQuality:
    """Compute all measurements of samples (N, 3, H, W)."""
    held_out, shown = as_floats(data.test_images), samples.final.clip(0, 1)
    count = len(shown)
    chosen = take(count, len(held_out), seed=1)
    real, sampled = classifier.judge(held_out), classifier.judge(shown)
    training = [
        classifier.judge(as_floats(data.train_images[take(count, len(data.train_images), seed)]))
        for seed in range(DRAWS)
    ]
    ordinary = np.median(distances(held_out[chosen], data))
    near = distances(shown, data)
    return FaceQuality(
        count=count,
        watched=samples.watched,
        classifier_digest=classifier.digest,
        classifier_accuracy=classifier.accuracy,
        feature_fid=frechet_distance(real.features, sampled.features),
        floor=float(
            np.mean([frechet_distance(real.features, judged.features) for judged in training])
        ),
        manifolds=manifolds(real.features[chosen], sampled.features),
        manifolds_floor=manifolds(real.features[chosen], training[0].features),
        nearest_neighbour_ratio=float(np.median(near) / ordinary),
        copies=float((near < 0.1 * ordinary).mean()),
        sure=float(sampled.sure.all(1).mean()),
        sure_held_out=float(real.sure.all(1).mean()),
        frequencies=_frequencies(sampled, real, data),
        sectors=_sectors(shown),
        sectors_held_out=_sectors(held_out),
        levels=_levels(samples, data),
    )


def distances(images: Images, data: Faces) -> NDArray[np.float32]:
    """Return the distance (N,) of images (N, 3, H, W) in [0, 1] to the nearest training image."""
    flat = images.reshape(len(images), -1)
    least = np.full(len(images), np.inf, np.float32)
    for start in range(0, len(data.train_images), _BLOCK):
        block = as_floats(data.train_images[start : start + _BLOCK])
        nearer, _ = nearest(flat, block.reshape(len(block), -1))
        least = np.minimum(least, nearer[:, 0])
    return least


def _frequencies(
    sampled: Judged, real: Judged, data: Faces
) -> dict[str, dict[str, tuple[float, float, float]]]:
    labels = sampled.labels, real.labels, data.test_labels
    return {
        name: {label: _shares(labels, column, number) for number, label in enumerate(classes)}
        for column, (name, classes) in enumerate(ATTRIBUTES.items())
    }


def _shares(
    labels: tuple[Labels, Labels, Labels], column: int, number: int
) -> tuple[float, float, float]:
    first, second, third = (float((rows[:, column] == number).mean()) for rows in labels)
    return first, second, third


def _sectors(images: Images) -> tuple[float, ...]:
    """Return the shares of the backgrounds in each twelfth of the colour circle."""
    hues = hue_of(top_corners(images))
    sectors = np.bincount((hues // (360 / SECTORS)).astype(int), minlength=SECTORS)
    return tuple((sectors / len(images)).tolist())


def _levels(samples: Samples, data: Faces) -> tuple[LevelDeviation, ...]:
    """Compare states, the final mean, and training images, which are the best possible result."""
    spectrum = power(as_floats(data.test_images))
    some = data.train_images[take(len(data.test_images), len(data.train_images), seed=2)]
    std = samples.sampling_noise_std
    return (
        *deviations(samples.states, spectrum, samples.sigmas or (0.0,), std),
        sharp_deviation("final mean", power(samples.final), spectrum),
        sharp_deviation("training images", power(as_floats(some)), spectrum),
    )


def markdown(quality: FaceQuality) -> str:
    """Return the report as Markdown, with the limits for a shipped model."""
    head = ("measure", f"{quality.count} samples", "real faces", "bar")
    worst, factor = quality.worst_frequency
    floors = asdict(quality.manifolds_floor)
    circles = quality.sectors, quality.sectors_held_out
    rarest = (f"{SECTORS * min(shares):.2f}" for shares in circles)
    rows = [
        ("feature FID", f"{quality.feature_fid:.2f}", f"{quality.floor:.2f}", ""),
        ("feature FID ÷ its floor", f"{quality.feature_fid / quality.floor:.1f}", "1", "≤ 5"),
        *(
            (name, f"{share:.3f}", f"{floors[name]:.3f}", "≥ 0.80" if name == "coverage" else "")
            for name, share in asdict(quality.manifolds).items()
        ),
        ("nearest-neighbour ratio", f"{quality.nearest_neighbour_ratio:.3f}", "1", "0.7 to 1.3"),
        ("copies of training images", f"{quality.copies:.2%}", "", "0"),
        ("sure of all attributes", f"{quality.sure:.3f}", f"{quality.sure_held_out:.3f}", ""),
        ("that, over held-out", f"{quality.sure / quality.sure_held_out:.3f}", "1", "≥ 0.9"),
        (f"worst frequency ({worst})", f"× {factor:.2f}", "1", "0.67 to 1.33"),
        ("largest deviation of a spectrum", f"{quality.largest_deviation:.3f}", "", "≤ 0.15"),
        ("rarest twelfth of hues × 12", *rarest, "> 0.5"),
    ]
    frequencies = [
        (
            name,
            label,
            *(f"{share:.3f}" for share in shares),
            f"{shares[0] / max(shares[1], 1e-9):.2f}",
        )
        for name, classes in quality.frequencies.items()
        for label, shares in classes.items()
    ]
    columns = (
        "attribute",
        "class",
        "samples",
        "held-out, so judged",
        "held-out, as drawn",
        "factor",
    )
    accuracy = ", ".join(
        f"{name} {share:.1%}" for name, share in quality.classifier_accuracy.items()
    )
    parts = [
        table(head, rows),
        f"How often the classifier sees each class.\n\n{table(columns, frequencies)}",
        levels_table(quality.levels, quality.watched, "Bar 0.15"),
        f"Classifier: of held-out faces it recognizes {accuracy}; sha256 "
        f"{quality.classifier_digest[:16]}. "
        "Its features make the FID, which is not comparable with an Inception FID.",
    ]
    return "\n\n".join(parts)
