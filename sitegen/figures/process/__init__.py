"""The kind `process`: heat melts an image above, a model makes a new one below.

`picture` reads the image that melts, `drawing` draws both rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field, StrictInt, ValidationInfo
from pydantic.dataclasses import dataclass

from sitegen.core.site_files import SiteFolder
from sitegen.core.validation import reject_if
from sitegen.figures.arguments import FILE, RULES, NoiseStd, Samples, Seed, Show
from sitegen.figures.base import NO_TEXTS, ChosenKind, Figure, named, steps
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.figures.svg import Drawing
    from sitegen.media.frames import Frame
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider


def _in_site(name: str, info: ValidationInfo) -> str:
    """Reject a name that is not a file in the folder of the site, which is pydantic's context."""
    root = (info.context or {}).get("root")
    if root is not None:
        SiteFolder(Path(root)).find(name)
    return name


OwnPicture = Annotated[str, AfterValidator(_in_site)]


@dataclass(frozen=True, config=RULES)
class Process(ChosenKind):
    """The forward process on a real image above the inverse process, level by level."""

    recipe: ClassVar[int] = 2
    example: ClassVar[str] = '"NAME"'
    counts: ClassVar[str] = ""
    needs: ClassVar[tuple[Ability, ...]] = ("blur",)

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
        from sitegen.figures.process.drawing import NARROW_MANY, process_drawing
        from sitegen.figures.process.picture import read_example, read_image
        from sitegen.figures.svg import stills
        from sitegen.generative.maths.heat import dissipate
        from sitegen.generative.maths.noise import independent
        from sitegen.media.frames import to_uint8
        from sitegen.media.manifest import RenderJob

        sampler = self.sampler(models)
        card, device = sampler.card, sampler.model.device
        if self.image:
            image = read_image(figure.root / self.image, card, figure.read("image"))
        else:
            image = read_example(models.source(self.model))
        levels = even_levels(card.visited_levels, self.columns)
        sigmas = torch.tensor([card.schedule[level] for level in levels], dtype=torch.float64)
        forward = dissipate(image.expand(len(levels), -1, -1, -1), sigmas)
        noise_std = noise_std_of(self, card)
        noise = independent(self.seed, self.numbers, card.shape)
        trajectory = sampler.run(forward[-1:].float().to(device), noise, noise_std)
        pictures: dict[int, Frame] = {}

        def work() -> Iterator[None]:
            for level, images in trajectory.seen(self.show):
                if level in levels:
                    pictures[level] = to_uint8(images)[0]
                yield

        def draw(width: int) -> Drawing:
            upper, lower = list(to_uint8(forward.numpy())), [pictures[level] for level in levels]
            return process_drawing(upper, lower, levels, width, pixelated=self.pixelated)

        rows = [[level, float(sigma)] for level, sigma in zip(levels, sigmas.tolist(), strict=True)]
        columns = ["Level", "Blur scale, pixels"]
        table = {"caption": "The levels shown", "columns": columns, "rows": rows}
        return RenderJob(
            parameters=made_with(figure, noise_std, shown=levels),
            steps=card.steps + 1,
            work=work(),
            stills=stills(draw, narrow=self.columns <= NARROW_MANY),
            results=lambda: {"tables": [table]},
        )

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the two rows."""
        return (
            f"Two rows of {self.columns} pictures. The upper one, from left to right, is the "
            "forward process: heat dissipation, ∂u/∂t = Δu, blurs an image until it is flat. The "
            "lower one, from right to left, is the inverse process, generation: "
            f"{named(self, cards[0])} turns that flat image into a new one in {steps(cards[0])}"
        )
