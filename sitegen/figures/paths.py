"""Paths of samples from one to another: points between two latents, and the way down of each.

A path's ends are two plain samples: their initial states and noises are the very numbers that
`trajectories` uses for them. Between them

- IHDM goes straight between the two u_K, and along a great circle in the noise of every level;
- the full latent of a DDPM goes along great circles in x_K and in the noise of every level;
- DDIM, which draws no noise on its way, goes along a great circle in x_K alone.

Trajectories hold all paths at once, (paths · points, C, H, W), path after path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sitegen.figures.base import ComparedSpec
from sitegen.figures.clips import noise_std_of
from sitegen.generative.process.noise import (
    Device,
    Independent,
    Joined,
    Shape,
    independent,
    interpolate_noise,
    interpolated,
)
from sitegen.sampling.models import DdpmSampler, HeatSampler, ModelProvider, Trajectory


@dataclass(frozen=True)
class Paths:
    """Paths of `points` samples each, at least 2, between pairs of a seed's samples."""

    seed: int
    pairs: tuple[tuple[int, int], ...]
    points: int

    @property
    def ends(self) -> list[int]:
        """The samples that the paths start and end at, (2 · paths), a pair after the other."""
        return [sample for pair in self.pairs for sample in pair]


def heat_paths(sampler: HeatSampler, paths: Paths, noise_std: float | None = None) -> Trajectory:
    """The paths of a model that undoes heat dissipation; δ is the card's if not given."""
    ends = sampler.initial_states(paths.seed, paths.ends)
    pairs = zip(ends[::2], ends[1::2], strict=True)
    u_K = torch.cat([straight(*pair, paths.points) for pair in pairs])
    noise = noise_of(paths, sampler.model.card.shape, sampler.model.device)
    return sampler.trajectory(u_K, noise, noise_std)


def ddpm_paths(sampler: DdpmSampler, paths: Paths) -> Trajectory:
    """The paths of a DDPM through everything random of it: x_K and the noise of every level."""
    noise = noise_of(paths, sampler.model.card.shape, sampler.model.device)
    return sampler.ddpm(_circles(sampler, paths), noise)


def ddim_paths(sampler: DdpmSampler, paths: Paths, steps: int) -> Trajectory:
    """The paths of a DDPM that is sampled without noise, in that many steps."""
    return sampler.ddim(_circles(sampler, paths), steps)


Ways = dict[str, tuple[Callable[[], Trajectory], int]]
"""By the name of each way to sample: what begins it, and how many steps it takes."""


def ways_down(models: ModelProvider, spec: ComparedSpec, paths: Paths, ddim_steps: int) -> Ways:
    """The ways to sample the paths of a figure: with its model, and with its DDPM if it has one."""
    sampler = models.heat_sampler(spec.model)
    card, noise_std = sampler.model.card, noise_std_of(spec, sampler.model.card)
    ways: Ways = {spec.drawn_label: (partial(heat_paths, sampler, paths, noise_std), card.steps)}
    if spec.ddpm is not None:
        baseline = models.ddpm_sampler(spec.ddpm)
        ways["DDPM"] = (partial(ddpm_paths, baseline, paths), baseline.model.card.steps)
        ways["DDIM"] = (partial(ddim_paths, baseline, paths, ddim_steps), ddim_steps)
    return ways


def walk(ways: Ways, ended: Callable[[str, NDArray[np.float32]], None]) -> Iterator[None]:
    """Go every step of all ways in turn; `ended` is told the finished images of each.

    They are (paths · points, C, H, W), unclipped.
    """
    for name, (begin, _) in ways.items():
        for last in begin().ends():
            if last is not None:
                ended(name, last.cpu().numpy())
            yield


def straight(first: Tensor, last: Tensor, points: int) -> Tensor:
    """Points (N, C, H, W) at equal distances from `first` to `last` (C, H, W), both included."""
    share = torch.linspace(0, 1, points, dtype=torch.float64).reshape(-1, 1, 1, 1)
    share = share.to(first.device, first.dtype)
    return (1 - share) * first + share * last


def noise_of(paths: Paths, shape: Shape, device: Device = "cpu") -> Joined:
    """The noise (paths · points, C, H, W) of every level, on a great circle between the ends'."""

    def own(sample: int) -> Independent:
        return independent(paths.seed, (sample,), shape, device)

    ends = ((own(first), own(last)) for first, last in paths.pairs)
    return Joined(tuple(interpolated(*pair, paths.points) for pair in ends))


def _circles(sampler: DdpmSampler, paths: Paths) -> Tensor:
    """x_K of every point, on great circles between those of the ends."""
    angles = torch.linspace(0, math.pi / 2, paths.points, dtype=torch.float64)
    ends = sampler.initial_noise(paths.seed, paths.ends)
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return torch.cat([interpolate_noise(*pair, angles) for pair in pairs])
