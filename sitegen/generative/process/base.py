"""Base classes of processes: what a card's class does with a network.

The class of a card is its process: its table of the card with the rules for it, its abilities and
axis, where it starts, and `move`, the transition from a level to one below. Its methods import
torch where they need it, so that reading a card does not. `protocol.py` runs processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.networks import Network
from sitegen.generative.card.parts import card_kind, table
from sitegen.generative.card.sampling import SamplingConfig

if TYPE_CHECKING:
    from torch import Tensor


DATA_STD = 0.5
"""Standard deviation of data in [-1, 1], for display."""

Draw = Callable[[int], "Tensor"]
"""Returns the n-th standard normal draw (m · N, C, H, W) of a transition, counted from 0."""


class Moved(NamedTuple):
    """Result of a transition, each (N, C, H, W) float32 and unclipped.

    mean: the expected next state; the state itself where nothing is random
    final: computes the finished images that the model predicts from the previous states, where the
        process has such a prediction
    memory: what the next transition gets as `memory`, if states are not enough
    """

    state: Tensor
    mean: Tensor
    final: Callable[[], Tensor] | None = None
    memory: Any = None


@table
class ProcessCard(ModelCard):
    """A card that can be sampled.

    `model` is the loaded network, a function of states and a level, as `predict` defines it. Rows
    of a batch must not depend on each other.
    """

    advice: ClassVar[str] = (
        "check that the card fits the weights, and that they are of a trained model"
    )
    """End of the error messages about states and results that cannot come from images."""

    @property
    def largest(self) -> float:
        """Largest absolute value that a state may be expected to have."""
        return 1.0

    def start(self, model: Any, seed: int, samples: Sequence[int]) -> Tensor:
        """Return the initial states (N, C, H, W) of N samples of a seed."""
        raise NotImplementedError

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states at the level `below` of states (N, C, H, W) at a level."""
        raise NotImplementedError

    def predict(self, model: Any, x: Tensor, level: Any, *more: Any) -> Tensor:
        """Return what the network predicts (N, C, H, W) from states x; both float32."""
        raise NotImplementedError

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return states or images (N, C, H, W) of a level in [0, 1] pixel units, unclipped."""
        return states

    def between(self, model: Any, first: Tensor, last: Tensor, points: int) -> Tensor:
        """Return initial states (points, C, H, W) on the path from one (C, H, W) to another.

        It is a straight line: means of images are images.
        """
        from sitegen.generative.maths.noise import straight

        return straight(first, last, points)

    def corrupt(self, model: Any, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return states at a level of finished images, both (N, C, H, W) as states are."""
        raise NotImplementedError

    def with_noise_std(self, noise_std: float | None) -> ProcessCard:
        """Return the card with another sampling noise δ, if it has one to choose."""
        return self


@table
class FromNoise(ProcessCard):
    """Base class of processes from Gaussian noise to images in [-1, 1], with one network."""

    unet: Network = Field(description="the network, a table")

    def start(self, model: Any, seed: int, samples: Sequence[int]) -> Tensor:
        """Return standard normal numbers (N, C, H, W) of N samples."""
        from sitegen.generative.maths.noise import initial_noise

        return initial_noise(seed, samples, self.shape)

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return states from [-1, 1] in [0, 1]."""
        return to_pixels(states)

    def between(self, model: Any, first: Tensor, last: Tensor, points: int) -> Tensor:
        """Return states on the great circle, where they stay normal."""
        from sitegen.generative.maths.noise import great_circle

        return great_circle(first, last, points)


@card_kind
class Guided(FromNoise):
    """Base class of the kinds with a table `[sampling]`: levels to visit, and guidance."""

    sampling: SamplingConfig | None = None

    begins_below: ClassVar[bool] = False
    """True if noise may be taken for the state of a level below K."""

    @field_validator("sampling")
    @classmethod
    def _fits_levels(
        cls, sampling: SamplingConfig | None, info: ValidationInfo
    ) -> SamplingConfig | None:
        if sampling is not None and "levels" in info.data:
            sampling.require_fit(info.data["levels"], 1, cls.begins_below)
            for key in ("variance", "forward"):
                if getattr(sampling, key) is not None:
                    raise ValueError(f"{key}: only heat dissipation has that; leave it out")
        return sampling


@table
class Noised(FromNoise):
    """Base class of processes whose states are images and Gaussian noise, each scaled by level."""

    def scales(self, level: int) -> tuple[float, float]:
        """Return the factor of the image and the standard deviation of the noise at a level."""
        raise NotImplementedError

    @property
    def largest(self) -> float:
        """Largest absolute value that a state may be expected to have."""
        return max(1.0, self.scales(self.visited_levels[0])[1])

    def start(self, model: Any, seed: int, samples: Sequence[int]) -> Tensor:
        """Return initial noise (N, C, H, W) of N samples, scaled to level K."""
        return self.scales(self.visited_levels[0])[1] * super().start(model, seed, samples)

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return states from [-1, 1] in [0, 1], divided so that data keep their contrast."""
        return contrasted(states, self.scales(level)[1])

    def corrupt(self, model: Any, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return states at a level of images (N, C, H, W), in the range of data."""
        image, noise = self.scales(level)
        return image * images + noise * draw(0).to(images)


def to_pixels(x: Tensor) -> Tensor:
    """Map images from [-1, 1] to [0, 1] without clipping."""
    return (x + 1) / 2


def contrasted(states: Tensor, noise: float) -> Tensor:
    """Map states with images in [-1, 1] to [0, 1], divided so that data keep their contrast."""
    return to_pixels(states / math.hypot(1, noise / DATA_STD))


def split(states: Tensor, draw: Tensor) -> Tensor:
    """Return states repeated for each branch of a tree that `draw` has numbers for."""
    branches = len(draw) // len(states)
    return states if branches == 1 else states.repeat_interleave(branches, dim=0)


def add_noise(
    mean: Tensor, draw: Tensor, std: Any, final: Callable[[], Tensor] | None = None
) -> Moved:
    """Return the state `std` · draw away from a mean; both for each branch of a tree.

    `std` is a number; or (C, H, W), one for each cosine of the noise; or (C, C, H, W), which mixes
    the channels of each cosine.
    """
    fresh = draw.to(mean.device, mean.dtype)
    mean = split(mean, fresh)
    images = None if final is None else lambda: split(final(), fresh)
    if isinstance(std, int | float):
        return Moved(mean + std * fresh, mean, images)
    from sitegen.generative.maths.heat import dct2, idct2

    cosines = dct2(fresh)
    # An einsum would lay the product out so that all else is slow.
    scaled = std * cosines if std.dim() == 3 else (std * cosines[:, None]).sum(2)
    return Moved(mean + idct2(scaled), mean, images)
