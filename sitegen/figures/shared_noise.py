"""The kind `shared_noise`: identical noises from different initial states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from sitegen.core.errors import ConfigError
from sitegen.figures.arguments import RULES, Fps, NoiseStd, Seed, Show
from sitegen.figures.base import ChosenKind, Figure, counted, lacking, steps
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider

VARIED = {
    "brightness": "brightness",
    "colour": "colour",
    "hue": "colours all around the colour circle",
}
"""Properties in which initial states differ, in words."""


@dataclass(frozen=True, config=RULES)
class SharedNoise(ChosenKind):
    """The same noises from different initial states.

    States made of images differ in brightness or colour; others are those of samples 0, 1, 2, …
    """

    example: ClassVar[str] = '"NAME", count=5, rows=3'
    counts: ClassVar[str] = "rows"
    recipe: ClassVar[int] = 2
    needs: ClassVar[tuple[Ability, ...]] = ("random",)

    count: StrictInt = Field(default=5, ge=2, le=100, description="How many initial states.")
    rows: StrictInt = Field(
        default=1, ge=1, le=100, description="How many noises, each in a row of its own."
    )
    vary: Literal["brightness", "colour", "hue"] | None = Field(
        default=None,
        description=(
            "What the initial states differ in: hue goes around the colour circle, colour along "
            "the axis on which the data differ most; colour where the model has it. Only for "
            "initial states that were made of images."
        ),
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None
    fps: Fps = None

    @property
    def sample_count(self) -> int:
        """Number of pairs of a state and a noise."""
        return self.count * self.rows

    def varied(self, card: ModelCard) -> str:
        """Return the property in which the initial states differ; empty if they are all random."""
        if "prior" not in card.abilities:
            return ""
        return self.vary or ("colour" if card.channels == 3 else "brightness")

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Initial states that can vary as requested."""
        yield from super().unmet(cards)
        if self.vary and (fault := lacking(self.model, cards[0], ("prior",))):
            yield f'vary = "{self.vary}": {fault}; leave it out'
        elif self.vary in ("colour", "hue") and cards[0].channels == 1:
            yield f'vary = "{self.vary}": the model {self.model} makes grey images'

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job with a column for each initial state and a row for each noise."""
        from sitegen.figures.clips import displayed, grid_job, noise_std_of
        from sitegen.figures.prior_spread import spread
        from sitegen.generative.maths.noise import Interpolated

        sampler = self.sampler(models)
        card = sampler.card
        vary = self.varied(card)
        if vary:
            states = sampler.prior.states(spread(sampler.prior, self.count, vary))
        else:
            states = sampler.start(self.seed, range(self.count))
            if bool((states == states[:1]).all()):
                one = f"{self.model} has only one initial state"
                raise ConfigError(f"{one}; use shared_initial_state")
        repeated = states.to(sampler.process.device or "cpu").repeat(self.rows, 1, 1, 1)
        numbers = tuple(number for number in self.numbers for _ in range(self.count))
        # At the angle 0 between a sample and itself is the noise of that sample.
        points = tuple((number, number, 0.0) for number in numbers)
        noise = Interpolated(self.seed, points, card.shape)
        trajectory = sampler.run(repeated, noise, noise_std_of(self, card))
        return grid_job(
            figure,
            card,
            self.count,
            displayed(trajectory, self.show),
            samples=numbers,
            together=True,
            parameters={"vary": vary} if vary else {},
        )

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the shared and the varied parts."""
        card = cards[0]
        samples = counted(self, self.count, card)
        samples = f"{self.rows} rows of {samples}" if self.rows > 1 else samples
        sharing = "those of a row share" if self.rows > 1 else "all share"
        if not (varied := self.varied(card)):
            return (
                f"{samples} forming over {steps(card)}; {sharing} the noise of the steps, and each "
                f"column begins from another initial state: {card.first_state(several=True)}"
            )
        squares = "flat grey squares" if card.channels == 1 else "flat squares"
        return (
            f"{samples} forming over {steps(card)}; {sharing} their noise, "
            f"and begin from {squares} of different {VARIED[varied]}"
        )
