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
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard
from sitegen.generative.maths.address import MOST_SPLITS, Address, checked_address
from sitegen.sampling.tiles import TILED, checked_splits, default_splits

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider

PREPARED, PREPARED_LINES = 3, 2
"""Splits that the build draws for every start: with noise on the way, and without."""


@dataclass(frozen=True, config=RULES)
class Atlas(FigureKind):
    """A map of all images of a model: each zoom by two continues every state in four ways."""

    needs: ClassVar[tuple[Ability, ...]] = TILED
    recipe: ClassVar[int] = 3

    steps: None = Field(default=None, description="Those of the card.", init=False)
    sampler_name: None = Field(default=None, description="That of the card.", init=False)
    texts: None = NO_TEXTS
    columns: StrictInt = Field(default=4, ge=2, le=8, description="Starts in a row of the map.")
    seed: Seed = 0
    splits: Annotated[
        tuple[StrictInt, ...] | None,
        Field(
            min_length=1,
            max_length=MOST_SPLITS,
            description="The levels at which states part, from the first level down; an octave of "
            "blur each if not given, or a fifth of the levels.",
        ),
    ] = None
    target: Annotated[StrictStr, AfterValidator(checked_address)] | None = Field(
        default=None, description="The address to which the clip zooms, as in 14.213023."
    )
    live: StrictBool = Field(
        default=True,
        description="Whether visitors draw deeper tiles, which the build has not prepared.",
    )
    beside: ModelName | None = Field(
        default=None, description="The name of a model whose map is shown beside, under one cursor."
    )

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the model and of the one beside it."""
        return (self.model, self.beside) if self.beside else (self.model,)

    def splits_of(self, card: ModelCard) -> tuple[int, ...]:
        """Return the levels at which the states of a model part."""
        own = self.splits if not self.beside else None
        return own or default_splits(card)

    def prepared(self, card: ModelCard) -> int:
        """Return the number of splits that the build draws for every start."""
        most = PREPARED if "blur" in card.abilities else PREPARED_LINES
        return min(most, len(self.splits_of(card)))

    def target_of(self, card: ModelCard) -> Address:
        """Return the address to which the clip zooms; an inner one if the author gives none."""
        count = len(self.splits_of(card))
        return Address.parse(self.target) if self.target else Address(0, ((3, 0) * count)[:count])

    def slots(self, card: ModelCard) -> int:
        """A map has one label, since its images share their beginnings."""
        return 1

    def states(self, card: ModelCard) -> int:
        """Return how many states the build takes a step from."""
        ends = [card.visited_levels.index(level) for level in (*self.splits_of(card), 0)]
        # A DDPM is drawn by DDIM. Without noise on the way, starts are finished, and of four tiles
        # the first continues its parent, and three are finished from the level of the split.
        renoised = "random" not in card.abilities or "ddim" in card.abilities
        total = self.columns**2 * ends[-1] if renoised else 0
        for depth, (begin, end) in enumerate(pairwise(ends), 1):
            count = 4 + (self.columns**2 * 4**depth if depth <= self.prepared(card) else 0)
            total += count // 4 * 3 * (ends[-1] - begin) if renoised else count * (end - begin)
        return total

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Networks that a page has; levels that are visited; an address that the map has."""
        yield from super().unmet(cards)
        if not cards:
            return
        if self.live:
            yield from live_faults(self, cards)
        elif self.beside and (fault := lacking(self.beside, cards[1], self.needs)):
            yield fault
        if self.splits and self.beside:
            yield "splits: two models have levels of their own; leave them out"
        elif self.splits and (fault := checked_splits(cards[0], self.splits)):
            yield f"splits: should {fault}"
        elif self.target:
            address, digits = Address.parse(self.target), len(self.splits_of(cards[0]))
            if len(address.digits) != digits:
                yield f"target: {address} should have {digits} digits, one for each split"
            if address.start >= self.columns**2:
                yield f"target: the starts of the map are 0 to {self.columns**2 - 1}"

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of the maps, as far as they are prepared, and of a zoom."""
        from sitegen.figures.atlas.sample import atlas_job

        return atlas_job(models, figure)

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the way from the plane of starts to an image."""
        card, count = cards[0], len(self.splits_of(cards[0]))
        return (
            f"A map of the images of {named(self, card)}. Far out is a plane of {self.columns**2} "
            f"starts, each {card.first_state()}. Each of {count} zooms continues every image in "
            "four ways, down to finished ones"
        )
