"""The coarse network knows the linear estimate exactly, and its loss is that of the U-Net."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recipes.coarse import CoarseConfig, CoarseExpert, CoarseNet, LowCosines, lowest
from recipes.train_coarse import coarse_loss, low_cosines
from sitegen.ihdm.heat import dct2
from sitegen.ihdm.loss import heat_loss, image_statistics
from sitegen.ihdm.model import Model
from sitegen.ihdm.unet import UNet
from tests.ihdm.lessons import dct, images, kept, preconditioned

SMALL = CoarseConfig(side=3, width=32, blocks=2, features=8)
WHOLE = CoarseConfig(side=8, width=32, blocks=1, features=8)
LEVELS = torch.tensor([1, 4, 7, 8])


def model() -> Model:
    """A preconditioned model whose network answers nothing yet."""
    card = preconditioned()
    return Model(card, UNet(card.unet, 1), image_statistics(images())).requires_grad_(False)


def outspoken(config: CoarseConfig) -> CoarseNet:
    """A network that has an answer."""
    torch.manual_seed(1)
    net = CoarseNet(config).requires_grad_(False)
    for parameter in net.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape))
    return net


def test_silent_before_it_is_trained() -> None:
    """Its first answer is 0: the linear estimate stands. Afterwards level and state matter."""
    z = torch.randn(4, 9, generator=torch.Generator().manual_seed(2))
    assert torch.equal(CoarseNet(SMALL)(z, LEVELS / 8), torch.zeros(4, 9))
    net = outspoken(SMALL)
    assert not torch.allclose(net(z, LEVELS / 8), net(z, LEVELS.flip(0) / 8))
    assert not torch.allclose(net(z, LEVELS / 8), net(-z, LEVELS / 8))


def test_known_numbers() -> None:
    """Mean and deviation of the coefficients of states are those of the data, by SciPy."""
    known = LowCosines.of(model(), 3)
    assert known.levels == 8
    cosines = dct(images().double().numpy() / 255)[:, 0, :3, :3].reshape(-1, 9)
    card = preconditioned()
    for level in (1, 5, 8):
        here = kept(card, level)[:3, :3].reshape(9)
        deviation = np.sqrt(here**2 * cosines.var(0) + card.training_noise_std**2)
        assert known.mean[level].numpy() == pytest.approx(here * cosines.mean(0), rel=1e-4)
        assert known.std[level].numpy() == pytest.approx(deviation, rel=1e-4)


def test_standardised() -> None:
    """The coefficients of the noisy blurred data have mean 0 and deviation 1."""
    known, data = LowCosines.of(model(), 3), low_cosines(images(), 3)
    noise = 0.05 * torch.randn(200, *data.shape, generator=torch.Generator().manual_seed(3))
    states = known.attenuation[4] * data + noise
    z = known.standardised(states.reshape(-1, 9), torch.tensor([4]))
    assert float(z.mean(0).abs().max()) < 0.02
    assert float((z.std(0) - 1).abs().max()) < 0.02


def test_loss_is_that_of_the_network_over_pixels() -> None:
    """With all cosines and both networks silent it is `heat_loss` of the same images and noise."""
    pictures = images(4).float() / 255
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(4))
    wanted = heat_loss(model(), pictures, LEVELS, noise)
    known = LowCosines.of(model(), 8)
    sharp, drawn = lowest(dct2(pictures), 8), 0.05 * lowest(dct2(noise), 8)
    found = coarse_loss(CoarseNet(WHOLE), known, sharp, LEVELS, drawn)
    assert found.detach().numpy() == pytest.approx(wanted.numpy(), rel=1e-3)


def test_loss_is_least_for_the_truth() -> None:
    """A network that knew the image would have no loss."""

    class Oracle(CoarseNet):
        def forward(self, z: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
            states = z * known.std[LEVELS] + known.mean[LEVELS]
            return (sharp - known.estimate(states, LEVELS)) / known.unknown[LEVELS]

    known, sharp = LowCosines.of(model(), 8), low_cosines(images(4), 8)
    noise = 0.05 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(5))
    assert float(coarse_loss(Oracle(WHOLE), known, sharp, LEVELS, noise).max()) < 1e-6


def test_answers_for_pixels() -> None:
    """An expert's answer is the network's, in the lowest cosines, and 0 in the others."""
    net = outspoken(SMALL)
    expert, u = CoarseExpert(model(), net, 3), images(4).float() / 255
    found = expert.answer(u, LEVELS)
    z = expert.known.standardised(lowest(dct2(u), 3), LEVELS)
    assert torch.equal(found[..., :3, :3].reshape(4, 9), net(z, LEVELS / 8))
    assert float(found[..., 3:, :].abs().max()) == 0
    assert float(found[..., :, 3:].abs().max()) == 0
    assert float(found.abs().max()) > 0
