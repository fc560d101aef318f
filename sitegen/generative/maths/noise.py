"""Noise sources: the random numbers of samples.

Noise belongs to a sample: the numbers of (seed, purpose, sample, level) come from a counter-based
generator (Philox of Salmon et al. 2011) on the CPU, in float32. They do not depend on the other
samples requested, their order, batches or devices.

A noise source is called with the level that a step leaves, k = K … 1, and returns standard normal
numbers (N, C, H, W), which `run` moves to the device of the states. A process that needs several
draws per step also passes the draw's number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from sitegen.generative.maths.address import Address

NoiseSource = Callable[..., Tensor]
Shape = tuple[int, ...]

_NOTHING = 1e-15
"""Upper bound of the floating-point value of cos(π/2), which is treated as 0."""


class Purpose(IntEnum):
    """Purposes of random numbers; different purposes never share any."""

    STEP = 0
    INITIAL_STATE = 1
    PRIOR_NOISE = 2
    BRANCH = 3
    INITIAL_NOISE = 4
    TILE = 5


def generator(
    seed: int, purpose: Purpose, sample: int = 0, level: int = 0, draw: int = 0
) -> np.random.Generator:
    """Return the random numbers of one sample, level, draw and purpose."""
    key = np.array([seed, purpose], dtype=np.uint64)
    # The first word counts the numbers of a draw: 2^64 of them before the next draw's begin.
    counter = np.array([0, draw, sample, level], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def normal(
    seed: int, purpose: Purpose, samples: Sequence[int], level: int, shape: Shape, draw: int = 0
) -> Tensor:
    """Return standard normal numbers (N, *shape) float32 of N `samples` at a level, on the CPU."""
    numbers = np.empty((len(samples), *shape), dtype=np.float32)
    for row, sample in zip(numbers, samples, strict=True):
        numbers_of = generator(seed, purpose, sample, level, draw)
        numbers_of.standard_normal(out=row, dtype=np.float32)
    return torch.from_numpy(numbers)


def initial_noise(seed: int, samples: Sequence[int], shape: Shape) -> Tensor:
    """Return x_K (N, *shape) float32 of N `samples` of a seed: standard normal, on the CPU."""
    return normal(seed, Purpose.INITIAL_NOISE, samples, 0, shape)


@dataclass(frozen=True)
class Independent:
    """Independent noise for each of the `samples`; `shape` is (C, H, W)."""

    seed: int
    samples: tuple[int, ...]
    shape: Shape

    def __call__(self, level: int, draw: int = 0) -> Tensor:
        """The noise (N, C, H, W) of the step that leaves `level`."""
        return normal(self.seed, Purpose.STEP, self.samples, level, self.shape, draw)


def independent(seed: int, samples: Sequence[int], shape: Shape) -> Independent:
    """Return independent noise for each of the `samples`, counted from 0; `shape` is (C, H, W)."""
    return Independent(seed, tuple(samples), shape)


def sample_at(noise: NoiseSource | None, index: int, first: int = 0) -> str:
    """Describe the sample at an index: by its number, if samples have independent noise.

    `first` is the index, among all samples, of the first one that the noise is for.
    """
    if isinstance(noise, Independent):
        return f"sample {noise.samples[index]} of seed {noise.seed}"
    return f"sample {first + index} of the batch"


def interpolate_noise(noise_a: Tensor, noise_b: Tensor, theta: float | Tensor) -> Tensor:
    """Cos θ · a + sin θ · b: from `noise_a` at θ = 0 to `noise_b` at θ = π/2.

    On this great circle the numbers stay standard normal; its ends are exact. `noise_a` and
    `noise_b` have one shape, (C, H, W) or (N, C, H, W) with N or 1 of them; `theta` is a number or
    N angles (N,), which give (N, C, H, W).
    """
    angle = torch.as_tensor(theta, dtype=torch.float64, device="cpu")  # the same bits everywhere
    if angle.dim():
        angle = angle.reshape(-1, 1, 1, 1)
    cosine, sine = angle.cos(), angle.sin()
    cosine = cosine.where(cosine.abs() > _NOTHING, 0.0)
    return cosine.to(noise_a) * noise_a + sine.to(noise_b) * noise_b


def great_circle(first: Tensor, last: Tensor, points: int) -> Tensor:
    """Return points (N, C, H, W) on the great circle from `first` to `last` (C, H, W)."""
    angles = torch.linspace(0, math.pi / 2, points, dtype=torch.float64)
    return interpolate_noise(first, last, angles)


def straight(first: Tensor, last: Tensor, points: int) -> Tensor:
    """Return points (N, C, H, W) at equal distances from `first` to `last` (C, H, W)."""
    share = torch.linspace(0, 1, points, dtype=torch.float64).reshape(-1, 1, 1, 1)
    share = share.to(first.device, first.dtype)
    return (1 - share) * first + share * last


@dataclass(frozen=True)
class Interpolated:
    """Noise on great circles between samples of a seed; `shape` is (C, H, W).

    samples: for each image the sample at the angle 0, the one at π/2, and its angle
    """

    seed: int
    samples: tuple[tuple[int, int, float], ...]
    shape: Shape

    def __call__(self, level: int, draw: int = 0) -> Tensor:
        """The noise (N, C, H, W) of the step that leaves `level`."""
        ones, others, angles = zip(*self.samples, strict=True)
        # Points of a path share their two ends, whose numbers are drawn once.
        numbers, indices = np.unique([ones, others], return_inverse=True)
        drawn = normal(self.seed, Purpose.STEP, numbers.tolist(), level, self.shape, draw)
        one, other = drawn[torch.from_numpy(indices.reshape(2, -1))]
        return interpolate_noise(one, other, torch.tensor(angles, dtype=torch.float64))


@dataclass(frozen=True)
class Branching:
    """Noise of a tree: shared along each branch, split in two at each of the levels `splits`.

    A split at level s separates the states after u_s: steps that leave level s or below have a
    noise for each child. The source gives one noise for each branch below `level`, so that
    `reverse_process` from a single u_K computes every distinct state once. Branches are in the
    order of their leaves: branch b splits into 2b and 2b + 1.

    With `samples`, one for each leaf, a branch has the noise that `independent` gives to the sample
    of its first leaf. The first leaf is therefore that sample itself, if both begin from one state.
    Each other leaf follows its own sample from its last split on.
    """

    seed: int
    splits: tuple[int, ...]
    shape: Shape
    samples: tuple[int, ...] | None = None

    def branches(self, level: int) -> int:
        """Return the number of branches below `level`: it doubles at each split at or above it."""
        return 1 << sum(split >= level for split in self.splits)

    def __call__(self, level: int, draw: int = 0) -> Tensor:
        """Noise (branches(level), C, H, W) of the step that leaves `level`."""
        # Counting from the root as node 1, the branches of depth d are the nodes 2^d … 2^(d+1) - 1.
        count = self.branches(level)
        if self.samples is not None:
            first = self.samples[:: len(self.samples) // count]
            return independent(self.seed, first, self.shape)(level, draw)
        nodes = range(count, 2 * count)
        return normal(self.seed, Purpose.BRANCH, nodes, level, self.shape, draw)


@dataclass(frozen=True)
class Addressed:
    """Noise of the images at addresses, which share it down to the split at which they part.

    samples: the addresses, each with a digit for every split that it passes
    splits: levels that fall; steps that leave such a level or one below have noise of their own
    """

    seed: int
    samples: tuple[Address, ...]
    splits: tuple[int, ...]
    shape: Shape

    def __call__(self, level: int, draw: int = 0) -> Tensor:
        """The noise (N, C, H, W) of the step that leaves `level`."""
        depth = sum(split >= level for split in self.splits)
        nodes = [address.node(depth) for address in self.samples]
        return normal(self.seed, Purpose.TILE, nodes, level, self.shape, draw)


Noise = Independent | Interpolated | Branching | Addressed
"""The noise of samples, of a tree, or of an atlas."""
