"""The process of an author's sampler: its steps are calls into its own interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sitegen.generative.card.card import ModelCard, required
from sitegen.generative.card.recording import SamplerConfig
from sitegen.generative.process.noise import great_circle, initial_noise, straight
from sitegen.generative.process.protocol import Draw, GenerativeProcess, Moved, split

Array = NDArray[np.float32]


@dataclass(frozen=True)
class HostedModel:
    """A sampler with its card, in place of a network.

    call: calls a method of the sampler with arrays, and returns its facts and arrays
    """

    card: ModelCard
    call: Callable[..., tuple[dict[str, Any], list[Array]]]
    device: None = None
    statistics: None = None

    def __call__(self, function: str, *states: Tensor, **more: Any) -> list[Tensor]:
        """Call a method of the sampler with tensors."""
        _, arrays = self.call(function, *(each.cpu().numpy() for each in states), **more)
        return [torch.from_numpy(each) for each in arrays]


@dataclass(frozen=True)
class Hosted(GenerativeProcess):
    """An author's sampler. State i of its K + 1 states is that of level K − i."""

    advice: ClassVar[str] = "check the steps of the sampler and its value_range"

    @property
    def _facts(self) -> SamplerConfig:
        return required(self.card.sampler)

    @property
    def largest(self) -> float:  # type: ignore[override]
        """Largest absolute value that a state may be expected to have."""
        return max(abs(self._facts.low), abs(self._facts.high), 100.0)

    @property
    def hint(self) -> str:  # type: ignore[override]
        """End of the error message about a state that cannot come from images."""
        return f"pixels belong in [{self._facts.low:g}, {self._facts.high:g}]"

    def start(self, seed: int, samples: Sequence[int]) -> Tensor:
        """Return the first states (N, C, H, W) that the sampler makes of normal numbers."""
        found: Tensor = self.model("start", initial_noise(seed, samples, self.shape))[0]
        return found

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below, by a step of the author's sampler."""
        normal = draw(0) if self.random else torch.zeros_like(x)
        state, *final = self.model(
            "step", split(x, normal), normal, number=self.card.levels - level
        )
        return Moved(state, state, (lambda: final[0]) if final else None)

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return states from the sampler's range in [0, 1]."""
        facts = self._facts
        return (states - facts.low) / (facts.high - facts.low)

    def between(self, first: Tensor, last: Tensor, points: int) -> Tensor:
        """Return states by the sampler; or on a great circle if they are normal, else straight."""
        if not self._facts.has_between:
            return (great_circle if self._facts.gaussian else straight)(first, last, points)
        shares = np.linspace(0, 1, points).tolist()
        found = [self.model("between", first[None], last[None], share=share) for share in shares]
        return torch.cat([each for (each,) in found])

    def corrupt(self, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return states at a level of finished images, in the sampler's range."""
        number = self.card.levels - level
        found: Tensor = self.model("corrupt", images, draw(0), number=number)[0]
        return found
