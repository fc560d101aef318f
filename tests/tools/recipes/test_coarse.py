"""The lowest cosines of data and states are those of SciPy, and errors cost what they do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recipes.coarse import LowCosines, draw_states, low_cosines
from sitegen.ihdm.nets.coarse import lowest
from sitegen.ihdm.process.heat import dct2
from tests.support.lessons import dct, images, kept, outspoken, preconditioned, without_coarse
from tests.support.lessons import model as with_coarse


@pytest.mark.parametrize("channels", [1, 3])
def test_known_numbers(channels: int) -> None:
    """Mean and deviation of the coefficients of states are those of the data, by SciPy."""
    known = LowCosines.of(without_coarse(channels), 3)
    assert known.levels == 8
    cosines = dct(images(channels=channels).double().numpy() / 255)[..., :3, :3]
    card = preconditioned(channels)
    for level in (1, 5, 8):
        here = kept(card, level)[:3, :3]
        deviation = np.sqrt(here**2 * cosines.var(0) + card.training_noise_std**2)
        assert known.mean[level].numpy() == pytest.approx(
            (here * cosines.mean(0)).ravel(), rel=1e-4
        )
        assert known.std[level].numpy() == pytest.approx(deviation.ravel(), rel=1e-4)


def test_standardised() -> None:
    """The coefficients of the noisy blurred data have mean 0 and deviation 1."""
    known, data = LowCosines.of(without_coarse(), 3), low_cosines(images(), 3)
    noise = 0.05 * torch.randn(200, *data.shape, generator=torch.Generator().manual_seed(3))
    states = known.attenuation[4] * data + noise
    z = known.standardised(states.reshape(-1, 9), torch.tensor([4]))
    assert float(z.mean(0).abs().max()) < 0.02
    assert float((z.std(0) - 1).abs().max()) < 0.02


def test_estimate_and_answer_are_the_model_s() -> None:
    """With the answer of a network the estimate is the mean that the whole model gives."""
    both, u = with_coarse(), images(4).float() / 255
    known = LowCosines.of(both, 3)
    for level in (5, 8):
        levels = torch.full((4,), level)
        seen = lowest(dct2(u), 3)
        answer = known.unknown[levels] * known.answer(outspoken(), seen, levels)
        found = known.attenuation[levels - 1] * (known.estimate(seen, levels) + answer)
        assert torch.allclose(found, lowest(dct2(both(u, level)), 3), atol=1e-5)


def test_states() -> None:
    """Levels from the lowest to K, all of them; images of the data; noise of 1 to 1.5 times σ."""
    known, data = LowCosines.of(without_coarse(), 3), low_cosines(images(8), 3)
    drawn = draw_states(known, data, 4096, 3, 1.5, torch.Generator().manual_seed(4))
    sharp, states, levels = drawn
    assert set(levels.tolist()) == set(range(3, 9))
    assert len({tuple(row.tolist()) for row in sharp}) == 8
    noise = (states - known.attenuation[levels] * sharp) / 0.05
    assert float(noise.square().mean()) == pytest.approx((1 + 1.5 + 1.5**2) / 3, rel=0.03)
    again = draw_states(known, data, 4096, 3, 1.5, torch.Generator().manual_seed(4))
    assert all(map(torch.equal, drawn, again))
