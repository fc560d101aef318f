"""Power by frequency: what white noise has, what dissipation leaves, and what noise hides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.spectra import (
    BANDS,
    Images,
    LevelDeviation,
    band_power,
    deviations,
    dissipated_power,
    log_spectral_distance,
    power,
    sharp_deviation,
    watched_levels,
)
from sitegen.ihdm.process.heat import dissipate

SIGMAS = (0.0, 0.5, 3.0, 20.0)
STD = 0.0125


def noise(count: int, seed: int, std: float = 1.0) -> Images:
    """White noise (count, 28, 28)."""
    return std * np.random.default_rng(seed).standard_normal((count, 28, 28)).astype(np.float32)


def blurred(images: Images, sigma_b: float) -> Images:
    """`images` after the model's own heat equation."""
    found: Images = dissipate(torch.from_numpy(images)[:, None], sigma_b)[:, 0].numpy()
    return found


def test_white_noise_has_its_variance_in_every_band() -> None:
    """The transform is orthonormal, so each band's power is the variance of a pixel."""
    np.testing.assert_allclose(band_power(power(noise(1500, 0, std=2.0))), 4, rtol=0.02)


def test_dissipated_power_is_the_power_of_dissipated_images() -> None:
    """The closed form agrees with blurring the images themselves."""
    images = noise(20, 0)
    found = dissipated_power(power(images), 3.0)
    np.testing.assert_allclose(found, power(blurred(images, 3.0)), rtol=1e-4, atol=1e-10)


def test_watched_levels() -> None:
    """Six levels of a long process, highest first; no repeats and no level 0 in a short one."""
    assert watched_levels(100) == (100, 75, 50, 25, 10, 1)
    assert watched_levels(3) == (3, 2, 1)


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
    """At the flattest level only the lowest band is above δ²; at the sharpest all are, and a model
    that is too soft lacks power at the top and nowhere else.
    """
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


def test_log_spectral_distance() -> None:
    """Nothing for equal spectra, and the factor's logarithm for a constant factor; hidden bands are
    no deviation.
    """
    spectrum = power(noise(10, 0))
    assert log_spectral_distance(spectrum, spectrum) == 0
    assert log_spectral_distance(10 * spectrum, spectrum) == pytest.approx(1)
    assert LevelDeviation(5, "state", (0.1, -0.3, None, None, None)).largest == 0.3
    assert LevelDeviation(5, "state", (None,) * len(BANDS)).largest == 0
