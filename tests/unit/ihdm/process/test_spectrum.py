"""Radial spectra are those of scipy's DCT, keep all power, and see white noise as flat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from sitegen.ihdm.process.heat import dct2
from sitegen.ihdm.process.model import Statistics
from sitegen.ihdm.process.spectrum import (
    frequencies,
    rings,
    spectrum,
    spectrum_of,
)


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3)])
def test_against_scipy(size: int, channels: int) -> None:
    """Squared coefficients, averaged over images, channels and rings of whole radii."""
    images = np.random.default_rng(0).random((5, channels, size, size))
    power = (dctn(images, axes=(2, 3), norm="ortho") ** 2).mean((0, 1))
    rows, columns = np.indices((size, size))
    radius = np.hypot(rows, columns)
    found = spectrum(torch.from_numpy(images)).numpy()
    for ring in range(len(found)):
        inside = (radius >= ring - 0.5) & (radius < ring + 0.5)
        assert found[ring] == pytest.approx(power[inside].mean(), rel=1e-12)
    assert len(found) == rings(size) == len(frequencies(size)) == round(np.sqrt(2) * (size - 1)) + 1


@pytest.mark.parametrize("cycles", [1, 3, 6])
def test_frequencies_are_cycles(cycles: int) -> None:
    """A cosine with so many cycles along a side has its power in the ring of that frequency."""
    place = torch.arange(16, dtype=torch.float64)
    wave = torch.cos(2 * torch.pi * cycles * (place + 0.5) / 16).expand(1, 1, 16, 16)
    found = spectrum(wave)
    assert frequencies(16)[int(found.argmax())] == cycles
    assert float(found.sort().values[-2]) < 1e-20


def test_statistics_are_exact() -> None:
    """Mean and variance of the coefficients give the mean spectrum of the images they are of."""
    images = torch.rand(7, 3, 8, 8, dtype=torch.float64)
    coefficients = dct2(images)
    statistics = Statistics(coefficients.mean(0), coefficients.var(0, correction=0))
    assert torch.allclose(spectrum_of(statistics), spectrum(images), rtol=1e-12)
