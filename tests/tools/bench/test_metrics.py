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


def test_entropy() -> None:
    """Certainty is 0, also with exact zeros; an even guess, or two classes in equal parts, ln 2."""
    found = entropy(np.array([[1.0, 0.0], [0.5, 0.5]]))
    np.testing.assert_allclose(found, [0, math.log(2)])
    assert label_entropy(np.array([3, 7, 3, 7]), 10) == pytest.approx(math.log(2))


def test_frechet_distance_is_that_of_gaussians() -> None:
    """Scale and shift of one set give |shift|² + (scale − 1)²·trace of its covariance, which may be
    singular.
    """
    points, flat = normal(500, 8, 0), np.zeros((10, 4))
    moved = 3 * points + 1
    shift = moved.mean(0) - points.mean(0)
    expected = shift @ shift + 4 * np.trace(np.cov(points, rowvar=False))
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(points, moved) == pytest.approx(expected)
    assert frechet_distance(flat, flat + 2) == pytest.approx(16)


def test_manifolds_see_a_lost_mode_and_copies() -> None:
    """Two draws of one distribution overlap. Half the modes: precision stays, recall and coverage
    fall. Repeats: recall is gone.
    """
    found = manifolds(normal(400, 4, 0), normal(400, 4, 1))
    assert found.density == pytest.approx(1, abs=0.1)
    assert min(found.precision, found.recall, found.coverage) > 0.8
    real = np.concatenate([normal(200, 4, 0), normal(200, 4, 1) + 50])
    half = manifolds(real, normal(400, 4, 2))
    assert half.precision > 0.8
    assert max(half.recall, half.coverage) <= 0.5
    assert manifolds(real, np.repeat(real[::20], 20, axis=0)).recall == 0


def test_nearest_agrees_with_brute_force() -> None:
    """The two nearest are those of the full matrix, in order; no cancellation hides a copy."""
    queries, images = normal(300, 6, 0).astype(np.float32), normal(700, 6, 1).astype(np.float32)
    distances, indices = nearest(queries, images, count=2)
    full = np.linalg.norm(queries[:, None] - images[None], axis=2)
    order = full.argsort(1)[:, :2]
    assert np.array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(full, order, 1), rtol=1e-5)
    distances, indices = nearest(100 + images, 100 + images)
    assert distances.max() == 0
    assert np.array_equal(indices[:, 0], np.arange(700))


def test_take_draws_without_repeats() -> None:
    """Distinct, seeded, and all there are when more are asked for."""
    assert len(set(take(50, 60, 0).tolist())) == 50
    assert np.array_equal(take(50, 60, 0), take(50, 60, 0))
    assert sorted(take(9, 5, 0).tolist()) == [0, 1, 2, 3, 4]
