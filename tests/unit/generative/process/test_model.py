"""The model: both parameterizations against independent arithmetic, in and out as contracted."""

from typing import Any

import numpy as np
import pytest
import torch

from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import image_statistics
from tests.support.lessons import images, preconditioned, wiener
from tests.support.making import random_unet, small_card


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("level", [1, 4, 8])
def test_starts_as_the_wiener_filter(channels: int, level: int) -> None:
    """A preconditioned network that has learnt nothing gives the linear estimate."""
    card, data = preconditioned(channels), images(channels=channels)
    model = Model(card, [UNet(card.finest, channels)], image_statistics(data)).requires_grad_(False)
    u = torch.rand(5, channels, 8, 8, generator=torch.Generator().manual_seed(1))
    found = model(u, level).double().numpy()
    assert np.abs(found - wiener(card, data, u, level)).max() < 2e-6


@pytest.mark.parametrize("level", [0, -1, 5000, 2.5, torch.tensor([1, 5000])])
def test_refuses_other_levels(level: Any) -> None:
    """A level outside of 1 … K gives a message, no numbers."""
    card = small_card()
    with pytest.raises(ValueError, match="level must be an integer from 1 to "):
        Model(card, [random_unet(card)])(torch.zeros(2, 1, 8, 8), level)
