"""Where the randomness of a sample comes from.

A sample's noise belongs to the sample: the numbers of (seed, purpose, sample, level) come from a
counter-based generator (Philox of Salmon et al. 2011) on the CPU, in float32. They depend neither
on the other samples asked for, nor on their order, nor on batches or devices.

A noise source is called with the level that a step leaves, k = K … 1, and gives standard normal
numbers (N, C, H, W).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

NoiseSource = Callable[[int], Tensor]
Shape = tuple[int, ...]
Device = torch.device | str

LAST_SEED = 2**63 - 1
_NOTHING = 1e-15
"""What the cosine of π/2 is below in floating point."""


class Purpose(IntEnum):
    """What random numbers are drawn for; different purposes never share any."""

    STEP = 0
    INITIAL_STATE = 1
    PRIOR_NOISE = 2
    BRANCH = 3
    INITIAL_NOISE = 4


def generator(seed: int, purpose: Purpose, sample: int = 0, level: int = 0) -> np.random.Generator:
    """The random numbers of one sample, level and purpose. Raises ValueError for a bad seed."""
    if not 0 <= seed <= LAST_SEED or sample < 0 or level < 0:
        raise ValueError(f"seed {seed}, sample {sample}, level {level}: must be from 0 to 2^63 - 1")
    key = np.array([seed, purpose], dtype=np.uint64)
    counter = np.array([0, 0, sample, level], dtype=np.uint64)  # the first words count the draws
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def normal(seed: int, purpose: Purpose, samples: Sequence[int], level: int, shape: Shape) -> Tensor:
    """Standard normal numbers (N, *shape) float32 of N `samples` at one level, on the CPU."""
    numbers = np.empty((len(samples), *shape), dtype=np.float32)
    for row, sample in zip(numbers, samples, strict=True):
        generator(seed, purpose, sample, level).standard_normal(out=row, dtype=np.float32)
    return torch.from_numpy(numbers)


def moved(numbers: Tensor, device: Device) -> Tensor:
    """Numbers of the CPU on `device`.

    A GPU is not waited for: it has the network of the same step to evaluate while its noise is
    drawn, and takes that from pinned memory when it comes to it.
    """
    if torch.device(device).type != "cuda":
        return numbers.to(device)
    return numbers.pin_memory().to(device, non_blocking=True)


def independent(
    seed: int, samples: Sequence[int], shape: Shape, device: Device = "cpu"
) -> NoiseSource:
    """Noise of its own for each of the `samples`, counted from 0; `shape` is (C, H, W)."""
    chosen = tuple(samples)
    return lambda level: moved(normal(seed, Purpose.STEP, chosen, level, shape), device)


def shared(
    seed: int, count: int, shape: Shape, device: Device = "cpu", sample: int = 0
) -> NoiseSource:
    """One noise for all `count` samples: the one that `independent` gives to `sample`."""
    own = independent(seed, (sample,), shape, device)
    return lambda level: own(level).expand(count, *shape)


def interpolate_noise(noise_a: Tensor, noise_b: Tensor, theta: float | Tensor) -> Tensor:
    """Cos θ · a + sin θ · b: from `noise_a` at θ = 0 to `noise_b` at θ = π/2.

    On this great circle the numbers stay standard normal; its ends are exact. `noise_a` and
    `noise_b` have one shape, (C, H, W) or (N, C, H, W) with N or 1 of them; `theta` is a number or
    N angles (N,), which give (N, C, H, W).
    """
    angle = torch.as_tensor(theta, dtype=torch.float64, device=noise_a.device)
    if angle.dim():
        angle = angle.reshape(-1, 1, 1, 1)
    cosine, sine = angle.cos(), angle.sin()
    cosine = cosine.where(cosine.abs() > _NOTHING, 0.0)
    return cosine.to(noise_a.dtype) * noise_a + sine.to(noise_b.dtype) * noise_b


def interpolated(first: NoiseSource, second: NoiseSource, points: int) -> NoiseSource:
    """Noise of `points` samples on the great circle from one source of one sample to another."""
    angles = torch.linspace(0, math.pi / 2, points, dtype=torch.float64)
    return lambda level: interpolate_noise(first(level), second(level), angles)


@dataclass(frozen=True)
class Branching:
    """Noise of a tree: shared along each branch, split in two at each of the levels `splits`.

    A split at level s parts what follows u_s: steps that leave level s or below have a noise for
    each child. The source gives one noise for each branch that there is below `level`, so that
    `reverse_process` from a single u_K computes every distinct state once. Branches are in the
    order of their leaves: branch b splits into 2b and 2b + 1.

    With `samples`, one for each leaf, a branch has the noise that `independent` gives to the sample
    of its first leaf. So the first leaf is that sample itself, if it begins where that does, and
    each other leaf goes the way of its own sample from its last split on.
    """

    seed: int
    splits: tuple[int, ...]
    shape: Shape
    device: Device = "cpu"
    samples: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        falling = all(above > below for above, below in pairwise(self.splits))
        if not falling or min(self.splits, default=1) < 1:
            raise ValueError(f"splits {self.splits}: must be levels that fall, each at least 1")
        if self.samples is not None and len(self.samples) != 1 << len(self.splits):
            raise ValueError(f"{len(self.samples)} samples for {1 << len(self.splits)} leaves")

    def branches(self, level: int) -> int:
        """How many branches go down from `level`: twice as many for each split at or above it."""
        return 1 << sum(split >= level for split in self.splits)

    def __call__(self, level: int) -> Tensor:
        """Noise (branches(level), C, H, W) of the step that leaves `level`."""
        # Counting from the root as node 1, the branches of depth d are the nodes 2^d … 2^(d+1) - 1.
        count = self.branches(level)
        if self.samples is not None:
            first = self.samples[:: len(self.samples) // count]
            return independent(self.seed, first, self.shape, self.device)(level)
        nodes = range(count, 2 * count)
        return moved(normal(self.seed, Purpose.BRANCH, nodes, level, self.shape), self.device)
