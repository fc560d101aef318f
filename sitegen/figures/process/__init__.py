"""The kind `process`: heat melts an image above, a model makes a new one below.

`sample` computes both rows and needs torch, `drawing` draws them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field, StrictInt, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from sitegen.core.site_files import SiteFolder
from sitegen.figures.base import (
    FILE,
    RULES,
    ChosenKind,
    Figure,
    NoiseStd,
    Seed,
    Show,
    named,
    steps,
)
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
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

    example: ClassVar[str] = '"NAME"'
    counts: ClassVar[str] = ""
    needs: ClassVar[tuple[Ability, ...]] = ("blur",)

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

    @field_validator("samples")
    @classmethod
    def _one(cls, samples: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if samples is not None and len(samples) != 1:
            raise ValueError("should be one number, that of the sample which is made: [17]")
        return samples

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
        """Return the job of both rows."""
        from sitegen.figures.process.sample import sample

        return sample(models, figure, self)

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the two rows."""
        return (
            f"Two rows of {self.columns} pictures. The upper one, from left to right, is the "
            "forward process: heat dissipation, ∂u/∂t = Δu, blurs an image until it is flat. The "
            "lower one, from right to left, is the inverse process, generation: "
            f"{named(self, cards[0])} turns that flat image into a new one in {steps(cards[0])}"
        )
