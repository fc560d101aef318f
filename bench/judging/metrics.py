"""Distances between two sets of images: in the features of a classifier, and in pixels.

Precision and recall follow Kynkäänniemi et al. 2019, density and coverage Naeem et al. 2020, the
Fréchet distance Heusel et al. 2017 (here in the classifier's 64 features, so it is not comparable
with an Inception FID).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Images = NDArray[np.float32]

_ROWS = 250  # of a distance matrix at a time: 250 × 60,000 float32 are 60 MB


@dataclass(frozen=True)
class Manifolds:
    """Overlap of two sets of features, by balls that reach to the k-th neighbour."""

    precision: float
    recall: float
    density: float
    coverage: float


def entropy(probabilities: Floats) -> Floats:
    """Return the entropy in nats along the last axis; 0·log 0 is 0."""
    logs = np.log(np.where(probabilities > 0, probabilities, 1))
    return np.asarray(-(probabilities * logs).sum(-1))


def label_entropy(labels: NDArray[np.int64], classes: int) -> float:
    """Return the entropy in nats of the label frequencies: ln(classes) if all are equal."""
    return float(entropy(np.bincount(labels, minlength=classes) / len(labels)))


def frechet_distance(first: Floats, second: Floats) -> float:
    """Return the squared Fréchet distance of Gaussians fitted to two sets (N, F) and (M, F)."""
    shift = first.mean(0) - second.mean(0)
    cov_1, cov_2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(cov_1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ cov_2 @ root).clip(0)).sum()
    return float(shift @ shift + np.trace(cov_1) + np.trace(cov_2) - 2 * overlap)


def manifolds(real: Floats, generated: Floats, k: int = 5) -> Manifolds:
    """Return precision, recall, density and coverage of `generated` (M, F) versus `real` (N, F)."""
    x, y = torch.from_numpy(real), torch.from_numpy(generated)
    radius_x, radius_y = _radii(x, k), _radii(y, k)
    inside = torch.zeros(len(y))  # number of balls of real features around each generated one
    reached = torch.zeros(len(x), dtype=torch.bool)
    covered = torch.zeros(len(x), dtype=torch.bool)
    for rows in torch.split(torch.arange(len(x)), _ROWS):
        distances = torch.cdist(x[rows], y)
        hits = distances < radius_x[rows, None]
        inside += hits.sum(0)
        covered[rows] = hits.any(1)
        reached[rows] = (distances < radius_y[None]).any(1)
    return Manifolds(
        precision=float((inside > 0).double().mean()),
        recall=float(reached.double().mean()),
        density=float(inside.double().mean() / k),
        coverage=float(covered.double().mean()),
    )


def _radii(points: Tensor, k: int) -> Tensor:
    rows = torch.split(points, _ROWS)
    return torch.cat([torch.cdist(part, points).kthvalue(k + 1, dim=1).values for part in rows])


def nearest(queries: Images, images: Images, count: int = 1) -> tuple[Images, NDArray[np.int64]]:
    """Return distances and indices (N, count) of the `images` (M, D) nearest to the queries."""
    candidates = torch.from_numpy(images)
    lengths = (candidates**2).sum(1)
    parts = [
        (lengths - 2 * (rows @ candidates.T)).topk(count, largest=False).indices
        for rows in torch.split(torch.from_numpy(queries), _ROWS)
    ]
    indices = torch.cat(parts).numpy()
    # The expanded square cancels for near copies, so the distances found are recomputed.
    distances = [np.linalg.norm(queries - images[indices[:, i]], axis=1) for i in range(count)]
    return np.stack(distances, 1), indices


def take(count: int, available: int, seed: int) -> NDArray[np.int64]:
    """Return `count` distinct indices below `available` in seeded order; all if there are fewer."""
    return np.random.default_rng(seed).permutation(available)[:count]
