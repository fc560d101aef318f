"""What is measured of images, against closed forms, brute force and known failures."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.judging.metrics import (
    entropy,
    frechet_distance,
    label_entropy,
    manifolds,
    nearest,
)
from bench.judging.spectra import (
    Images,
    band_power,
    deviations,
    dissipated_power,
    power,
    sharp_deviation,
)
from sitegen.generative.maths.heat import dissipate


def normal(count: int, size: int, seed: int) -> NDArray[np.float64]:
    """Standard normal points (count, size)."""
    return np.random.default_rng(seed).standard_normal((count, size))


def test_entropy() -> None:
    """Certainty is 0, also with exact zeros; an even guess, or two classes in equal parts, ln 2."""
    found = entropy(np.array([[1.0, 0.0], [0.5, 0.5]]))
    np.testing.assert_allclose(found, [0, math.log(2)])
    assert label_entropy(np.array([3, 7, 3, 7]), 10) == pytest.approx(math.log(2))


def test_frechet_distance_is_that_of_gaussians() -> None:
    """It is |shift|² + (scale − 1)²·trace of the covariance, which may be singular."""
    points, flat = normal(500, 8, 0), np.zeros((10, 4))
    moved = 3 * points + 1
    shift = moved.mean(0) - points.mean(0)
    expected = shift @ shift + 4 * np.trace(np.cov(points, rowvar=False))
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(points, moved) == pytest.approx(expected)
    assert frechet_distance(flat, flat + 2) == pytest.approx(16)


def test_manifolds_see_a_lost_mode_and_copies() -> None:
    """One distribution overlaps, half the modes are not covered, and repeats are not recalled."""
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


SIGMAS = (0.0, 0.5, 3.0, 20.0)
STD = 0.0125


def noise(count: int, seed: int, std: float = 1.0) -> Images:
    """White noise (count, 28, 28)."""
    return std * np.random.default_rng(seed).standard_normal((count, 28, 28)).astype(np.float32)


def blurred(images: Images, sigma_b: float) -> Images:
    """`images` after the model's own heat equation."""
    found: Images = dissipate(torch.from_numpy(images)[:, None], sigma_b)[:, 0].numpy()
    return found


def test_dissipated_power_is_the_power_of_dissipated_images() -> None:
    """The closed form agrees with blurred images, and white noise has its variance in each band."""
    np.testing.assert_allclose(band_power(power(noise(1500, 0, std=2.0))), 4, rtol=0.02)
    images = noise(20, 0)
    found = dissipated_power(power(images), 3.0)
    np.testing.assert_allclose(found, power(blurred(images, 3.0)), rtol=1e-4, atol=1e-10)


def test_a_perfect_model_deviates_nowhere() -> None:
    """States that are dissipated data plus noise, and u_K without noise, are within 0.02."""
    data = noise(2000, 0)
    states = {
        level: power(blurred(data, SIGMAS[level]) + (noise(2000, level, STD) if level < 3 else 0))
        for level in (3, 2, 1)
    }
    found = deviations(states, power(data), SIGMAS, STD)
    assert [each.level for each in found] == [3, 2, 1]
    assert max(each.largest for each in found) < 0.02
    assert all(each.bands[0] is not None for each in found)


def test_bands_under_the_noise_do_not_count() -> None:
    """Only bands above δ² count, and a model that is too soft lacks power at the top alone."""
    data = power(noise(100, 0))
    states = {3: dissipated_power(data, SIGMAS[3]), 1: dissipated_power(data, SIGMAS[1])}
    flat, sharp = deviations(states, data, SIGMAS, STD)
    assert flat.bands[-1] is None
    assert None not in sharp.bands
    final = sharp_deviation("final mean", dissipated_power(data, 0.5), data)
    assert final.bands[0] == pytest.approx(0, abs=0.02)
    assert final.bands[-1] is not None
    assert final.largest == pytest.approx(-final.bands[-1])
    assert final.largest > 0.3
