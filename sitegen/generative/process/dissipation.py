"""The reverse of heat dissipation (Rissanen et al. 2023).

The model gives the mean of u_{k−1}; δ is the noise. A model that predicts û_0 may jump, to the mean
A_j û_0 of u_j at any lower level j. Since û_0 is a mean, noise of δ alone loses the variation
around it. A δ above σ compensates for this: too little where levels are coarse or skipped, too much
where they are fine. If the variance V_k of u_0 given u_k was estimated from images, the noise of
each cosine has the variance δ² + A_j² V_k with δ = σ, which is the variance of u_j. This is the
optimal reverse variance of Bao et al. 2022 ("Analytic-DPM"), by frequency. For colour images it is
a covariance of the channels, because the unknown part of an image is mostly of one hue.

As published, the noises of u_k and u_j are independent. The same network serves any other joint law
with the same u_k, as in DDIM. If the noise is added along the way, the forward process is a Markov
chain (Hoogeboom and Salimans 2023, "Blurring Diffusion Models"). The difference of u_k from
A_k u_0 then remains, scaled by the factor ρ = A_k / A_j of each cosine. Then the mean is
A_j û_0 + ρ (u_k − A_k û_0) and the variance δ² (1 − ρ²) + (A_j − ρ A_k)² V_k. As levels get finer,
this tends to the exact reverse of the chain for any u_0: the Gaussian approximation behind V_k
counts less and less. u_0 has no noise, so ρ = 0 in the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.heat import attenuation, dct2, dissipate, idct2, retained
from sitegen.generative.process.noise import NoiseSource, straight
from sitegen.generative.process.protocol import Draw, GenerativeProcess, Moved, Step, add_noise, run


class Denoiser(Protocol):
    """A model as its process calls it: (u_k, level k) → the mean of u_{k−1}, or a DDPM's ε.

    If its card skips levels, it is called with the next visited level j as well, for the mean of
    u_j.
    """

    @property
    def card(self) -> ModelCard:
        """The card, with the levels and their noise."""

    def __call__(self, u: Tensor, level: int, below: int | None = None, /) -> Tensor:
        """(N, C, H, W) float32 → (N, C, H, W) float32."""


@dataclass(frozen=True)
class HeatDissipation(GenerativeProcess):
    """The reverse of heat dissipation.

    noise_std: δ, the card's if not given
    begin: the level of the initial states, one of those that are visited; K if not given
    """

    noise_std: float | None = None
    begin: int | None = None

    advice: ClassVar[str] = (
        "check that the card fits the weights, that they are of a trained model, and that "
        "sampling_noise_std is not too large"
    )

    @property
    def levels(self) -> Sequence[int]:
        """The levels that the card visits, from the first to 0."""
        levels = self.card.visited_levels
        if self.begin is not None and self.begin not in levels:
            raise ValueError(f"begins at level {self.begin}, which is not visited")
        return levels[0 if self.begin is None else levels.index(self.begin) :]

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below, a little less dissipated."""
        model, card = self.model, self.card
        delta = card.sampling_noise_std if self.noise_std is None else self.noise_std
        known = hasattr(model, "noise_std")
        std = model.noise_std(level, below, delta) if known else delta
        mean = (_kept_mean if card.keeps_noise else _mean)(model, level, below, x)
        return add_noise(mean, draw(0), std, self._final(level, x))

    def _final(self, level: int, u: Tensor) -> Callable[[], Tensor] | None:
        """û_0, where the model predicts it."""
        if self.card.parameterization != "preconditioned" and level > 1:
            return None
        return partial(torch.no_grad()(_mean), self.model, level, 0, u)

    def between(self, first: Tensor, last: Tensor, points: int) -> Tensor:
        """Return states at equal distances on the straight line; means of images are images."""
        return straight(first, last, points)

    def corrupt(self, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return u_k of images u_0 (N, C, H, W): blurred by the σ_B of the level, with noise."""
        blurred = dissipate(images, self.card.schedule[level])
        return blurred + self.card.training_noise_std * draw(0).to(blurred)

    def with_noise_std(self, noise_std: float | None) -> HeatDissipation:
        """Return the process with another δ."""
        return replace(self, noise_std=noise_std)


def reverse_process(
    model: Denoiser,
    u_K: Tensor,
    noise: NoiseSource,
    sampling_noise_std: float | None = None,
    *,
    begin: int | None = None,
) -> Iterator[Step]:
    """Run the reverse process from `u_K` (N, C, H, W) at level K; yield a step per visited level.

    The card selects the levels below K that are visited, all K of them by default; the last is 0.
    With `begin`, one of the visited levels, the given states are of that level instead.

    `noise(level)` is called for the levels that steps leave, as `run` documents.
    `sampling_noise_std` is δ and defaults to the card's; a model with an estimated variance adds
    it. Raises as `run` does.
    """
    process = HeatDissipation(model, noise_std=sampling_noise_std, begin=begin)
    return run(process, u_K, noise)


def _mean(model: Denoiser, level: int, below: int, u: Tensor) -> Tensor:
    if below == level - 1:
        return model(u, level)
    return model(u, level, below)


def _kept_mean(model: Denoiser, level: int, below: int, u: Tensor) -> Tensor:
    """The mean of u_j where the noise of u_k stays: A_j û_0 + ρ (u_k − A_k û_0)."""
    sharp = _mean(model, level, 0, u)
    if below == 0:
        return sharp
    size, sigmas = model.card.image_size, model.card.schedule
    here, left = attenuation(torch.tensor([sigmas[level], sigmas[below]]), size, size)
    stays = retained(sigmas[level], sigmas[below], size)
    of_sharp, of_state = (each.to(u) for each in (left - stays * here, stays))
    return idct2(of_sharp * dct2(sharp) + of_state * dct2(u))
