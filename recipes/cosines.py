"""What training a network for coarse levels takes: the lowest cosines of images and states."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sitegen.generative.networks.cosines import CosineNet, lowest
from sitegen.generative.process.heat import dct2
from sitegen.generative.process.model import Model, linear_estimate


@dataclass(frozen=True)
class LowCosines:
    """What is known without a network of the lowest cosines, for the levels 0 … K.

    All but `data_mean` m (1, C·side²) are (K + 1, C·side²): `mean` A_k m and `std` of a state's
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
    noise_std: float
    axes: Tensor | None = None
    """Those that a network which is trained sees z along (`principal_axes`), if not its own."""

    @property
    def levels(self) -> int:
        """K."""
        return len(self.mean) - 1

    @classmethod
    def of(cls, model: Model, side: int) -> LowCosines:
        """Those of a "preconditioned" model."""
        statistics, noise_std = model.statistics, model.card.training_noise_std
        assert statistics is not None
        here = model.attenuation(torch.arange(model.card.levels + 1)).expand(-1, *model.card.shape)
        gain, unknown = linear_estimate(statistics, here, noise_std)
        total = here**2 * statistics.variance + noise_std**2
        weight = torch.cat([torch.zeros_like(here[:1]), here[:-1] ** 2 * unknown[1:]])
        return cls(
            mean=lowest(here * statistics.mean, side),
            std=lowest(total.sqrt(), side),
            attenuation=lowest(here, side),
            gain=lowest(gain, side),
            unknown=lowest(unknown.sqrt(), side),
            weight=lowest(weight, side),
            data_mean=lowest(statistics.mean[None], side),
            noise_std=noise_std,
        )

    def estimate(self, coefficients: Tensor, levels: Tensor) -> Tensor:
        """x̂_0 (N, C·side²), the linear estimate of the sharp image, from those of states."""
        return self.data_mean + self.gain[levels] * (coefficients - self.mean[levels])

    def standardised(self, coefficients: Tensor, levels: Tensor) -> Tensor:
        """Give z (N, C·side²) for the coefficients of states."""
        return (coefficients - self.mean[levels]) / self.std[levels]

    def answer(self, net: CosineNet, coefficients: Tensor, levels: Tensor) -> Tensor:
        """The r (N, C·side²) of a network for the coefficients of states."""
        z, place = self.standardised(coefficients, levels), levels / self.levels
        if self.axes is None:
            found: Tensor = net(z, place)
            return found
        with torch.autocast("cpu", enabled=False):
            along, phases = z @ self.axes, z @ net.frequencies
        return net.answer(along, phases, place)

    def cost(self, error: Tensor, levels: Tensor) -> Tensor:
        """What errors of r (N, C·side²) cost (N,), as a share of the linear estimate's error."""
        weight = self.weight[levels]
        return (weight * error.square()).sum(1) / weight.sum(1)


def low_cosines(images: Tensor, side: int, chunk: int = 4096) -> Tensor:
    """The lowest coefficients (N, C·side²) of uint8 images (N, C, H, W)."""
    parts = torch.split(images, chunk)
    return torch.cat([lowest(dct2(part.float() / 255), side) for part in parts])


def principal_axes(known: LowCosines, sharp: Tensor, levels: range) -> tuple[Tensor, Tensor]:
    """Axes (n, n) along which the z of states are white, and how much of each (n,) is no noise.

    Most of the z of a coarse state are noise, and the others go together: along their own axes they
    are hard to tell apart for a network that sees all z alike large. `sharp` (N, n) are the lowest
    cosines of images; the covariance is that of their states at all of the `levels` together.
    """
    signal = torch.zeros(sharp.shape[1], sharp.shape[1], dtype=torch.float64)
    noise = torch.zeros(sharp.shape[1], dtype=torch.float64)
    for level in levels:
        z = ((known.attenuation[level] * sharp - known.mean[level]) / known.std[level]).double()
        signal += z.T @ z / len(z) / len(levels)
        noise += (known.noise_std / known.std[level]).double().square() / len(levels)
    sizes, along = torch.linalg.eigh(signal + noise.diag())
    white = along / sizes.sqrt()
    shares, turned = torch.linalg.eigh(white.T @ signal @ white)
    return (white @ turned).float(), shares.clamp(0, 1).float()


def draw_states(
    known: LowCosines,
    sharp: Tensor,
    count: int,
    among: range,
    noisier: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients of images, of their states (count, C·side²), and of the levels `among`.

    The noise of a state is that of training times 1 to `noisier`, by chance.
    """
    images = sharp[torch.randint(len(sharp), (count,), generator=generator)]
    levels = torch.randint(among.start, among.stop, (count,), generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    more = 1 + (noisier - 1) * torch.rand(count, 1, generator=generator)
    return images, known.attenuation[levels] * images + known.noise_std * more * noise, levels
