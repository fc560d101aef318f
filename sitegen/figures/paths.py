"""Paths of samples from one to another: points between two latents, and the way down of each.

A path's ends are two plain samples: their initial states and noises are the very numbers that
`trajectories` uses for them. Between them

- IHDM goes straight between the two u_K, and along a great circle in the noise of every level;
- the full latent of a DDPM goes along great circles in x_K and in the noise of every level;
- DDIM, which draws no noise on its way, goes along a great circle in x_K alone.

Trajectories hold all paths at once, (paths · points, C, H, W), path after path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from sitegen.figures.base import ComparedSpec
from sitegen.figures.clips import noise_std_of
from sitegen.generative.process.diffusion import Implicit
from sitegen.generative.process.noise import (
    Device,
    Independent,
    Joined,
    Shape,
    independent,
    interpolated,
)
from sitegen.sampling.models import ModelProvider, Sampler, Trajectory


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


def paths_of(sampler: Sampler, paths: Paths, noise_std: float | None = None) -> Trajectory:
    """Return the paths of a model through everything random of its process.

    The initial states are on the process's own path between two of them, and the noise of every
    level on a great circle, where any is drawn. δ is the card's if not given.
    """
    process = sampler.process
    ends = sampler.start(paths.seed, paths.ends)
    pairs = zip(ends[::2], ends[1::2], strict=True)
    start = torch.cat([process.between(*pair, paths.points) for pair in pairs])
    device = process.device or "cpu"
    noise = noise_of(paths, process.shape, device) if process.random else None
    return sampler.run(start, noise, noise_std)


def as_ddim(sampler: Sampler, steps: int) -> Sampler:
    """Return a DDPM that is sampled without noise, in that many steps."""
    return replace(sampler, process=Implicit(sampler.model, steps=steps))


Ways = dict[str, tuple[Callable[[], Trajectory], int]]
"""By the name of each way to sample: what begins it, and how many steps it takes."""


def ways_down(models: ModelProvider, spec: ComparedSpec, paths: Paths, ddim_steps: int) -> Ways:
    """The ways to sample the paths of a figure: with its model, and with its DDPM if it has one."""
    sampler = models.sampler(spec.model)
    card, noise_std = sampler.card, noise_std_of(spec, sampler.card)
    ways: Ways = {
        spec.drawn_label(card): (partial(paths_of, sampler, paths, noise_std), card.steps)
    }
    if spec.ddpm is not None:
        baseline = models.sampler(spec.ddpm)
        ways["DDPM"] = (partial(paths_of, baseline, paths), baseline.card.steps)
        ways["DDIM"] = (partial(paths_of, as_ddim(baseline, ddim_steps), paths), ddim_steps)
    return ways


def walk(ways: Ways, ended: Callable[[str, NDArray[np.float32]], None]) -> Iterator[None]:
    """Go every step of all ways in turn; `ended` is told the finished images of each.

    They are (paths · points, C, H, W), unclipped.
    """
    for name, (begin, _) in ways.items():
        for last in begin().ends():
            if last is not None:
                ended(name, last)
            yield


def noise_of(paths: Paths, shape: Shape, device: Device = "cpu") -> Joined:
    """The noise (paths · points, C, H, W) of every level, on a great circle between the ends'."""

    def own(sample: int) -> Independent:
        return independent(paths.seed, (sample,), shape, device)

    ends = ((own(first), own(last)) for first, last in paths.pairs)
    return Joined(tuple(interpolated(*pair, paths.points) for pair in ends))
