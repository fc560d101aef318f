"""Distances between sets of images against closed forms, brute force and known failures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.metrics import (
    entropy,
    frechet_distance,
    label_entropy,
    manifolds,
    nearest,
    take,
)


def normal(count: int, size: int, seed: int) -> NDArray[np.float64]:
    """Standard normal points (count, size)."""
    return np.random.default_rng(seed).standard_normal((count, size))


def test_entropy_of_certain_and_of_even() -> None:
    """Certainty is 0, also with exact zeros; an even guess is ln n."""
    found = entropy(np.array([[1.0, 0.0], [0.5, 0.5]]))
    np.testing.assert_allclose(found, [0, math.log(2)])


def test_label_entropy_counts_missing_classes() -> None:
    """Two of ten classes in equal parts have entropy ln 2."""
    assert label_entropy(np.array([3, 7, 3, 7]), 10) == pytest.approx(math.log(2))


def test_frechet_distance_is_that_of_gaussians() -> None:
    """Scale and shift of one set give |shift|² + (scale − 1)²·trace of its covariance."""
    points = normal(500, 8, 0)
    moved = 3 * points + 1
    shift = moved.mean(0) - points.mean(0)
    expected = shift @ shift + 4 * np.trace(np.cov(points, rowvar=False))
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(points, moved) == pytest.approx(expected)


def test_frechet_distance_of_flat_sets_is_finite() -> None:
    """Features that never fire make singular covariances; no warning, no NaN."""
    flat = np.zeros((10, 4))
    assert frechet_distance(flat, flat + 2) == pytest.approx(16)


def test_manifolds_of_one_distribution_overlap() -> None:
    """Two draws of one distribution: density near 1, and the rest near what balls allow."""
    found = manifolds(normal(400, 4, 0), normal(400, 4, 1))
    assert found.density == pytest.approx(1, abs=0.1)
    assert min(found.precision, found.recall) > 0.8
    assert found.coverage > 0.9


def test_manifolds_see_a_lost_mode_and_copies() -> None:
    """Half the modes: precision stays, recall and coverage fall. Repeats: recall is gone."""
    real = np.concatenate([normal(200, 4, 0), normal(200, 4, 1) + 50])
    half = manifolds(real, normal(400, 4, 2))
    assert half.precision > 0.8
    assert half.recall <= 0.5
    assert half.coverage <= 0.5
    assert manifolds(real, np.repeat(real[::20], 20, axis=0)).recall == 0


def test_nearest_agrees_with_brute_force() -> None:
    """Indices and distances of the two nearest are those of the full matrix, in order."""
    queries = normal(300, 6, 0).astype(np.float32)
    images = normal(700, 6, 1).astype(np.float32)
    distances, indices = nearest(queries, images, count=2)
    full = np.linalg.norm(queries[:, None] - images[None], axis=2)
    order = full.argsort(1)[:, :2]
    assert np.array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(full, order, 1), rtol=1e-5)


def test_nearest_of_a_copy_is_exactly_zero() -> None:
    """No cancellation hides a copy among long vectors."""
    images = 100 + normal(50, 6, 0).astype(np.float32)
    distances, indices = nearest(images, images)
    assert distances.max() == 0
    assert np.array_equal(indices[:, 0], np.arange(50))


def test_take_draws_without_repeats() -> None:
    """Distinct, seeded, and all there are when more are asked for."""
    assert len(set(take(50, 60, 0).tolist())) == 50
    assert np.array_equal(take(50, 60, 0), take(50, 60, 0))
    assert sorted(take(9, 5, 0).tolist()) == [0, 1, 2, 3, 4]
