"""The kind `atlas`: a map of all images of a model, whose zoom is the level of its process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr
from pydantic.dataclasses import dataclass

from sitegen.figures.arguments import RULES, ModelName, Seed
from sitegen.figures.base import NO_TEXTS, Figure, FigureKind, lacking, named
from sitegen.figures.live import live_faults
from sitegen.generative.card.card import ModelCard
from sitegen.generative.maths.address import MOST_SPLITS, Address, checked_address
from sitegen.sampling.tiles import TILED, checked_splits, default_splits

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider


@dataclass(frozen=True, config=RULES)
class Atlas(FigureKind):
    """A map of all images of a model: each zoom by two continues every state in four ways."""

    needs: ClassVar = TILED
    recipe: ClassVar = 5

    steps: None = Field(default=None, description="Those of the card.", init=False)
    sampler_name: None = Field(default=None, description="That of the card.", init=False)
    texts: None = NO_TEXTS
    columns: StrictInt = Field(default=4, ge=2, le=8, description="Starts in a row of the map.")
    seed: Seed = 0
    splits: tuple[StrictInt, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_SPLITS,
        description="Levels of the splits, from K down; by default octaves of blur, or fifths.",
    )
    target: Annotated[StrictStr, AfterValidator(checked_address)] | None = Field(
        default=None, description="The address to which the clip zooms, as in 14.213023."
    )
    live: StrictBool = Field(default=True, description="Whether visitors draw the deeper tiles.")
    beside: ModelName | None = Field(default=None, description="A model whose map is shown beside.")

    def splits_of(self, card: ModelCard) -> tuple[int, ...]:
        """Return the levels at which the states of a model part."""
        return self.splits or default_splits(card)

    def prepared(self, card: ModelCard) -> int:
        """Return the number of splits that the build draws for every start."""
        return min(3 if "blur" in card.abilities else 2, len(self.splits_of(card)))

    def states(self, card: ModelCard) -> int:
        """Return how many states the build takes a step from, with those of the zoom."""
        ends = [card.visited_levels.index(level) for level in (*self.splits_of(card), 0)]
        # A DDPM is drawn by DDIM. Without noise on the way, starts are finished, and of four tiles
        # the first continues its parent, and three are finished from the level of the split.
        renoised = "random" not in card.abilities or "ddim" in card.abilities
        total = self.columns**2 * card.steps if renoised else 0
        for depth, (begin, end) in enumerate(pairwise(ends)):
            parents = 1 + (self.columns**2 * 4**depth if depth < self.prepared(card) else 0)
            total += parents * (3 * (card.steps - begin) if renoised else 4 * (end - begin))
        return total

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Networks that a page has; levels that are visited; an address that the map has."""
        yield from super().unmet(cards)
        if self.live:
            yield from live_faults(self, cards)
        elif self.beside and (fault := lacking(self.beside, cards[1], self.needs)):
            yield fault
        for name, card in zip(self.models, cards, strict=True):
            if self.splits and (fault := checked_splits(card, self.splits)):
                yield f"splits: those of {name} should {fault}"
        if self.target:
            address, digits = Address.parse(self.target), len(self.splits_of(cards[0]))
            if len(address.digits) != digits or address.start >= self.columns**2:
                starts = f"a start below {self.columns**2}"
                yield f"target: {address} should have {starts}, and {digits} digits, one a split"

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of the maps, as far as they are prepared, and of a zoom."""
        from sitegen.figures.atlas.sample import atlas_job

        return atlas_job(models, figure)

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the way from the plane of starts to an image."""
        starts = f"{self.columns**2} starts, each {cards[0].first_state()}"
        zooms = "Each zoom by two continues every image in four ways, down to finished ones"
        return f"A map of the images of {named(self, cards[0])}. Far out are {starts}. {zooms}"
