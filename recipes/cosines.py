"""Lowest cosines of images and states, for training a network of the coarse levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sitegen.generative.maths.heat import dct2
from sitegen.generative.networks.cosines import CosineNet, lowest
from sitegen.generative.process.model import Model, linear_estimate


@dataclass(frozen=True)
class LowCosines:
    """Statistics of the lowest cosines at levels 0 … K, without a network.

    All but `data_mean` m (1, C·side²) are (K + 1, C·side²): `mean` A_k m and `std` of a state's
    coefficients, `attenuation` A_k, `gain` G_k, `unknown` √R_k, and `weight` A_{k−1}² R_k, the cost
    of an error of r; it is 0 at level 0.
    """

    mean: Tensor
    std: Tensor
    attenuation: Tensor
    gain: Tensor
    unknown: Tensor
    weight: Tensor
    data_mean: Tensor
    noise_std: float
    axes: Tensor | None = None
    """Axes along which a network in training sees z (`principal_axes`); None for the original."""

    @property
    def levels(self) -> int:
        """K, the number of levels."""
        return len(self.mean) - 1

    @classmethod
    def of(cls, model: Model, side: int) -> LowCosines:
        """Compute the statistics of a "preconditioned" model."""
        statistics, noise_std = model.statistics, model.card.training_noise_std
        assert statistics is not None
        factors = model.attenuation(torch.arange(model.card.levels + 1)).expand(
            -1, *model.card.shape
        )
        gain, unknown = linear_estimate(statistics, factors, noise_std)
        total = factors**2 * statistics.variance + noise_std**2
        weight = torch.cat([torch.zeros_like(factors[:1]), factors[:-1] ** 2 * unknown[1:]])
        return cls(
            mean=lowest(factors * statistics.mean, side),
            std=lowest(total.sqrt(), side),
            attenuation=lowest(factors, side),
            gain=lowest(gain, side),
            unknown=lowest(unknown.sqrt(), side),
            weight=lowest(weight, side),
            data_mean=lowest(statistics.mean[None], side),
            noise_std=noise_std,
        )

    def estimate(self, coefficients: Tensor, levels: Tensor) -> Tensor:
        """Return x̂_0 (N, C·side²), the linear estimate of the sharp image, from a state's."""
        return self.data_mean + self.gain[levels] * (coefficients - self.mean[levels])

    def standardised(self, coefficients: Tensor, levels: Tensor) -> Tensor:
        """Return z (N, C·side²) for the coefficients of states."""
        return (coefficients - self.mean[levels]) / self.std[levels]

    def answer(self, net: CosineNet, coefficients: Tensor, levels: Tensor) -> Tensor:
        """Return the r (N, C·side²) of a network for the coefficients of states."""
        z, share = self.standardised(coefficients, levels), levels / self.levels
        if self.axes is None:
            answer: Tensor = net(z, share)
            return answer
        with torch.autocast("cpu", enabled=False):
            along, phases = z @ self.axes, z @ net.frequencies
        return net.answer(along, phases, share)

    def cost(self, error: Tensor, levels: Tensor) -> Tensor:
        """Return the cost (N,) of errors of r (N, C·side²), relative to the linear estimate's."""
        weight = self.weight[levels]
        return (weight * error.square()).sum(1) / weight.sum(1)


def low_cosines(images: Tensor, side: int, chunk: int = 4096) -> Tensor:
    """Return the lowest coefficients (N, C·side²) of uint8 images (N, C, H, W)."""
    parts = torch.split(images, chunk)
    return torch.cat([lowest(dct2(part.float() / 255), side) for part in parts])


def principal_axes(cosines: LowCosines, sharp: Tensor, levels: range) -> tuple[Tensor, Tensor]:
    """Return axes (n, n) along which the z of states are white, and the signal share (n,) of each.

    Most of the z of a coarse state are noise, and the others are correlated; a network that sees
    all of them at equal scale can hardly separate them. `sharp` (N, n) are the lowest cosines of
    images; the covariance is that of their states at all `levels` together.
    """
    moments = torch.zeros(sharp.shape[1], sharp.shape[1], dtype=torch.float64)
    for part in torch.split(sharp, 65_536):
        away = (part - cosines.data_mean).double()
        moments += away.T @ away / len(sharp)
    signal, noise = torch.zeros_like(moments), torch.zeros_like(moments[0])
    for level in levels:
        scale = (cosines.attenuation[level] / cosines.std[level]).double()
        signal += scale[:, None] * moments * scale / len(levels)
        noise += (cosines.noise_std / cosines.std[level]).double().square() / len(levels)
    sizes, along = torch.linalg.eigh(signal + noise.diag())
    white = along / sizes.sqrt()
    shares, turned = torch.linalg.eigh(white.T @ signal @ white)
    return (white @ turned).float(), shares.clamp(0, 1).float()


def draw_states(
    cosines: LowCosines,
    sharp: Tensor,
    count: int,
    among: range,
    noisier: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return coefficients of images, of their states (count, C·side²), and levels from `among`.

    The noise of a state is that of training times a random factor from 1 to `noisier`.
    """
    images = sharp[torch.randint(len(sharp), (count,), generator=generator)]
    levels = torch.randint(among.start, among.stop, (count,), generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    more = 1 + (noisier - 1) * torch.rand(count, 1, generator=generator)
    return images, cosines.attenuation[levels] * images + cosines.noise_std * more * noise, levels
