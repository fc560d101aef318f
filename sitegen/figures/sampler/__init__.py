"""The kind `sampler`: the model itself in the page, which samples when a button is pressed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BeforeValidator, Field, StrictInt
from pydantic.dataclasses import dataclass

from sitegen.core.validation import reject_with
from sitegen.figures.arguments import RULES, ModelName, Seed
from sitegen.figures.base import NO_TEXTS, ChosenKind, Figure, counted
from sitegen.figures.live import LIVE, live_faults
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider


@dataclass(frozen=True, config=RULES)
class PageSampler(ChosenKind):
    """A button that draws new samples in the visitor's browser, beneath a poster of some."""

    needs: ClassVar[tuple[Ability, ...]] = LIVE
    recipe: ClassVar[int] = 4

    steps: None = Field(default=None, description="Those of the card.", init=False)
    sampler_name: None = Field(default=None, description="That of the card.", init=False)
    texts: None = NO_TEXTS
    count: StrictInt = Field(default=9, ge=1, le=64, description="How many samples the poster has.")
    seed: Seed = 0
    also: Annotated[
        tuple[ModelName, ...],
        reject_with(
            lambda also, info: next(
                (
                    f"should name each model once, and {name} is there twice"
                    for name in sorted(also)
                    if [info.data.get("model"), *also].count(name) > 1
                ),
                None,
            )
        ),
        BeforeValidator(lambda names: (names,) if isinstance(names, str) else names),
    ] = Field(
        default=(), description="The names of other models that a visitor can choose instead."
    )

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all models to choose from; the first is there before anybody chooses."""
        return self.model, *self.also

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Networks that a browser's sampler has, and that are not too heavy for it."""
        yield from super().unmet(cards)
        yield from live_faults(self, cards)

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of the models as a browser reads them, and some of their samples."""
        from sitegen.figures.sampler.sample import sample

        return sample(models, figure, self.models, self.seed, self.numbers)

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the first poster."""
        return f"{counted(self, self.count, cards[0])}, drawn when this page was made"
