"""From a start to pictures: `trajectory`, the one way for every process.

Samples are cut into parts by their number, each with as many as a network takes at a time, so that
one machine and many compute the same parts, and their pictures have the same bytes. All parts go
down together, a level at a time; memory does not grow with the levels. Importing this module needs
no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from sitegen.generative.maths.noise import Noise
    from sitegen.generative.process.protocol import GenerativeProcess, Step

T = TypeVar("T")
Images = NDArray[np.float32]
Shown = Literal["state", "mean", "final"]
"""Displayed images of a level: the states, their means, or the images predicted from them."""

PIXELS_IN_PART = 24 * 64 * 64
"""Largest number of pixels of a part on a CPU; a part is computed on one core."""
PIXELS_AT_ONCE = 48 * 64 * 64
"""Largest number of pixels of a part elsewhere."""


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


class LevelStream(Protocol):
    """Samples at all levels from the first to 0, computed or recorded."""

    @property
    def first(self) -> int:
        """The level of the initial states."""

    def seen(self, show: Shown) -> Iterator[tuple[int, Images]]:
        """Yield each level from the first to 0, with its displayed images (N, C, H, W)."""


def ends(stream: LevelStream) -> Iterator[Images | None]:
    """Yield None for each step but the last, and then the finished images (N, C, H, W)."""
    for level, images in stream.seen("mean"):
        if level < stream.first:
            yield images if level == 0 else None


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of a process, from the states `start` (N, C, H, W) with that noise.

    first: index of the first among all samples
    alone: whether it is the only part, which engines divide among cores
    """

    process: GenerativeProcess
    start: Tensor
    noise: Noise | None
    first: int = 0
    alone: bool = True

    def with_model(self, model: Any) -> Part:
        """Return the part with another network; with None it is small enough to be sent."""
        return replace(self, process=replace(self.process, model=model))


def parts(process: GenerativeProcess, start: Tensor, noise: Noise | None) -> list[Part]:
    """Cut samples into parts. A tree, whose branches share a start, is one part."""
    from sitegen.generative.engine import part_sizes
    from sitegen.generative.maths.noise import Branching

    _, height, width = process.card.shape
    count = len(start)
    if getattr(process.device, "type", None) == "cpu":
        sizes = part_sizes(count, max(1, PIXELS_IN_PART // (height * width)))
    else:
        largest = max(1, PIXELS_AT_ONCE // (height * width))
        sizes = [min(largest, count - at) for at in range(0, count, largest)]
    if len(sizes) == 1 or isinstance(noise, Branching):
        return [Part(process, start, noise)]
    # States are cloned, since a view would send those of all parts to each worker.
    cut, first = list[Part](), 0
    for size in sizes:
        rows = slice(first, first + size)
        condition = process.condition and process.condition.rows(first, first + size)
        numbers: Any = None if noise is None else noise.samples[rows]
        part_noise = None if noise is None else replace(noise, samples=numbers)
        part_process = replace(process, condition=condition)
        cut.append(Part(part_process, start[rows].clone(), part_noise, first, alone=False))
        first += size
    return cut


def trajectory(
    process: GenerativeProcess, start: Tensor, noise: Noise | None, show: Shown
) -> Iterator[tuple[int, Tensor]]:
    """Yield each level from the first to 0, with its images (N, C, H, W) in [0, 1] pixel units.

    start: states (N, C, H, W) at the process's first level
    show: what to show of a level; at level 0 it is always the mean
    """
    return shown(parts(process, start, noise), show)


def shown(samples: Sequence[Part], show: Shown) -> Iterator[tuple[int, Tensor]]:
    """Yield what `trajectory` does, for samples that are cut already."""
    import torch

    first = samples[0].process.levels[0]
    yield first, torch.cat([part.process.pixels(part.start, first) for part in samples])
    for level, images in each_level(samples, lambda part, step: visible(part, step, show)):
        yield level, images[0] if len(images) == 1 else torch.cat(images)


def each_level(
    samples: Sequence[Part], pick: Callable[[Part, Step], T]
) -> Iterator[tuple[int, list[T]]]:
    """Run parts together; yield each level with what `pick` takes of the step of each part."""
    from sitegen.generative.engine import memory_errors, on_cores
    from sitegen.generative.process.protocol import run

    runs = [run(part.process, part.start, part.noise, part.first) for part in samples]

    def advance(number: int) -> tuple[int, T]:
        step = next(runs[number])
        return step.level, pick(samples[number], step)

    on_cpu = getattr(samples[0].process.device, "type", None) == "cpu"
    for level in samples[0].process.levels[:-1]:
        with memory_errors(f"computing level {level}"):
            if samples[0].alone or not on_cpu:
                steps = [advance(number) for number in range(len(samples))]
            else:
                steps = on_cores(advance, range(len(samples)))
        yield steps[0][0], [picked for _, picked in steps]


def visible(part: Part, step: Step, show: Shown) -> Tensor:
    """Return the displayed images (N, C, H, W) of a step, in pixel units.

    Raises ConfigError for predicted images where the process has none.
    """
    if show == "final" and step.level:
        if step.final is None:
            fault = f"the step to level {step.level} predicts no image"
            raise ConfigError(f'show = "final": {fault}; use show = "state"')
        return part.process.pixels(step.final(), 0)
    images = step.state if show == "state" and step.level else step.mean
    return part.process.pixels(images, step.level)
