"""The process of an author's sampler: its steps are calls of its class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sitegen.generative.card.abilities import Abilities, Ability, LevelAxis
from sitegen.generative.card.parts import card_kind, per_level
from sitegen.generative.card.tables import SamplerConfig
from sitegen.generative.process.base import Draw, Moved, ProcessCard, split

if TYPE_CHECKING:
    from torch import Tensor


@card_kind
class Hosted(ProcessCard):
    """An author's sampler. State i of its K + 1 states is that of level K − i."""

    kind: Literal["sampler"] = "sampler"
    sampler: Annotated[SamplerConfig, per_level("values", 1)] = Field(
        description="what the sampler can do, which it says itself"
    )

    label = "Sampler"
    advice: ClassVar[str] = "check the steps of the sampler and its value_range"

    @property
    def abilities(self) -> Abilities:
        """Abilities that the class has."""
        facts = self.sampler
        said: dict[Ability, bool] = {
            "random": facts.random,
            "fan": facts.random,
            "final": facts.predicts,
            "tree": facts.random or facts.corrupts,
            "around": facts.gaussian and not facts.random,
            "paths": True,
            "corrupt": facts.corrupts,
        }
        return frozenset(ability for ability, can in said.items() if can)

    @cached_property
    def axis(self) -> LevelAxis:
        return LevelAxis(self.sampler.symbol, self.sampler.unit, self.sampler.values)

    def first_state(self, *, several: bool = False) -> str:
        return self.sampler.start

    @property
    def largest(self) -> float:
        return max(abs(self.sampler.low), abs(self.sampler.high), 100.0)

    def start(self, model: Any, seed: int, samples: Sequence[int]) -> Tensor:
        from sitegen.generative.maths.noise import initial_noise

        states: Tensor = model("start", initial_noise(seed, samples, self.shape))[0]
        return states

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        normal = draw(0) if self.sampler.random else x.new_zeros(x.shape)
        state, *final = model("step", split(x, normal), normal, number=self.levels - level)
        return Moved(state, state, (lambda: final[0]) if final else None)

    def pixels(self, states: Tensor, level: int) -> Tensor:
        return (states - self.sampler.low) / (self.sampler.high - self.sampler.low)

    def between(self, model: Any, first: Tensor, last: Tensor, points: int) -> Tensor:
        import torch

        from sitegen.generative.maths.noise import great_circle

        if not self.sampler.has_between:
            if self.sampler.gaussian:
                return great_circle(first, last, points)
            return super().between(model, first, last, points)
        shares = [point / (points - 1) for point in range(points)]
        calls = (model("between", first[None], last[None], share=share) for share in shares)
        return torch.cat([state for (state,) in calls])

    def corrupt(self, model: Any, images: Tensor, level: int, draw: Draw) -> Tensor:
        both = images.float(), draw(0).float()
        states: Tensor = model("corrupt", *both, number=self.levels - level)[0]
        return states
