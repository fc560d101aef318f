"""The reverse processes: from an initial state, level by level, to an image.

A reverse process is a function of an initial state and a source of noise that yields `Step`s. It
is made of transitions, each from a level to a lower one, and `descend` goes down them: whoever
adds another process writes its transitions.

- Heat dissipation (Rissanen et al. 2023): the model gives the mean of u_{k−1}; δ is the noise.
  One that predicts û_0 may jump, to the mean A_j û_0 of u_j at any lower level j. Noise of δ alone
  loses what û_0, a mean, does not vary by; a δ above σ makes up for it, too little where levels
  are coarse or left out, too much where they are fine. Where the variance V_k of u_0 given u_k was
  estimated from images, the noise of each cosine has the variance δ² + A_j² V_k with δ = σ, as u_j
  has: the optimal reverse variance of Bao et al. 2022 ("Analytic-DPM"), by frequency. In colour it
  is a covariance of the channels: what is not known of an image is mostly known to be of one hue.
  As published the noises of u_k and u_j are independent. The same network serves any other joint
  law with the same u_k, as that of a DDIM does: where the noise is added on the way, the forward
  process is a Markov chain (Hoogeboom and Salimans 2023, "Blurring Diffusion Models"), and what
  u_k is away from A_k u_0 stays, by the factor ρ = A_k / A_j of each cosine. Then the mean is
  A_j û_0 + ρ (u_k − A_k û_0) and the variance δ² (1 − ρ²) + (A_j − ρ A_k)² V_k. As levels get finer
  that tends to the exact reverse of the chain, whatever u_0 may be, since V_k, for which it is
  taken as Gaussian, counts less and less. u_0 is without noise, so ρ = 0 in the last step.
- DDPM (Ho et al. 2020, eq. 7): mean = (√ᾱ_{k−1} β_k x̂_0 + √(1 − β_k) (1 − ᾱ_{k−1}) x_k) /
  (1 − ᾱ_k); the variance is "fixed_small", (1 − ᾱ_{k−1}) / (1 − ᾱ_k) β_k, or "fixed_large", β_k.
- DDIM (Song et al. 2021, eq. 12 and 16), from level k to any lower level j:
  mean = √ᾱ_j x̂_0 + √(1 − ᾱ_j − σ²) ε with σ² = η² (1 − ᾱ_j) / (1 − ᾱ_k) (1 − ᾱ_k / ᾱ_j).

The model of the last two predicts ε, and x̂_0 = (x_k − √(1 − ᾱ_k) ε) / √ᾱ_k is clipped to [-1, 1]
where the card says `clip_sample` (`ddpm.py`). Both are diffusers' schedulers step by step, with ᾱ
in float64 where those have float32. Their DDIM starts at a timestep below the last one unless told
(`timestep_spacing="leading"`); ours always starts at level K, as with "trailing". Where the number
of steps does not divide K, each of ours goes to the level that the next one starts from; theirs go
⌊K / steps⌋ down, which may miss it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from sitegen.core.errors import TargetError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.ddpm import DiffusionSchedule, diffusion_of
from sitegen.generative.process.heat import attenuation, dct2, idct2, retained
from sitegen.generative.process.noise import NoiseSource, sample_at

DIVERGED = 1000.0
"""States beyond this have nothing to do with images, whose pixels are in [0, 1]."""
SMALLEST_VARIANCE = 1e-20
_HEAT = "[0, 1]. Check that the card fits the weights, and that sampling_noise_std is not too large"
_NOISE = "[-1, 1]. Check that the card fits the weights"


@dataclass(frozen=True, eq=False)
class Step:
    """What one step has reached: `mean` is the prediction, `state` = mean + std · noise.

    Both are (N, C, H, W) float32, unclipped; `level` falls from below K to 0.
    """

    level: int
    state: Tensor
    mean: Tensor


class Denoiser(Protocol):
    """What a process needs of a model: (u_k, level k) → the mean of u_{k−1}, or a DDPM's ε.

    Where its card visits fewer levels, it is called with the level j that follows, for its mean.
    """

    @property
    def card(self) -> ModelCard:
        """Says how many levels there are, and their noise."""

    def __call__(self, u: Tensor, level: int, below: int | None = None, /) -> Tensor:
        """(N, C, H, W) float32 → (N, C, H, W) float32."""


@runtime_checkable
class KnowsVariance(Protocol):
    """A model that says how noisy the next state is."""

    def noise_std(self, level: int, below: int, delta: float, /) -> float | Tensor:
        """A number, or one for each cosine (C, H, W), or a matrix for each (C, C, H, W)."""


@dataclass(frozen=True)
class Part:
    """Which part of a process: its steps from `first` on and before `last`, counted from 0.

    The initial state is then the one that the first of these steps leaves. `sample` is the place of
    the first sample among all.
    """

    first: int = 0
    last: int | None = None
    sample: int = 0

    @property
    def steps(self) -> slice:
        """As what chooses them from a list of all."""
        return slice(self.first, self.last)


WHOLE = Part()


@dataclass(frozen=True)
class Transition:
    """One step, from `level` to `below`: `mean` of the state there, and noise of `std`.

    That is a number, or one for each cosine (C, H, W), or what makes the channels of each cosine of
    independent ones (C, C, H, W).
    """

    level: int
    below: int
    mean: Callable[[Tensor], Tensor]
    std: float | Tensor


def descend(
    model: Denoiser,
    initial_state: Tensor,
    transitions: Iterable[Transition],
    noise: NoiseSource | None,
    *,
    pixels: str = _HEAT,
    sample: int = 0,
) -> Iterator[Step]:
    """Go down from `initial_state` (N, C, H, W) by `transitions`, and yield their steps.

    `noise(level)` gives standard normal numbers (N, C, H, W) for the level that a step leaves, or
    m·N of them: then each state splits into m that lie together (a tree). No gradients are kept.
    `pixels` ends a message: where pixels belong, and what to check; `sample` is the place that it
    tells of the first state.

    Raises TargetError, naming level, sample and range, when a state is not finite or beyond
    ±`DIVERGED`; ValueError for shapes that do not fit.
    """
    shape = model.card.shape
    if initial_state.dim() != 4 or tuple(initial_state.shape[1:]) != shape:
        found = tuple(initial_state.shape)
        raise ValueError(f"the initial state is {found}; must be (N, C, H, W) = (N, {shape})")
    state = initial_state.to(getattr(model, "device", initial_state.device), torch.float32)
    for each in transitions:
        with torch.no_grad():
            mean = state = each.mean(state)
            if noise is not None:
                mean, state = add_noise(mean, noise, each.level, each.std)
        check_finite(state, each.below, pixels, noise, sample)
        yield Step(each.below, state, mean)


def add_noise(
    mean: Tensor, noise: NoiseSource, level: int, std: float | Tensor
) -> tuple[Tensor, Tensor]:
    """A mean and the state `std` · noise(level) away from it; both for each branch of a tree.

    A tensor `std` (C, H, W) scales the noise's cosines, one of (C, C, H, W) mixes the channels of
    each. Raises ValueError when the noise is for
    another number of samples.
    """
    fresh = noise(level).to(mean.device, mean.dtype)
    if len(fresh) != len(mean):
        splits, rest = divmod(len(fresh), len(mean))
        if rest or not splits:
            raise ValueError(f"noise for {len(fresh)} samples at level {level}, not {len(mean)}")
        mean = mean.repeat_interleave(splits, dim=0)
    return mean, mean + _scaled(fresh, std)


def _scaled(noise: Tensor, std: float | Tensor) -> Tensor:
    if not isinstance(std, Tensor):
        return std * noise
    if std.dim() == 3:
        return idct2(std * dct2(noise))
    mixed = std * dct2(noise)[:, None]  # an einsum would lay it out so that all else is slow
    return idct2(mixed.sum(2))


def check_finite(
    state: Tensor, level: int, pixels: str, noise: NoiseSource | None, first: int
) -> None:
    """Stop before nonsense is shown: TargetError for values beyond ±`DIVERGED`.

    `noise` tells which samples these are, and `first` is the place of the first among all.
    """
    low, high = state.flatten(1).aminmax(dim=1)
    bad = ~((low >= -DIVERGED) & (high <= DIVERGED))  # true for NaN, too
    if bool(bad.any()):
        sample = int(bad.nonzero()[0])
        numbers = state[sample][state[sample].isfinite()]
        span = (
            f"{float(numbers.min()):.3g} to {float(numbers.max()):.3g}" if len(numbers) else "none"
        )
        broken = state[sample].numel() - numbers.numel()
        raise TargetError(
            f"sampling broke down on the way to level {level}: {sample_at(noise, sample, first)} "
            f"has {broken} values that are not finite, and the others are {span}; pixels belong "
            f"in {pixels}"
        )


def reverse_process(
    model: Denoiser,
    u_K: Tensor,
    noise: NoiseSource,
    sampling_noise_std: float | None = None,
    *,
    begin: int | None = None,
    part: Part = WHOLE,
) -> Iterator[Step]:
    """Go down from `u_K` (N, C, H, W) at level K, and yield a step for each level that the card
    visits below it, the last at level 0: K of them unless it says otherwise. With `begin`, one of
    the levels that are visited, the states are of that level instead.

    `noise(level)` is called for the levels that are left as `descend` says. `sampling_noise_std`
    is δ, the card's if not given; a model that knows more noise than that adds it. `part` has some
    of the steps done alone. Raises as `descend` does.
    """
    card = model.card
    delta = card.sampling_noise_std if sampling_noise_std is None else sampling_noise_std
    std = model.noise_std if isinstance(model, KnowsVariance) else lambda *_: delta
    levels = card.visited_levels
    if begin is not None and begin not in levels:
        raise ValueError(f"begins at level {begin}, which is not visited")
    levels = levels[0 if begin is None else levels.index(begin) :]
    mean = _kept_mean if card.keeps_noise else _mean
    transitions = (
        Transition(level, below, partial(mean, model, level, below), std(level, below, delta))
        for level, below in list(pairwise(levels))[part.steps]
    )
    return descend(model, u_K, transitions, noise, sample=part.sample)


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


def ddpm_process(
    model: Denoiser,
    x_K: Tensor,
    noise: NoiseSource,
    *,
    variance: str | None = None,
    clip: bool | None = None,
    part: Part = WHOLE,
) -> Iterator[Step]:
    """Go down from `x_K` (N, C, H, W) at level K by ancestral sampling; yield a step for each level
    that the card visits below it: K of them unless it says otherwise.

    A step from k to j is that of a chain with β = 1 − ᾱ_k/ᾱ_j there (Nichol and Dhariwal 2021,
    section 4). `noise` is called as in `reverse_process`, for levels K … 1, and may split states as
    there; it is not used at the last step, whose state is its mean. `variance` ("fixed_small" or
    "fixed_large") and `clip` are the card's unless given; `part` is as there. Raises as `descend`
    does, and ValueError for words that do not fit.
    """
    config = diffusion_of(model.card)
    variance = config.variance if variance is None else variance
    if variance not in ("fixed_small", "fixed_large"):
        raise ValueError(f'variance "{variance}": must be "fixed_small" or "fixed_large"')
    schedule, clip = DiffusionSchedule.of(model.card), config.clip_sample if clip is None else clip
    transitions = (
        _ancestral(model, schedule, level, below, variance, clip)
        for level, below in list(pairwise(model.card.visited_levels))[part.steps]
    )
    return descend(model, x_K, transitions, noise, pixels=_NOISE, sample=part.sample)


def ddim_process(
    model: Denoiser,
    x_K: Tensor,
    steps: int,
    *,
    eta: float = 0.0,
    noise: NoiseSource | None = None,
    clip: bool | None = None,
    part: Part = WHOLE,
) -> Iterator[Step]:
    """Go down from `x_K` (N, C, H, W) at level K in `steps` steps, 1 … K, and yield them.

    The levels are those of `ddim_levels`. `eta` is 0 for the deterministic process, 1 for one as
    random as DDPM; above 0, `noise` is called with the level that a step leaves. `clip` is the
    card's unless given, and `part` as there. Raises as `ddpm_process` does.
    """
    if not 0 <= eta <= 1 or (eta > 0 and noise is None):
        raise ValueError(f"eta {eta}: must be from 0 to 1, with noise where it is above 0")
    schedule = DiffusionSchedule.of(model.card)
    clip = diffusion_of(model.card).clip_sample if clip is None else clip
    way = list(pairwise(ddim_levels(model.card.levels, steps)))[part.steps]
    transitions = (_implicit(model, schedule, level, below, eta, clip) for level, below in way)
    wanted = noise if eta > 0 else None
    return descend(model, x_K, transitions, wanted, pixels=_NOISE, sample=part.sample)


def ddim_levels(levels: int, steps: int) -> tuple[int, ...]:
    """The `steps` + 1 levels of a DDIM: K, then evenly spaced and rounded, down to 0."""
    if not 1 <= steps <= levels:
        raise ValueError(f"{steps} steps: must be from 1 to the model's {levels} levels")
    return (*(round(levels - step * levels / steps) for step in range(steps)), 0)


def _ancestral(
    model: Denoiser, schedule: DiffusionSchedule, level: int, below: int, variance: str, clip: bool
) -> Transition:
    left, here = (float(schedule.alphas_bar[each]) for each in (below, level))
    beta = 1 - here / left
    of_x = math.sqrt(1 - beta) * (1 - left) / (1 - here)
    of_image = math.sqrt(left) * beta / (1 - here)
    small = max((1 - left) / (1 - here) * beta, SMALLEST_VARIANCE)

    def mean(x: Tensor) -> Tensor:
        image, _ = _predicted(model, x, level, here, clip)
        return of_x * x + of_image * image

    std = math.sqrt(small if variance == "fixed_small" else beta) if below else 0.0
    return Transition(level, below, mean, std)


def _implicit(
    model: Denoiser, schedule: DiffusionSchedule, level: int, below: int, eta: float, clip: bool
) -> Transition:
    left, here = (float(schedule.alphas_bar[each]) for each in (below, level))
    variance = (1 - left) / (1 - here) * (1 - here / left)
    of_image, of_noise = math.sqrt(left), math.sqrt(1 - left - eta**2 * variance)

    def mean(x: Tensor) -> Tensor:
        image, epsilon = _predicted(model, x, level, here, clip)
        return of_image * image + of_noise * epsilon

    return Transition(level, below, mean, eta * math.sqrt(variance))


def _predicted(
    model: Denoiser, x: Tensor, level: int, alpha_bar: float, clip: bool
) -> tuple[Tensor, Tensor]:
    """x̂_0 and ε of a state at a level."""
    epsilon = model(x, level)
    image = (x - math.sqrt(1 - alpha_bar) * epsilon) / math.sqrt(alpha_bar)
    return image.clamp(-1, 1) if clip else image, epsilon
