"""The reverse processes of denoising diffusion: ancestral sampling (DDPM), and DDIM.

- DDPM (Ho et al. 2020, eq. 7): mean = (√ᾱ_{k−1} β_k x̂_0 + √(1 − β_k) (1 − ᾱ_{k−1}) x_k) /
  (1 − ᾱ_k); the variance is "fixed_small", (1 − ᾱ_{k−1}) / (1 − ᾱ_k) β_k, or "fixed_large", β_k.
- DDIM (Song et al. 2021, eq. 12 and 16), from level k to any lower level j:
  mean = √ᾱ_j x̂_0 + √(1 − ᾱ_j − σ²) ε with σ² = η² (1 − ᾱ_j) / (1 − ᾱ_k) (1 − ᾱ_k / ᾱ_j).

The model predicts ε, and x̂_0 = (x_k − √(1 − ᾱ_k) ε) / √ᾱ_k is clipped to [-1, 1] if the card sets
`clip_sample` (`ddpm.py`). Both follow the schedulers of diffusers step by step, with ᾱ in float64
instead of float32.

Two details of DDIM differ from diffusers. Its default (`timestep_spacing="leading"`) starts at a
timestep below the last one; this module always starts at level K, as with "trailing". If the number
of steps does not divide K, each step here ends at the level from which the next one starts; in
diffusers a step goes ⌊K / steps⌋ levels down, which may miss that level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from sitegen.generative.process.ddpm import DiffusionSchedule, diffusion_of
from sitegen.generative.process.dissipation import Denoiser
from sitegen.generative.process.noise import NoiseSource
from sitegen.generative.process.protocol import Draw, FromNoise, Moved, Step, add_noise, run

SMALLEST_VARIANCE = 1e-20


@dataclass(frozen=True)
class Diffusion(FromNoise):
    """Base class of DDPM and DDIM. `clip` defaults to the card's setting."""

    clip: bool | None = None

    @cached_property
    def schedule(self) -> DiffusionSchedule:
        """The noise of each level."""
        return DiffusionSchedule.of(self.card)

    def _predicted(self, x: Tensor, level: int, alpha_bar: float) -> tuple[Tensor, Tensor]:
        """x̂_0 and ε of a state at a level."""
        epsilon = self.model(x, level)
        image = (x - math.sqrt(1 - alpha_bar) * epsilon) / math.sqrt(alpha_bar)
        clip = diffusion_of(self.card).clip_sample if self.clip is None else self.clip
        return image.clamp(-1, 1) if clip else image, epsilon

    def corrupt(self, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return x_k of images x_0 (N, C, H, W) in [-1, 1]."""
        left = float(self.schedule.alphas_bar[level])
        return math.sqrt(left) * images + math.sqrt(1 - left) * draw(0).to(images)


@dataclass(frozen=True)
class Ancestral(Diffusion):
    """Ancestral sampling. `variance` is "fixed_small" or "fixed_large", by default the card's."""

    variance: str | None = None

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below, drawn from the posterior of DDPM."""
        left, here = (float(self.schedule.alphas_bar[each]) for each in (below, level))
        beta = 1 - here / left
        of_x = math.sqrt(1 - beta) * (1 - left) / (1 - here)
        of_image = math.sqrt(left) * beta / (1 - here)
        small = max((1 - left) / (1 - here) * beta, SMALLEST_VARIANCE)
        variance = self.variance or diffusion_of(self.card).variance
        std = math.sqrt(small if variance == "fixed_small" else beta) if below else 0.0
        image, _ = self._predicted(x, level, here)
        return add_noise(of_x * x + of_image * image, draw(0), std, lambda: image)


@dataclass(frozen=True)
class Implicit(Diffusion):
    """DDIM in `steps` steps; `eta` is 0 for the deterministic process, 1 for the noise of DDPM."""

    steps: int = 50
    eta: float = 0.0

    @property
    def random(self) -> bool:
        """Return whether noise is drawn."""
        return self.eta > 0

    @property
    def levels(self) -> Sequence[int]:
        """The levels of the states, from K to 0."""
        return ddim_levels(self.card.levels, self.steps)

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below, by DDIM."""
        left, here = (float(self.schedule.alphas_bar[each]) for each in (below, level))
        variance = (1 - left) / (1 - here) * (1 - here / left)
        of_image, of_noise = math.sqrt(left), math.sqrt(1 - left - self.eta**2 * variance)
        image, epsilon = self._predicted(x, level, here)
        mean = of_image * image + of_noise * epsilon
        if not self.random:
            return Moved(mean, mean, lambda: image)
        return add_noise(mean, draw(0), self.eta * math.sqrt(variance), lambda: image)


def ddpm_process(
    model: Denoiser,
    x_K: Tensor,
    noise: NoiseSource,
    *,
    variance: str | None = None,
    clip: bool | None = None,
) -> Iterator[Step]:
    """Run ancestral sampling from `x_K` (N, C, H, W) at level K; yield a step per visited level.

    The card selects the levels below K that are visited: all K of them by default. A step from k to
    j is that of a chain with β = 1 − ᾱ_k/ᾱ_j there (Nichol and Dhariwal 2021, section 4).

    `noise` is called as in `reverse_process`, for levels K … 1, and may also split states. It is
    not used at the last step, whose state is its mean. `variance` ("fixed_small" or "fixed_large")
    and `clip` default to the card's. Raises as `run` does, and ValueError for invalid words.
    """
    diffusion_of(model.card)
    if variance not in (None, "fixed_small", "fixed_large"):
        raise ValueError(f'variance "{variance}": must be "fixed_small" or "fixed_large"')
    return run(Ancestral(model, variance=variance, clip=clip), x_K, noise)


def ddim_process(
    model: Denoiser,
    x_K: Tensor,
    steps: int,
    *,
    eta: float = 0.0,
    noise: NoiseSource | None = None,
    clip: bool | None = None,
) -> Iterator[Step]:
    """Run DDIM from `x_K` (N, C, H, W) at level K in `steps` steps, 1 … K, and yield them.

    The levels are those of `ddim_levels`. `eta` is 0 for the deterministic process, 1 for one as
    random as DDPM; above 0, `noise` is called with the level that a step leaves. `clip` defaults to
    the card's. Raises as `ddpm_process` does.
    """
    diffusion_of(model.card)
    if not 0 <= eta <= 1 or (eta > 0 and noise is None):
        raise ValueError(f"eta {eta}: must be from 0 to 1, with noise where it is above 0")
    process = Implicit(model, steps=steps, eta=eta, clip=clip)
    process.levels  # noqa: B018 - raises ValueError for a number of steps that does not fit
    return run(process, x_K, noise)


def ddim_levels(levels: int, steps: int) -> tuple[int, ...]:
    """The `steps` + 1 levels of a DDIM: K, then evenly spaced and rounded, down to 0."""
    if not 1 <= steps <= levels:
        raise ValueError(f"{steps} steps: must be from 1 to the model's {levels} levels")
    return (*(round(levels - step * levels / steps) for step in range(steps)), 0)
