"""The kind `process`: an image is taken to noise or melts above, a model makes a new one below.

`picture` reads the image, `drawing` draws both rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from sitegen.core.validation import reject_if
from sitegen.figures.arguments import FILE, RULES, NoiseStd, OwnPicture, Samples, Seed, Show
from sitegen.figures.base import NO_TEXTS, ChosenKind, Figure, named, steps
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.figures.svg import Drawing
    from sitegen.media.frames import Frame
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider


@dataclass(frozen=True, config=RULES)
class Process(ChosenKind):
    """The forward process on a real image above the inverse process, level by level."""

    recipe: ClassVar[int] = 2
    example: ClassVar[str] = '"NAME"'
    counts: ClassVar[str] = ""
    needs: ClassVar[tuple[Ability, ...]] = ("corrupt",)

    samples: Annotated[
        Samples,
        reject_if(
            lambda samples: (
                "should be one number, that of the sample which is made: [17]"
                if samples is not None and len(samples) != 1
                else None
            )
        ),
    ] = None
    texts: None = NO_TEXTS
    image: Annotated[
        OwnPicture | None,
        Field(
            description="A picture in the site's folder; the model card's example if not given.",
            json_schema_extra=FILE,
        ),
    ] = None
    columns: StrictInt = Field(default=6, ge=2, le=12, description="How many levels are shown.")
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """As many levels as columns, and a picture."""
        yield from super().unmet(cards)
        if self.image is None and cards[0].example is None:
            no_example = f"the card of {self.model} has no example"
            yield f"image is missing: {no_example}; name one of your pictures"
        levels = len(cards[0].visited_levels)
        if self.columns > levels:
            yield f"columns = {self.columns}: the model {self.model} has {levels} levels to show"

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of both rows; the lower one starts from the upper one's flat image."""
        import torch

        from sitegen.figures.clips import even_levels, made_with, noise_std_of
        from sitegen.figures.given import given_image
        from sitegen.figures.process.drawing import NARROW_MANY, process_drawing
        from sitegen.figures.svg import stills
        from sitegen.generative.maths.noise import Purpose, normal
        from sitegen.media.frames import to_uint8
        from sitegen.media.manifest import RenderJob

        sampler = self.sampler(models)
        card = sampler.card
        image, note = given_image(models, figure, card)
        levels = even_levels(card.visited_levels, self.columns)
        # One noise at all levels shows one path; heat is shown without.
        draws = normal(self.seed, Purpose.BRANCH, self.numbers, 0, card.shape)
        draws = torch.zeros_like(draws) if "blur" in card.abilities else draws
        states = [sampler.forward(image, level, draws) for level in levels]
        shown = [sampler.process.pixels(*pair) for pair in zip(states, levels, strict=True)]
        forward = torch.cat(shown).cpu().numpy()
        noise_std, noise = noise_std_of(self, card), sampler.noise(self.seed, self.numbers)
        trajectory = sampler.back(states[-1], levels[-1], noise, noise_std)
        pictures: dict[int, Frame] = {}

        def work() -> Iterator[None]:
            for level, images in trajectory.seen(self.show):
                if level in levels:
                    pictures[level] = to_uint8(images)[0]
                yield

        def draw(width: int) -> Drawing:
            upper, lower = list(to_uint8(forward)), [pictures[level] for level in levels]
            heat = "blur" in card.abilities
            return process_drawing(upper, lower, levels, width, pixelated=self.pixelated, heat=heat)

        axis = card.axis
        rows = [[level, float(axis.values[level])] for level in levels]
        columns = ["Level", f"{axis.symbol}{axis.unit and ', '}{axis.unit}"]
        if "blur" in card.abilities:
            rows = [[level, float(card.schedule[level])] for level in levels]
            columns = ["Level", "Blur scale, pixels"]
        table = {"caption": "The levels shown", "columns": columns, "rows": rows}
        return RenderJob(
            parameters=made_with(figure, noise_std, shown=levels),
            steps=card.steps + 1,
            work=work(),
            stills=stills(draw, narrow=self.columns <= NARROW_MANY),
            results=lambda: {"tables": [table]},
            note=note,
        )

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the two rows."""
        card = cards[0]
        forward = f"which takes an image to {card.first_state()}"
        start = "that state"
        if "blur" in card.abilities:
            forward = "heat dissipation, ∂u/∂t = Δu, blurs an image until it is flat"
            start = "that flat image"
        return (
            f"Two rows of {self.columns} pictures. The upper one, from left to right, is the "
            f"forward process{':' if start != 'that state' else ','} {forward}. The lower one, "
            f"from right to left, is the inverse process, generation: {named(self, card)} turns "
            f"{start} into a new one in {steps(card)}"
        )
