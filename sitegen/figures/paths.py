"""Paths of samples from one to another: points between two latents, and the generation of each.

A path's ends are two plain samples: their initial states and noises are the numbers that
`trajectories` uses for them. Between the ends

- IHDM goes straight between the two u_K, and along a great circle in the noise of every level;
- the full latent of a DDPM goes along great circles in x_K and in the noise of every level;
- DDIM, which draws no noise during generation, goes along a great circle in x_K alone.

Trajectories hold all paths at once, (paths · points, C, H, W), path after path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sitegen.figures.clips import noise_std_of
from sitegen.figures.compared import ComparedSpec
from sitegen.generative.card import methods
from sitegen.sampling.provider import ModelProvider
from sitegen.sampling.trajectory import LevelStream, Paths

Ways = dict[str, tuple[Callable[[], LevelStream], int]]
"""Sampling methods by name, each with the function that begins it and its number of steps."""


def ways_down(models: ModelProvider, spec: ComparedSpec, paths: Paths, ddim_steps: int) -> Ways:
    """The ways to sample the paths of a figure: with its model, and with its DDPM if it has one."""
    sampler = models.sampler(spec.model)
    card, noise_std = sampler.card, noise_std_of(spec, sampler.card)
    own = partial(sampler.paths, paths, noise_std)
    ways: Ways = {spec.drawn_label(card): (own, card.steps)}
    if spec.ddpm is not None:
        baseline = models.sampler(spec.ddpm)
        ways[methods.DDPM] = (partial(baseline.paths, paths), baseline.card.steps)
        ways[methods.DDIM] = (partial(baseline.ddim(ddim_steps).paths, paths), ddim_steps)
    return ways


def walk(ways: Ways, ended: Callable[[str, NDArray[np.float32]], None]) -> Iterator[None]:
    """Run every step of all ways in turn; call `ended` with the finished images of each.

    They are (paths · points, C, H, W), unclipped.
    """
    for name, (begin, _) in ways.items():
        for last in begin().ends():
            if last is not None:
                ended(name, last)
            yield
