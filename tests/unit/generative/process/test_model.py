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


@pytest.mark.parametrize(
    ("shape", "kind", "level", "words"),
    [
        ((2, 1, 8, 8), torch.float32, 0, "level must be 1 … "),
        ((2, 1, 8, 8), torch.float32, -1, "level must be 1 … "),
        ((2, 1, 8, 8), torch.float32, 5000, "level must be 1 … "),
        ((2, 1, 8, 8), torch.float32, 2.5, "must be an integer"),
        ((2, 1, 8, 8), torch.float32, torch.tensor([1, 2, 3]), "3 levels for 2 states"),
        ((2, 3, 8, 8), torch.float32, 1, "must be float32"),
        ((2, 1, 8, 8), torch.float64, 1, "must be float32"),
    ],
)
def test_refuses_what_it_was_not_trained_on(
    shape: tuple[int, ...], kind: torch.dtype, level: Any, words: str
) -> None:
    """A level outside of 1 … K, or states of another shape or type, give a message, no numbers."""
    card = small_card()
    with pytest.raises(ValueError, match=words):
        Model(card, [random_unet(card)])(torch.zeros(shape, dtype=kind), level)
