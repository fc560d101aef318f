"""What the tests of training share: pictures, small random models, the linear filter by SciPy."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from torch import Tensor

from sitegen.generative.card.networks import Band, CosineConfig
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.networks.construct import new_network
from sitegen.generative.networks.cosines import CosineNet
from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.dissipation import HeatDissipation
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import image_statistics
from tests.support.making import random_unet, small_card

Array = NDArray[np.float64]


def images(count: int = 64, channels: int = 1, size: int = 8) -> Tensor:
    """Random pictures, uint8 (count, channels, size, size), in which neighbours resemble."""
    noise = np.random.default_rng(0).normal(size=(count, channels, size, size))
    smooth = noise + np.roll(noise, 1, -1) + np.roll(noise, 1, -2) + np.roll(noise, 1, -3)
    return torch.from_numpy(np.clip(128 + 40 * smooth, 0, 255).astype(np.uint8))


def preconditioned(channels: int = 1) -> HeatDissipation:
    """A small card of the preconditioned kind."""
    learned: dict[str, Any] = {"parameterization": "preconditioned", "training_noise_std": 0.05}
    card: HeatDissipation = small_card(channels=channels, **learned)
    return card


def blur(values: Array, factor: Array) -> Array:
    """Each cosine of pictures (…, H, W) times its factor."""
    return idct(factor * dct(values))


def dct(values: Array) -> Array:
    """SciPy's orthonormal DCT-II over the last two axes."""
    result: Array = dctn(values, axes=(-2, -1), norm="ortho")
    return result


def idct(values: Array) -> Array:
    """Its inverse."""
    result: Array = idctn(values, axes=(-2, -1), norm="ortho")
    return result


def kept(card: HeatDissipation, level: int) -> Array:
    """A_k, what a level leaves of each cosine, (H, W), by the formula."""
    frequency = np.pi * np.arange(card.image_size) / card.image_size
    return np.exp(-(frequency[:, None] ** 2 + frequency**2) * card.schedule[level] ** 2 / 2)


def wiener(card: HeatDissipation, data: Tensor, u: Tensor, level: int) -> Array:
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


CONFIG = Band(5, 3, cosines=CosineConfig(32, 2, 8, 4))


def outspoken(band: Band = CONFIG, channels: int = 1) -> CosineNet:
    """A network over cosines that has an answer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = new_network(band, channels, 8).requires_grad_(False)
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    assert isinstance(net, CosineNet)
    return net


def card(channels: int = 1) -> HeatDissipation:
    """A card with a network for coarse levels."""
    known = preconditioned(channels)
    return replace(known, unet=None, bands=(Band(1, unet=known.unet), CONFIG))


def model(channels: int = 1) -> Model:
    """Both networks have random weights."""
    known = card(channels)
    statistics = image_statistics(images(channels=channels))
    networks = [random_unet(known), outspoken(channels=channels)]
    return Model(known, networks, statistics).requires_grad_(False)


def cascade_card(channels: int = 1) -> HeatDissipation:
    """A cascade: U-Nets for whole and half the side, and cosines; it visits five levels."""
    known = preconditioned(channels)
    bands = (Band(1, unet=known.unet), Band(3, 4, unet=known.unet), CONFIG)
    return replace(known, unet=None, bands=bands, sampling=SamplingConfig((8, 6, 5, 3, 1)))


def cascade(channels: int = 1) -> Model:
    """All three networks have random weights."""
    known = cascade_card(channels)
    statistics = image_statistics(images(channels=channels))
    networks = [random_unet(known), random_unet(known, 1), outspoken(channels=channels)]
    return Model(known, networks, statistics).requires_grad_(False)


def without_coarse(channels: int = 1) -> Model:
    """A preconditioned model whose network answers nothing yet."""
    card = preconditioned(channels)
    statistics = image_statistics(images(channels=channels))
    return Model(card, [UNet(card.finest, channels)], statistics).requires_grad_(False)
