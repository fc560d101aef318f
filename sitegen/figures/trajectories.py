"""The kind `trajectories`: independent samples in a grid, from flat to sharp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, StrictStr, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from sitegen.figures.arguments import ALL, RULES
from sitegen.figures.base import Figure, GridKind, counted, named, steps
from sitegen.generative.card.card import ModelCard
from sitegen.generative.maths.address import Address, checked_address
from sitegen.sampling.tiles import Tiles, default_splits

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider


@dataclass(frozen=True, config=RULES)
class Trajectories(GridKind):
    """Independent samples in a grid, from their flat initial states to the finished images."""

    example: ClassVar[str] = '"NAME", count=36'

    addresses: Annotated[
        tuple[Annotated[StrictStr, AfterValidator(checked_address)], ...] | None,
        Field(min_length=1, description="Addresses of an atlas, in place of numbers of samples."),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _count_addresses(cls, arguments: ArgsKwargs) -> ArgsKwargs:
        """Fill in the number of samples if their addresses are given."""
        values = dict(arguments.kwargs or {})
        if isinstance(addresses := values.get("addresses"), list | tuple):
            values["count"] = max(1, len(addresses))
        return ArgsKwargs(arguments.args, values)

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """For addresses, noise on the way, and a digit for each split."""
        yield from super().unmet(cards)
        if self.addresses is None:
            return
        card = cards[0]
        if "random" not in card.abilities or "ddim" in card.abilities:
            yield f"addresses: the model {self.model} draws no noise in an atlas; give samples"
        elif self.samples is not None or self.labels == ALL:
            yield 'addresses: exclude samples and labels = "all"'
        digits = len(default_splits(card))
        for text in self.addresses:
            if len(Address.parse(text).digits) != digits:
                yield f"addresses: {text} should have {digits} digits, one for each split"

    def cell_texts(self, card: ModelCard) -> tuple[str, ...]:
        """Return the texts under the samples, which are their addresses if none are given."""
        return super().cell_texts(card) or self.addresses or ()

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of samples that share nothing."""
        from sitegen.figures.clips import displayed, grid_job, noise_std_of

        sampler = self.sampler(models)
        if self.addresses:
            tiles = Tiles(sampler, self.seed, default_splits(sampler.card))
            trajectory = tiles.whole([Address.parse(text) for text in self.addresses])
            states, count = displayed(trajectory, self.show), len(self.addresses)
            return grid_job(figure, sampler.card, self.columns or 1, states, count=count)
        numbers, columns = self.cells(sampler.card)
        trajectory = sampler.begin(self.seed, numbers, noise_std_of(self, sampler.card))
        states = displayed(trajectory, self.show)
        layout: dict[str, Any] = {"samples": numbers, "plain": True}
        if sampler.card.recording and sampler.card.recording.points:
            layout["parameters"] = {"points_in_the_plane": sampler.card.recording.points}
        return grid_job(figure, sampler.card, columns, states, **layout)

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the number of samples, their initial state and the number of steps."""
        recording = cards[0].recording
        if recording and recording.points:
            points = f"{recording.points} points" if recording.points > 1 else "A point"
            name = f"{named(self, cards[0])}" if not cards[0].subject else cards[0].subject
            return f"{points} in the plane and their paths over {steps(cards[0])}, of {name}"
        samples = counted(self, self.slots(cards[0]), cards[0])
        start = cards[0].first_state(several=self.count > 1)
        return f"{samples} forming out of {start} over {steps(cards[0])}"
