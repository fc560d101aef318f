"""A network for the coarse levels of a heat dissipation model: it sees cosines, not pixels.

From some level on the heat equation has left nothing of an image but its lowest cosines. There a
network over those few numbers is some hundred times cheaper than a U-Net over the pixels, and so
can see the millions of images that the noise of the target asks for.

It is a residual MLP over the standardised coefficients z = (u − A_k m) / √(A_k² S + σ²), which
random Fourier features resolve finely (Tancik et al. 2020), and answers the r of the
"preconditioned" parameterization (`sitegen/ihdm/model.py`), for the lowest cosines alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sitegen.ihdm.heat import dct2
from sitegen.ihdm.model import Model, linear_estimate

FEATURE_SCALE = 0.5
"""Standard deviation of the random frequencies, in radians a unit of z."""
_LEVEL_FREQUENCIES = 32


@dataclass(frozen=True)
class CoarseConfig:
    """The network: `side` × `side` cosines, and how wide and deep it is."""

    side: int = 10
    width: int = 768
    blocks: int = 4
    features: int = 384
    seed: int = 0


class CoarseNet(nn.Module):
    """z (N, side²), and levels (N,) as a share of K, to r (N, side²); 0 before it is trained."""

    def __init__(self, config: CoarseConfig) -> None:
        super().__init__()
        size, width = config.side**2, config.width
        generator = torch.Generator().manual_seed(config.seed)
        frequencies = FEATURE_SCALE * torch.randn(size, config.features, generator=generator)
        self.register_buffer("frequencies", frequencies)
        self.frequencies: Tensor
        self.enter = nn.Linear(size + 2 * config.features, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.leave = _silent(nn.Linear(width, size))

    def forward(self, z: Tensor, place: Tensor) -> Tensor:
        """Give r for z at the levels `place` · K."""
        phases = z @ self.frequencies
        hidden = self.enter(torch.cat([z, phases.sin(), phases.cos()], 1))
        level = level_features(place)
        for block in self.blocks:
            hidden = block(hidden, level)
        answer: Tensor = self.leave(self.norm(hidden))
        return answer


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, width)
        self.level = nn.Linear(2 * _LEVEL_FREQUENCIES, width)
        self.leave = _silent(nn.Linear(width, width))

    def forward(self, hidden: Tensor, level: Tensor) -> Tensor:
        change = self.enter(self.norm(hidden)) + self.level(level)
        answer: Tensor = hidden + self.leave(nn.functional.silu(change))
        return answer


def _silent(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def level_features(place: Tensor) -> Tensor:
    """Sines and cosines (N, 64) of `place` (N,), a share of K, at 1 to 100 radians."""
    frequencies = torch.logspace(0, 2, _LEVEL_FREQUENCIES, device=place.device)
    phases = place[:, None] * frequencies
    return torch.cat([phases.sin(), phases.cos()], 1)


@dataclass(frozen=True)
class LowCosines:
    """What is known without a network of the lowest cosines, for the levels 0 … K.

    All but `data_mean` m (1, side²) are (K + 1, side²): `mean` A_k m and `std` of a state's
    coefficients, `attenuation` A_k, `gain` G_k, `unknown` √R_k, and `weight` A_{k−1}² R_k, what an
    error of r costs; it is 0 at level 0.
    """

    mean: Tensor
    std: Tensor
    attenuation: Tensor
    gain: Tensor
    unknown: Tensor
    weight: Tensor
    data_mean: Tensor

    @property
    def levels(self) -> int:
        """K."""
        return len(self.mean) - 1

    @classmethod
    def of(cls, model: Model, side: int) -> LowCosines:
        """Those of a "preconditioned" model of grey images."""
        assert model.statistics is not None
        levels = torch.arange(model.card.levels + 1)
        here = model.attenuation(levels)
        gain, unknown = linear_estimate(model.statistics, here, model.card.training_noise_std)
        total = here**2 * model.statistics.variance + model.card.training_noise_std**2
        weight = torch.cat([torch.zeros_like(here[:1]), here[:-1] ** 2 * unknown[1:]])
        return cls(
            mean=lowest(here * model.statistics.mean, side),
            std=lowest(total.sqrt(), side),
            attenuation=lowest(here, side),
            gain=lowest(gain, side),
            unknown=lowest(unknown.sqrt(), side),
            weight=lowest(weight, side),
            data_mean=lowest(model.statistics.mean, side),
        )

    def estimate(self, coefficients: Tensor, levels: Tensor) -> Tensor:
        """x̂_0 (N, side²), the linear estimate of the sharp image, from those of states."""
        return self.data_mean + self.gain[levels] * (coefficients - self.mean[levels])

    def standardised(self, coefficients: Tensor, levels: Tensor) -> Tensor:
        """Give z (N, side²) for the coefficients of states."""
        return (coefficients - self.mean[levels]) / self.std[levels]


def lowest(coefficients: Tensor, side: int) -> Tensor:
    """The lowest `side` × `side` of coefficients (N, 1, H, W), or (1, H, W), as rows of numbers."""
    block = coefficients[..., :side, :side]
    return block.reshape(-1, side * side)


class CoarseExpert:
    """A trained `CoarseNet` that answers as the U-Net of `model` does, for pixels."""

    def __init__(self, model: Model, net: CoarseNet, side: int) -> None:
        self.known = LowCosines.of(model, side)
        self.net, self.side, self.shape = net, side, model.card.shape

    def answer(self, u: Tensor, levels: Tensor) -> Tensor:
        """The cosines of r (N, 1, H, W) for states `u` at `levels` (N,); 0 beyond the lowest."""
        coefficients = lowest(dct2(u), self.side)
        r = self.net(self.known.standardised(coefficients, levels), levels / self.known.levels)
        full = torch.zeros(len(u), *self.shape)
        full[..., : self.side, : self.side] = r.reshape(len(u), 1, self.side, self.side)
        return full
