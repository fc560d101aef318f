"""What the tests of training share: pictures to learn from, and the linear filter by SciPy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from torch import Tensor

from sitegen.ihdm.card.card import ModelCard
from tests.support.making import small_card

Array = NDArray[np.float64]


def images(count: int = 64, channels: int = 1, size: int = 8) -> Tensor:
    """Random pictures, uint8 (count, channels, size, size), in which neighbours resemble."""
    noise = np.random.default_rng(0).normal(size=(count, channels, size, size))
    smooth = noise + np.roll(noise, 1, -1) + np.roll(noise, 1, -2) + np.roll(noise, 1, -3)
    return torch.from_numpy(np.clip(128 + 40 * smooth, 0, 255).astype(np.uint8))


def preconditioned(channels: int = 1) -> ModelCard:
    """A small card of the preconditioned kind."""
    return small_card(parameterization="preconditioned", channels=channels, training_noise_std=0.05)


def blur(values: Array, factor: Array) -> Array:
    """Each cosine of pictures (…, H, W) times its factor."""
    result: Array = idctn(factor * dct(values), axes=(-2, -1), norm="ortho")
    return result


def dct(values: Array) -> Array:
    """SciPy's orthonormal DCT-II over the last two axes."""
    result: Array = dctn(values, axes=(-2, -1), norm="ortho")
    return result


def kept(card: ModelCard, level: int) -> Array:
    """A_k, what a level leaves of each cosine, (H, W), by the formula."""
    frequency = np.pi * np.arange(card.image_size) / card.image_size
    return np.exp(-(frequency[:, None] ** 2 + frequency**2) * card.schedule[level] ** 2 / 2)


def wiener(card: ModelCard, data: Tensor, u: Tensor, level: int) -> Array:
    """The linear estimate of u_{k−1}, coefficient by coefficient, from covariances.

    Of each cosine c of the sharp image and its noisy blurred copy y: the best linear guess of
    A_{k−1} c from y is E + cov(A_{k−1} c, y) / var(y) · (y − A_k E c).
    """
    sharp = dct(data.numpy().astype(np.float64) / 255)
    mean, variance = sharp.mean(0), sharp.var(0)
    here, below = kept(card, level), kept(card, level - 1)
    covariance = below * here * variance
    total = here**2 * variance + card.training_noise_std**2
    centred = dct(u.double().numpy()) - here * mean
    result: Array = idctn(below * mean + covariance / total * centred, axes=(-2, -1), norm="ortho")
    return result
