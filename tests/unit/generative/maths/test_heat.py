"""`dissipate` solves the heat equation with insulated edges; spectra are those of SciPy's DCT."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor

from sitegen.generative.maths.heat import (
    Statistics,
    attenuation,
    dct2,
    frequencies,
    idct2,
    rings,
    spectrum,
    spectrum_of,
)
from sitegen.ihdm import dissipate
from tests.support.making import closeness


def _images(seed: int, height: int, width: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, height, width, generator=generator, dtype=torch.float64)


def test_recorded_blur(expected: dict[str, Tensor]) -> None:
    """As published at each level, by ∂u/∂t = Δu, for none and much; spectra go by cycles."""
    sigmas = expected["blur_schedule"][expected["k"]]
    assert closeness(dissipate(expected["image"], sigmas), expected["blurred"]) < 1e-6
    images = _images(9, 12, 12)
    assert torch.allclose(dissipate(images, 0), images, atol=1e-13)
    flat = images.mean((-2, -1), keepdim=True).expand_as(images)
    assert torch.allclose(dissipate(images, 1e4), flat, atol=1e-13)
    for sigma in [-1.0, math.nan, math.inf]:
        with pytest.raises(ValueError, match="sigma_b"):
            dissipate(_images(10, 4, 4), sigma)
    images = _images(2, 28, 28)
    time, step = 4.5, 4.5e-4
    later, sooner = (dissipate(images, math.sqrt(2 * t)) for t in (time + step, time - step))
    log = attenuation(torch.tensor([1.0]), 28, 28)[0].log()  # −λ/2 of each cosine
    laplacian = idct2(2 * log * dct2(dissipate(images, 3.0)))
    assert closeness((later - sooner) / (2 * step), laplacian) < 1e-6
    images = torch.rand(7, 3, 8, 8, dtype=torch.float64)
    coefficients = dct2(images)
    statistics = Statistics(coefficients.mean(0), coefficients.var(0, correction=0))
    assert torch.allclose(spectrum_of(statistics), spectrum(images), rtol=1e-12)
    for cycles in [1, 3, 6]:
        place = torch.arange(16, dtype=torch.float64)
        wave = torch.cos(2 * torch.pi * cycles * (place + 0.5) / 16).expand(1, 1, 16, 16)
        found = spectrum(wave)
        assert frequencies(16)[int(found.argmax())] == cycles
        assert float(found.sort().values[-2]) < 1e-20


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
