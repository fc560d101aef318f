"""The kind `renoise`: a given picture taken to some levels, and drawn back from each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from sitegen.core.diagnostics import listed
from sitegen.figures.arguments import FILE, RULES, Fps, NoiseStd, OwnPicture, Seed
from sitegen.figures.base import NO_TEXTS, ChosenKind, Figure, named
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.frames import Frame
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider


@dataclass(frozen=True, config=RULES)
class Renoise(ChosenKind):
    """A given picture taken to some levels, a row each, and drawn back from there several times."""

    example: ClassVar[str] = '"NAME", levels=(40, 60, 80), count=5'
    needs: ClassVar[tuple[Ability, ...]] = ("corrupt",)
    recipe: ClassVar[int] = 2

    image: Annotated[
        OwnPicture | None,
        Field(
            description="A picture in the site's folder; the model card's example if not given.",
            json_schema_extra=FILE,
        ),
    ] = None
    texts: None = NO_TEXTS
    levels: Annotated[
        tuple[StrictInt, ...] | None,
        Field(
            min_length=1,
            max_length=12,
            description="The levels that it is taken to, a row each; three if not given.",
        ),
    ] = None
    count: StrictInt = Field(
        default=4, ge=1, le=100, description="How many times it is drawn back from each level."
    )
    seed: Seed = 0
    sampling_noise_std: NoiseStd = None
    fps: Fps = None

    def levels_of(self, card: ModelCard) -> tuple[int, ...]:
        """Return the levels of the rows: those of the call, each the next lower one visited."""
        visited = card.visited_levels[:-1]
        requested = self.levels or [round(card.levels * share / 4) for share in (1, 2, 3)]
        return tuple(
            next((lower for lower in visited if lower <= max(1, level)), visited[-1])
            for level in requested
        )

    @property
    def sample_count(self) -> int:
        """Number of images that are drawn."""
        return self.count * len(self.levels or (1, 2, 3))

    def slots(self, card: ModelCard) -> int:
        """A label is one for all, or one for each of a row."""
        return self.count

    def states(self, card: ModelCard) -> int:
        """Return the number of states from which a step is taken."""
        rows = (card.visited_levels.index(level) for level in self.levels_of(card))
        return self.count * sum(card.steps - row for row in rows)

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """A picture, and levels that the model has."""
        yield from super().unmet(cards)
        if self.image is None and cards[0].example is None:
            no_example = f"the card of {self.model} has no example"
            yield f"image is missing: {no_example}; name one of your pictures"
        for level in self.levels or ():
            if not 1 <= level <= cards[0].levels:
                yield f"levels: {level} is not among 1 to {cards[0].levels} of {self.model}"

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job that draws a row after the other, then the frames of all."""
        from sitegen.figures.clips import FRAMES, captioned, noise_std_of, stretched, stretched_job
        from sitegen.figures.given import given_image
        from sitegen.generative.maths.noise import Purpose, normal
        from sitegen.media.frames import to_uint8
        from sitegen.media.manifest import Cells

        sampler = self.sampler(models)
        card, numbers = sampler.card, self.numbers
        image, note = given_image(models, figure, card)
        levels, axis = self.levels_of(card), card.axis
        rows: list[dict[int, Frame]] = []

        def work() -> Iterator[None]:
            for level in levels:
                draws = normal(self.seed, Purpose.BRANCH, numbers, level, card.shape)
                states = sampler.forward(image.expand(draws.shape), level, draws)
                noise = sampler.noise(self.seed, numbers)
                trajectory = sampler.back(states, level, noise, noise_std_of(self, card))
                for row in stretched(trajectory, len(trajectory.process.levels) - 1):
                    rows.extend([] if row is None else [row])
                    yield

        def pictures() -> Iterator[Frame]:
            import numpy as np

            picture = to_uint8(image.float().numpy())
            for frame in range(FRAMES + 1):
                yield np.concatenate([part for row in rows for part in (picture, row[frame])])

        _, height, width = card.shape
        across = len(numbers) + 1
        cells = Cells(across * len(levels), width, height, across, 1, True)
        symbol, unit = axis.symbol.partition("_")[0], axis.unit and f" {axis.unit}"
        names = [f"{symbol} = {axis.text(level)}{unit}" for level in levels]
        labels = [f"{label}, " for label in self.cell_texts(card)] or [""] * len(numbers)
        texts = [t for name in names for t in ("given", *(label + name for label in labels))]
        cells = captioned(cells, texts)
        return stretched_job(
            figure,
            card,
            cells,
            pictures(),
            steps=sum(card.steps - card.visited_levels.index(level) for level in levels),
            work=work(),
            note=note,
            parameters={"levels": levels},
        )

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the rows."""
        card = cards[0]
        values = [card.axis.text(level) for level in self.levels_of(card)]
        of = "levels" if len(values) > 1 else "the level"
        repetitions = f"{self.count} times" if self.count > 1 else "once"
        return (
            f"A given picture, in a row for each level, and images that {named(self, card)} draws "
            f"{repetitions} from that picture taken to {of} {card.axis.symbol} = "
            f"{listed(values, 'and')}"
        )
