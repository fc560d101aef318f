"""Denoising diffusion as the baseline: DDPM and DDIM over the same U-Net, in the same steps.

Images are in [-1, 1] here, not in [0, 1] as where heat dissipates; `to_pixels` takes them over.
Level k = 1 … K is timestep t = k − 1 of Ho et al. 2020, with β_k, ᾱ_k = Π_{i ≤ k} (1 − β_i) and
x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε. The network predicts ε, and x̂_0 = (x_k − √(1 − ᾱ_k) ε) / √ᾱ_k is
clipped to [-1, 1] where the card says `clip_sample`.

- DDPM (Ho et al. 2020, eq. 7): mean = (√ᾱ_{k−1} β_k x̂_0 + √(1 − β_k) (1 − ᾱ_{k−1}) x_k) /
  (1 − ᾱ_k); the variance is "fixed_small", (1 − ᾱ_{k−1}) / (1 − ᾱ_k) β_k, or "fixed_large", β_k.
- DDIM (Song et al. 2021, eq. 12 and 16), from level k to any lower level j:
  mean = √ᾱ_j x̂_0 + √(1 − ᾱ_j − σ²) ε with σ² = η² (1 − ᾱ_j) / (1 − ᾱ_k) (1 − ᾱ_k / ᾱ_j).

Both are diffusers' schedulers step by step, with ᾱ in float64 where those have float32. Their
DDIM starts at a timestep below the last one unless told (`timestep_spacing="leading"`); ours
always starts at level K, as with "trailing". Where the number of steps does not divide K, each of
ours goes to the level that the next one starts from; theirs go ⌊K / steps⌋ down, which may miss it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from sitegen.core.errors import ConfigError
from sitegen.ihdm.card.card import DiffusionConfig, ModelCard
from sitegen.ihdm.process.model import CardModel, Precision
from sitegen.ihdm.process.noise import NoiseSource, Purpose, Shape, normal
from sitegen.ihdm.process.reverse import Step, add_noise, check_finite

LARGEST_BETA = 0.999
"""Where the cosine schedule stops, so that its last step is not a division by 0."""
SMALLEST_VARIANCE = 1e-20
_SANE = "[-1, 1]. Check that the card fits the weights"


@dataclass(frozen=True, eq=False)
class DiffusionSchedule:
    """How much noise each level has; `betas` (K,) float64 are β of the levels 1 … K."""

    betas: Tensor

    @classmethod
    def linear(cls, levels: int, beta_start: float, beta_end: float) -> DiffusionSchedule:
        """β in equal steps from `beta_start` to `beta_end` (Ho et al. 2020)."""
        return cls(torch.linspace(beta_start, beta_end, levels, dtype=torch.float64))

    @classmethod
    def cosine(cls, levels: int) -> DiffusionSchedule:
        """ᾱ_k = f(k/K) / f(0), f(t) = cos²(π/2 (t + 0.008) / 1.008); β at most 0.999.

        Nichol and Dhariwal 2021, eq. 17; "squaredcos_cap_v2" of diffusers.
        """
        place = torch.arange(levels + 1, dtype=torch.float64) / levels
        left = torch.cos((place + 0.008) / 1.008 * (math.pi / 2)).square()
        return cls((1 - left[1:] / left[:-1]).clamp_max(LARGEST_BETA))

    @classmethod
    def of(cls, card: ModelCard) -> DiffusionSchedule:
        """The schedule of a card. Raises ConfigError for a model that is no DDPM."""
        config = diffusion_of(card)
        if config.beta_schedule == "cosine":
            return cls.cosine(card.levels)
        assert config.beta_start is not None
        assert config.beta_end is not None
        return cls.linear(card.levels, config.beta_start, config.beta_end)

    @cached_property
    def alphas_bar(self) -> Tensor:
        """ᾱ of the levels 0 … K, (K + 1,) float64: 1 at level 0, near 0 at level K."""
        products = torch.cumprod(1 - self.betas, 0)
        return torch.cat([products.new_ones(1), products])

    def diffuse(self, images: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
        """x_k of `images` (N, C, H, W) in [-1, 1], for `levels` k (N,) from 0 to K."""
        left = self.alphas_bar.to(images.device)[levels].view(-1, 1, 1, 1)
        kept, added = left.sqrt().to(images.dtype), (1 - left).sqrt().to(images.dtype)
        return kept * images + added * noise


def diffusion_of(card: ModelCard) -> DiffusionConfig:
    """The `[diffusion]` of a card. Raises ConfigError for a model that is no DDPM."""
    if card.diffusion is None:
        raise ConfigError(f'a card of kind "{card.kind}" has no [diffusion]; a DDPM is needed')
    return card.diffusion


class DiffusionModel(CardModel):
    """A network that predicts the noise in a state. Raises ConfigError for a card of no DDPM."""

    def __init__(self, card: ModelCard, unet: nn.Module, precision: Precision = "float32") -> None:
        super().__init__(card, unet, precision)
        self.schedule = DiffusionSchedule.of(card)

    def forward(self, x: Tensor, level: int | Tensor) -> Tensor:
        """ε in x_k.

        `x` (N, C, H, W) float32, images in [-1, 1] with their noise; `level` k from 1 to K, an int
        or integers (N,); the network is given the timestep k − 1, in units of K / 1000 levels where
        the card says `rescale_timesteps`. Returns (N, C, H, W) float32.
        Raises ValueError for states of another shape or type, and for levels outside of 1 … K.
        """
        levels = self.levels_of(x, level).expand(len(x))
        if diffusion_of(self.card).rescale_timesteps:
            return self.network(x, (levels - 1) * (1000 / self.card.levels))
        return self.network(x, levels - 1)


class NoisePredictor(Protocol):
    """What a process needs of a model: (x_k, level k) → ε."""

    @property
    def card(self) -> ModelCard:
        """Says how many levels there are, and their noise."""
        ...

    def __call__(self, x: Tensor, level: int) -> Tensor:
        """(N, C, H, W) float32 → (N, C, H, W) float32."""
        ...


def to_pixels(x: Tensor) -> Tensor:
    """From [-1, 1] to [0, 1]; nothing is clipped."""
    return (x + 1) / 2


def initial_noise(seed: int, samples: Sequence[int], shape: Shape) -> Tensor:
    """x_K (N, *shape) float32 of N `samples` of a seed: standard normal, on the CPU."""
    return normal(seed, Purpose.INITIAL_NOISE, samples, 0, shape)


def ddpm_process(
    model: NoisePredictor,
    x_K: Tensor,
    noise: NoiseSource,
    *,
    variance: str | None = None,
    clip: bool | None = None,
) -> Iterator[Step]:
    """Go down from `x_K` (N, C, H, W) at level K by ancestral sampling; yield K steps.

    `noise` is called as in `reverse_process`, for levels K … 1, and may split states as there; it
    is not used at the last step, whose state is its mean. `variance` ("fixed_small" or
    "fixed_large") and `clip` are the card's unless given. Raises TargetError when a state is not
    finite or far from any image, ValueError for shapes and words that do not fit.
    """
    config = diffusion_of(model.card)
    variance = config.variance if variance is None else variance
    if variance not in ("fixed_small", "fixed_large"):
        raise ValueError(f'variance "{variance}": must be "fixed_small" or "fixed_large"')
    schedule = DiffusionSchedule.of(model.card)
    jumps = [_ancestral(schedule, level, variance) for level in range(model.card.levels, 0, -1)]
    return _descend(model, x_K, jumps, noise, config.clip_sample if clip is None else clip)


def ddim_process(
    model: NoisePredictor,
    x_K: Tensor,
    steps: int,
    *,
    eta: float = 0.0,
    noise: NoiseSource | None = None,
    clip: bool | None = None,
) -> Iterator[Step]:
    """Go down from `x_K` (N, C, H, W) at level K in `steps` steps, 1 … K, and yield them.

    The levels are those of `ddim_levels`. `eta` is 0 for the deterministic process, 1 for one as
    random as DDPM; above 0, `noise` is called with the level that a step leaves. `clip` is the
    card's unless given. Raises as `ddpm_process` does.
    """
    if not 0 <= eta <= 1 or (eta > 0 and noise is None):
        raise ValueError(f"eta {eta}: must be from 0 to 1, with noise where it is above 0")
    schedule = DiffusionSchedule.of(model.card)
    way = pairwise(ddim_levels(model.card.levels, steps))
    jumps = [_implicit(schedule, level, below, eta) for level, below in way]
    clip = diffusion_of(model.card).clip_sample if clip is None else clip
    return _descend(model, x_K, jumps, noise if eta > 0 else None, clip)


def ddim_levels(levels: int, steps: int) -> tuple[int, ...]:
    """The `steps` + 1 levels of a DDIM: K, then evenly spaced and rounded, down to 0."""
    if not 1 <= steps <= levels:
        raise ValueError(f"{steps} steps: must be from 1 to the model's {levels} levels")
    return (*(round(levels - step * levels / steps) for step in range(steps)), 0)


@dataclass(frozen=True)
class _Jump:
    """One step, from `level` to `below`: mean = of_x · x + of_image · x̂_0 + of_noise · ε."""

    level: int
    below: int
    alpha_bar: float
    of_x: float
    of_image: float
    of_noise: float
    std: float


def _ancestral(schedule: DiffusionSchedule, level: int, variance: str) -> _Jump:
    beta = float(schedule.betas[level - 1])
    below, here = schedule.alphas_bar[level - 1 : level + 1].tolist()
    small = max((1 - below) / (1 - here) * beta, SMALLEST_VARIANCE)
    return _Jump(
        level=level,
        below=level - 1,
        alpha_bar=here,
        of_x=math.sqrt(1 - beta) * (1 - below) / (1 - here),
        of_image=math.sqrt(below) * beta / (1 - here),
        of_noise=0.0,
        std=math.sqrt(small if variance == "fixed_small" else beta) if level > 1 else 0.0,
    )


def _implicit(schedule: DiffusionSchedule, level: int, below: int, eta: float) -> _Jump:
    left, here = (float(schedule.alphas_bar[each]) for each in (below, level))
    variance = (1 - left) / (1 - here) * (1 - here / left)
    return _Jump(
        level=level,
        below=below,
        alpha_bar=here,
        of_x=0.0,
        of_image=math.sqrt(left),
        of_noise=math.sqrt(1 - left - eta**2 * variance),
        std=eta * math.sqrt(variance),
    )


def _descend(
    model: NoisePredictor,
    x_K: Tensor,
    jumps: Sequence[_Jump],
    noise: NoiseSource | None,
    clip: bool,
) -> Iterator[Step]:
    shape = model.card.shape
    if x_K.dim() != 4 or tuple(x_K.shape[1:]) != shape:
        raise ValueError(f"x_K is {tuple(x_K.shape)}; must be (N, C, H, W) = (N, {shape})")
    state = x_K.to(getattr(model, "device", x_K.device), torch.float32)
    for jump in jumps:
        mean, state = _step(model, state, jump, noise, clip)
        check_finite(state, jump.below, pixels=_SANE)
        yield Step(jump.below, state, mean)


@torch.no_grad()
def _step(
    model: NoisePredictor, x: Tensor, jump: _Jump, noise: NoiseSource | None, clip: bool
) -> tuple[Tensor, Tensor]:
    """The mean and the state that a jump reaches."""
    predicted = model(x, jump.level)
    image = (x - math.sqrt(1 - jump.alpha_bar) * predicted) / math.sqrt(jump.alpha_bar)
    if clip:
        image = image.clamp(-1, 1)
    mean = jump.of_x * x + jump.of_image * image + jump.of_noise * predicted
    return (mean, mean) if noise is None else add_noise(mean, noise, jump.level, jump.std)
