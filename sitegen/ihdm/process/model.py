"""A trained model as one callable, (u_k, level k) → the mean of u_{k−1}, and what it runs on.

Two parameterizations of the network's answer:

- "difference", as published: mean = u + f(u, k).
- "preconditioned": what is linear is done in closed form, the network does the rest. In the
  cosine basis let m and S be mean and variance of the data's coefficients, A_k what level k leaves
  of them and σ the training noise. The linear estimate of the sharp image is
  x̂_0 = m + G_k (u_k − A_k m) with G_k = A_k S / (A_k² S + σ²), and leaves the variance
  R_k = S σ² / (A_k² S + σ²) unknown. The network sees x̂_0 standardised and answers r; then
  û_0 = x̂_0 + √R_k r coefficient by coefficient and mean = A_{k−1} û_0, exact because the heat
  equation is linear. It is the preconditioning of Karras et al. 2022 with one factor a frequency.
  A model may have a second network for its coarse levels, which answers the cosines of r that are
  left there (`coarse.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sitegen.core.compute import DEVICE, Precision
from sitegen.core.errors import ConfigError, PlatformError
from sitegen.core.installed import memory_full
from sitegen.ihdm.card.card import ModelCard
from sitegen.ihdm.nets.coarse import CoarseNet, lowest, restored
from sitegen.ihdm.nets.unet import UNet
from sitegen.ihdm.process.heat import Statistics, attenuation, dct2, idct2


class CardModel(nn.Module):
    """A network with its card: what every kind of model has.

    `precision` says what the network computes in; states and the arithmetic around the network
    stay float32.
    """

    def __init__(self, card: ModelCard, unet: nn.Module, precision: Precision = "float32") -> None:
        super().__init__()
        self.card = card
        self.unet = unet
        self.precision = precision
        if precision == "bfloat16":
            unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def statistics(self) -> Statistics | None:
        """Of a preconditioned model, where its weights lie."""
        return None

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.unet.parameters()).device

    def levels_of(self, states: Tensor, level: int | Tensor) -> Tensor:
        """`level` as a tensor (1,) or (N,), once it and `states` (N, C, H, W) are what they must.

        Raises ValueError for states of another shape or type, and levels outside of 1 … K.
        """
        levels, shape = torch.as_tensor(level, device=states.device).reshape(-1), self.card.shape
        found, highest = tuple(states.shape), self.card.levels
        if states.dim() != 4 or found[1:] != shape or states.dtype != torch.float32:
            raise ValueError(
                f"the state is {found} {states.dtype}; must be float32 (N, C, H, W) with "
                f"(C, H, W) = {shape}"
            )
        if levels.is_floating_point() or levels.dtype == torch.bool:
            raise ValueError(f"level must be an integer, not {levels.dtype}")
        if len(levels) not in (1, len(states)):
            raise ValueError(
                f"{len(levels)} levels for {len(states)} states; give one, or one each"
            )
        low, high = (int(end) for end in levels.aminmax())
        if low < 1 or high > highest:
            raise ValueError(f"level must be 1 … {highest}, not {low if low < 1 else high}")
        return levels

    def network(self, x: Tensor, levels: Tensor) -> Tensor:
        """The raw answer of the network, float32, computed in the model's precision."""
        if self.precision == "float32":
            answer: Tensor = self.unet(x, levels)
            return answer
        x = x.to(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16):
            half: Tensor = self.unet(x, levels)
        return half.float()


class Model(CardModel):
    """A model that undoes heat dissipation; the only thing that a sampler needs to know."""

    def __init__(
        self,
        card: ModelCard,
        unet: UNet,
        statistics: Statistics | None = None,
        precision: Precision = "float32",
        coarse: CoarseNet | None = None,
    ) -> None:
        super().__init__(card, unet, precision)
        if (None if coarse is None else coarse.config) != card.coarse:
            raise ValueError("the card and the network for coarse levels do not match")
        self.coarse = coarse
        if (statistics is None) == (card.parameterization == "preconditioned"):
            raise ValueError(f"a {card.parameterization} model and these statistics do not match")
        for name, tensor in (statistics.tensors() if statistics else {}).items():
            self.register_buffer(name.replace(".", "_"), tensor, persistent=False)
        self._pixel_scale = (0.0, 1.0) if statistics is None else statistics.pixel_scale()
        self.register_buffer(
            "sigmas", torch.tensor(card.schedule.sigmas, dtype=torch.float64), False
        )
        self.sigmas: Tensor
        self.statistics_mean: Tensor
        self.statistics_variance: Tensor

    @property
    def statistics(self) -> Statistics | None:
        """Of a preconditioned model, where its weights lie."""
        if self.card.parameterization != "preconditioned":
            return None
        return Statistics(self.statistics_mean, self.statistics_variance)

    def forward(self, u: Tensor, level: int | Tensor) -> Tensor:
        """Mean of u_{k−1} given u_k.

        `u` (N, C, H, W) float32 in [0, 1] pixel units, unclipped; `level` k from 1 to K, an int or
        integers (N,). Returns (N, C, H, W) float32. Raises ValueError for states of another shape
        or type, and for levels outside of 1 … K.
        """
        levels = self.levels_of(u, level).expand(len(u))
        statistics = self.statistics
        if statistics is None:
            return u + self.network(u, levels)
        # One factor serves the whole batch when the level is the same for all.
        one = isinstance(level, int)
        return self._preconditioned(u, levels, levels[:1] if one else levels, statistics)

    def _preconditioned(
        self, u: Tensor, levels: Tensor, factor_levels: Tensor, statistics: Statistics
    ) -> Tensor:
        here = self.attenuation(factor_levels)
        gain, unknown = linear_estimate(statistics, here, self.card.training_noise_std)
        away = dct2(u) - here * statistics.mean
        estimate = statistics.mean + gain * away
        if self.coarse is None:
            answer = self._fine_answer(estimate, levels)
        else:
            total = (here**2 * statistics.variance + self.card.training_noise_std**2).sqrt()
            answer = self._answer(estimate, away / total, levels, factor_levels)
        return idct2(self.attenuation(factor_levels - 1) * (estimate + unknown.sqrt() * answer))

    def _fine_answer(self, estimate: Tensor, levels: Tensor) -> Tensor:
        """The cosines of the U-Net's r (N, C, H, W)."""
        mean, std = self._pixel_scale
        return dct2(self.network((idct2(estimate) - mean) / std, levels))

    def _coarse_answer(self, z: Tensor, levels: Tensor) -> Tensor:
        """Those of the other network's; in float32, as it is too small to be worth less."""
        assert self.coarse is not None
        side = self.coarse.config.side
        return restored(self.coarse(lowest(z, side), levels / self.card.levels), z, side)

    def _answer(self, estimate: Tensor, z: Tensor, levels: Tensor, factor_levels: Tensor) -> Tensor:
        """Each state's by the network of its level."""
        assert self.coarse is not None
        coarse = factor_levels >= self.coarse.config.lowest_level
        if bool(coarse.all()):
            return self._coarse_answer(z, levels)
        if not bool(coarse.any()):
            return self._fine_answer(estimate, levels)
        answer = torch.empty_like(z)
        answer[coarse] = self._coarse_answer(z[coarse], levels[coarse])
        answer[~coarse] = self._fine_answer(estimate[~coarse], levels[~coarse])
        return answer

    def attenuation(self, levels: Tensor) -> Tensor:
        """A_k (N, 1, H, W) float32 of levels (N,)."""
        size = self.card.image_size
        return attenuation(self.sigmas[levels], size, size).float()[:, None]


def linear_estimate(
    statistics: Statistics, here: Tensor, noise_std: float
) -> tuple[Tensor, Tensor]:
    """Gain G_k and unknown variance R_k (N, C, H, W) where A_k = `here` (N, 1, H, W)."""
    variance = statistics.variance
    total = here**2 * variance + noise_std**2
    return here * variance / total, variance * noise_std**2 / total


def require_device(device: str) -> None:
    """Raise ConfigError unless `device` is one, PlatformError unless torch can compute on it."""
    if not DEVICE.fullmatch(device):
        raise ConfigError(f"device {device}: there is auto, cpu, cuda and cuda:N")
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return
    if not torch.cuda.is_available():
        raise PlatformError(f"device {device}: torch finds no GPU here; use --device cpu")
    if index and int(index) >= torch.cuda.device_count():
        raise PlatformError(f"device {device}: there are only {torch.cuda.device_count()} GPUs")


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turn torch's ways to say that memory is full into a PlatformError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        full = memory_full(error)
        if full is None:
            raise
        raise PlatformError(
            f"{full} while {doing}; close other programs, or ask for fewer samples"
        ) from error
