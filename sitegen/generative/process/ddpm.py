"""Denoising diffusion (DDPM), the baseline: its noise, its network, DDPM's sampler and DDIM.

Images are in [-1, 1] here, not in [0, 1] as where heat dissipates.
Level k = 1 … K is timestep t = k − 1 of Ho et al. 2020, with β_k, ᾱ_k = Π_{i ≤ k} (1 − β_i) and
x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε. The network predicts ε, x_0, or v = √ᾱ_k ε − √(1 − ᾱ_k) x_0
(Salimans and Ho 2022, appendix D). Where little of the image is left, an error of ε is an error of
x_0 that is √((1 − ᾱ_k) / ᾱ_k) times as large, and one of v is not. x̂_0 is clipped to [-1, 1] if the
card sets `clip_sample`. From level k to any lower level j:

- "ddpm" (Ho et al. 2020, eq. 7) is the step of a chain with β = 1 − ᾱ_k/ᾱ_j (Nichol and Dhariwal
  2021, section 4): mean = (√ᾱ_j β x̂_0 + √(1 − β) (1 − ᾱ_j) x_k) / (1 − ᾱ_k); the variance is
  "fixed_small", (1 − ᾱ_j) / (1 − ᾱ_k) β, "fixed_large", β, or "learned", small^(1 − w) large^w with
  w from a second output of the network for each channel (eq. 15 there).
- "ddim" (Song et al. 2021, eq. 12 and 16): mean = √ᾱ_j x̂_0 + √(1 − ᾱ_j − σ²) ε with
  σ² = η² (1 − ᾱ_j) / (1 − ᾱ_k) (1 − ᾱ_k / ᾱ_j). With `rederive_noise`, ε is that of the clipped
  x̂_0, as in guided-diffusion and denoising-diffusion-pytorch.

Both follow the schedulers of diffusers step by step, with ᾱ in float64 unless the card sets
`single_precision`: DDIM of a poor network moved by 8e-4. The levels of a card may begin below K, as
theirs do (`timestep_spacing="leading"`). If the number of
steps does not divide K, each step here ends at the level from which the next one starts; in
diffusers a step of DDIM goes ⌊K / steps⌋ levels down, which may miss that level.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sitegen.generative.card.abilities import DETERMINISTIC, RANDOM, Abilities
from sitegen.generative.card.parts import card_kind, per_level
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.process.base import Draw, Guided, Moved, add_noise, split

if TYPE_CHECKING:
    from torch import Tensor

    from sitegen.generative.process.model import CardModel

# As in the scheduler of diffusers.
SMALLEST_VARIANCE = 1e-20
PREDICTS = {
    "epsilon": "noise, as in a DDPM",
    "v_prediction": "v, of noise and image, as in a DDPM",
    "sample": "images, as in a DDPM",
}
"""Output of a network by its `prediction_type`, in words."""


@card_kind
class Ddpm(Guided):
    """Denoising diffusion."""

    begins_below = True

    kind: Literal["ddpm"] = "ddpm"
    diffusion: Annotated[DiffusionConfig, per_level("alphas_cumprod")] = Field(
        description="how noise was added"
    )

    @property
    def label(self) -> str:
        return self.diffusion.sampler.upper()

    @property
    def abilities(self) -> Abilities:
        """Abilities of the sampler."""
        noisy = self.diffusion.sampler == "ddpm" or self.diffusion.eta > 0
        return (RANDOM if noisy else DETERMINISTIC) | {"ddim", "browser"}

    @property
    def predicts(self) -> str:
        return PREDICTS[self.diffusion.predicts]

    @cached_property
    def alphas_bar(self) -> list[float]:
        """ᾱ of the levels 0 … K."""
        return self.diffusion.alphas_bar(self.levels)

    def shares(self, levels: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return √ᾱ_k and √(1 − ᾱ_k) (N, 1, 1, 1) of levels (N,), as `like` is."""
        roots = like.new_tensor([[a**0.5, (1 - a) ** 0.5] for a in self.alphas_bar])[levels]
        return roots[:, 0].view(-1, 1, 1, 1), roots[:, 1].view(-1, 1, 1, 1)

    def answer(self, model: CardModel, x: Tensor, level: int | Tensor) -> Tensor:
        """Return the network's output for x_k, ε, v or x_0, without guidance.

        A network with a learned variance has twice the channels. It gets the timestep k − 1, in
        units of K / 1000 levels if the card sets `rescale_timesteps`.
        """
        timesteps = model.levels_of(x, level) - 1
        if self.diffusion.rescale_timesteps:
            timesteps = timesteps * (1000 / self.levels)
        return model.network(x, timesteps.expand(len(x)))

    def predict(self, model: CardModel, x: Tensor, level: Any, *_: Any) -> Tensor:
        """Return `answer`, with the card's guidance unless the model is in training.

        `level` is k from 1 to K, an int or integers (N,).
        """
        image, noise = self.shares(model.levels_of(x, level), x)
        parts = {"v_prediction": (-noise, image), "sample": (1.0, 0.0)}
        estimated = parts.get(self.diffusion.predicts, (0.0, 1.0))
        return model.guided(self.answer(model, x, level), x, (image, noise), estimated)

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        import torch

        config = self.diffusion
        number: Any = torch.tensor if config.single_precision else float
        alpha_bar, alpha_bar_below = (number(self.alphas_bar[at]) for at in (level, below))
        ratio = alpha_bar / alpha_bar_below
        beta, image_share, noise_share = 1 - ratio, alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        epsilon, *shares = model(x, level).split(self.channels, 1)
        if config.prediction_type == "v_prediction":
            image, epsilon = (
                image_share * x - noise_share * epsilon,
                image_share * epsilon + noise_share * x,
            )
        elif config.prediction_type == "sample":
            image, epsilon = epsilon, (x - image_share * epsilon) / noise_share
        else:
            image = (x - noise_share * epsilon) / image_share
        image = image.clamp(-1, 1) if config.clip_sample else image
        if config.sampler == "ddim":
            if config.rederive_noise:
                epsilon = (x - image_share * image) / noise_share
                # Those programs take 1 − ᾱ in float32, which moves ε's share by 3e-6 in a step.
                alpha_bar_below = x.new_tensor(alpha_bar_below, device="cpu").item()
            variance = config.eta**2 * (1 - alpha_bar_below) / (1 - alpha_bar) * beta
            fresh_share = (1 - alpha_bar_below - variance) ** 0.5
            mean = alpha_bar_below**0.5 * image + fresh_share * epsilon
            if config.eta == 0:
                return Moved(mean, mean, lambda: image)
        else:
            of_x = ratio**0.5 * (1 - alpha_bar_below) / (1 - alpha_bar)
            mean = of_x * x + alpha_bar_below**0.5 * beta / (1 - alpha_bar) * image
            small = max((1 - alpha_bar_below) / (1 - alpha_bar) * beta, SMALLEST_VARIANCE)
            if shares and below:
                log_variance = math.log(small) + (shares[0] + 1) / 2 * math.log(beta / small)
                fresh = draw(0).to(x)
                noise = split((log_variance / 2).exp(), fresh) * fresh
                return add_noise(mean, noise, 1.0, lambda: image)
            variance = beta if config.variance == "fixed_large" else small
        return add_noise(mean, draw(0), math.sqrt(variance) if below else 0.0, lambda: image)

    def corrupt(self, model: Any, images: Tensor, level: int, draw: Draw) -> Tensor:
        alpha_bar = self.alphas_bar[level]
        return math.sqrt(alpha_bar) * images + math.sqrt(1 - alpha_bar) * draw(0).to(images)
