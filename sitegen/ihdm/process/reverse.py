"""The reverse process: from a flat state u_K, level by level, to an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sitegen.core.errors import TargetError
from sitegen.ihdm.card.card import ModelCard
from sitegen.ihdm.process.noise import NoiseSource

DIVERGED = 1000.0
"""States beyond this have nothing to do with images, whose pixels are in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Step:
    """What one step has reached: `mean` is the prediction, `state` = mean + δ · noise.

    Both are (N, C, H, W) float32, unclipped; `level` goes from K-1 to 0.
    """

    level: int
    state: Tensor
    mean: Tensor


class Denoiser(Protocol):
    """What a reverse process needs of a model: (u_k, level k) → the mean of u_{k−1}."""

    @property
    def card(self) -> ModelCard:
        """Says how many levels there are, and δ."""
        ...

    def __call__(self, u: Tensor, level: int) -> Tensor:
        """(N, C, H, W) float32 → (N, C, H, W) float32."""
        ...


def reverse_process(
    model: Denoiser,
    u_K: Tensor,
    noise: NoiseSource,
    sampling_noise_std: float | None = None,
    *,
    limit: float = DIVERGED,
) -> Iterator[Step]:
    """Go down from `u_K` (N, C, H, W) at level K, and yield the K steps, the last at level 0.

    `noise(level)` is called for level = K … 1, the level that a step leaves, and gives standard
    normal numbers (N, C, H, W), or m·N of them: then each state splits into m that lie together
    (a tree). `sampling_noise_std` is δ, the card's if not given. No gradients are kept.

    Raises TargetError, naming level, sample and range, when a state is not finite or beyond
    ±`limit`; ValueError for shapes that do not fit.
    """
    card = model.card
    if u_K.dim() != 4 or tuple(u_K.shape[1:]) != card.shape:
        raise ValueError(f"u_K is {tuple(u_K.shape)}; must be (N, C, H, W) = (N, {card.shape})")
    delta = card.sampling_noise_std if sampling_noise_std is None else sampling_noise_std
    state = u_K.to(getattr(model, "device", u_K.device), torch.float32)
    for level in range(card.levels, 0, -1):
        mean, state = _step(model, state, level, noise, delta)
        check_finite(state, level - 1, limit)
        yield Step(level - 1, state, mean)


@torch.no_grad()
def _step(
    model: Denoiser, state: Tensor, level: int, noise: NoiseSource, delta: float
) -> tuple[Tensor, Tensor]:
    """The mean and the state one level below."""
    return add_noise(model(state, level), noise, level, delta)


def add_noise(mean: Tensor, noise: NoiseSource, level: int, std: float) -> tuple[Tensor, Tensor]:
    """A mean and the state `std` · noise(level) away from it; both for each branch of a tree.

    Raises ValueError when the noise is for another number of samples.
    """
    fresh = noise(level).to(mean.device, mean.dtype)
    if len(fresh) != len(mean):
        splits, rest = divmod(len(fresh), len(mean))
        if rest or not splits:
            raise ValueError(f"noise for {len(fresh)} samples at level {level}, not {len(mean)}")
        mean = mean.repeat_interleave(splits, dim=0)
    return mean, mean + std * fresh


_HEAT = "[0, 1]. Check that the card fits the weights, and that sampling_noise_std is not too large"


def check_finite(state: Tensor, level: int, limit: float = DIVERGED, pixels: str = _HEAT) -> None:
    """Stop before nonsense is shown: TargetError for values beyond ±`limit`.

    `pixels` is the end of the message: where pixels belong, and what to check.
    """
    low, high = state.flatten(1).aminmax(dim=1)
    bad = ~((low >= -limit) & (high <= limit))  # true for NaN, too
    if bool(bad.any()):
        sample = int(bad.nonzero()[0])
        numbers = state[sample][state[sample].isfinite()]
        span = (
            f"{float(numbers.min()):.3g} to {float(numbers.max()):.3g}" if len(numbers) else "none"
        )
        broken = state[sample].numel() - numbers.numel()
        raise TargetError(
            f"sampling broke down on the way to level {level}: sample {sample} of the batch has "
            f"{broken} values that are not finite, and the others are {span}; pixels belong in "
            f"{pixels}"
        )
