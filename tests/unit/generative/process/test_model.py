"""The model: both parameterizations against independent arithmetic, in and out as contracted."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import image_statistics
from tests.support.lessons import blur, dct, images, kept, preconditioned, wiener
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


def test_answers_are_scaled_by_what_is_unknown() -> None:
    """Cosine n moves by A_{k−1} √R_k times the answer's; a network sees one scale everywhere."""
    card, data = preconditioned(), images()
    statistics = image_statistics(data)
    answer = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    blank = Model(card, [UNet(card.finest, 1)], statistics).requires_grad_(False)
    model = Model(card, [random_unet(card)], statistics)
    model.network = lambda *_: answer  # type: ignore
    u = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    for level in (1, 5, 8):
        variance = dct(data.numpy().astype(np.float64) / 255).var(0)
        here, noise = kept(card, level), card.training_noise_std**2
        unknown = variance * noise / (here**2 * variance + noise)
        moved = dct((model(u, level) - blank(u, level)).double().numpy())
        wanted = kept(card, level - 1) * np.sqrt(unknown) * dct(answer.double().numpy())
        assert np.abs(moved - wanted).max() < 5e-6
    card, data = preconditioned(), images(512)
    seen: list[Tensor] = []
    model = Model(card, [random_unet(card)], image_statistics(data))
    model.network = lambda x, *_: seen.append(x) or x  # type: ignore
    pictures = data.float() / 255
    for level in range(1, 9):
        filtered = torch.from_numpy(blur(pictures.double().numpy(), kept(card, level))).float()
        drawn = torch.randn(filtered.shape, generator=torch.Generator().manual_seed(level))
        model(filtered + card.training_noise_std * drawn, level)
    assert all(abs(float(x.mean())) < 0.05 for x in seen)
    assert all(0.05 < float(x.std()) < 1.05 for x in seen)
    assert float(seen[0].std()) > 0.95


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
