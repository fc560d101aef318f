"""The kind `process`: heat melts an image above, a model makes a new one below.

The arguments are here and need no torch; `sample` computes both rows, `drawing` draws them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, StrictInt, ValidationInfo
from pydantic import field_validator as check
from pydantic.dataclasses import dataclass as validated

from sitegen.core.site_files import SiteFolder
from sitegen.figures.base import (
    RULES,
    ChosenSpec,
    FigureKind,
    NoiseStd,
    Seed,
    Show,
    sampler_in,
    steps,
)
from sitegen.figures.constants import DRAWINGS
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard


def _in_site(name: str, info: ValidationInfo) -> str:
    """Reject a name that is not a file in the folder of the site, which is pydantic's context."""
    root = (info.context or {}).get("root")
    if root is not None:
        SiteFolder(Path(root)).find(name)
    return name


OwnPicture = Annotated[str, AfterValidator(_in_site)]


@validated(frozen=True, config=RULES)
class Process(ChosenSpec):
    """The forward process on a real image above the inverse process, level by level."""

    recipe: ClassVar[int] = 4
    example: ClassVar[str] = '"NAME", image="FILE.png"'
    counts: ClassVar[str] = ""
    needs: ClassVar[tuple[Ability, ...]] = ("blur",)
    constants: ClassVar[tuple[str, ...]] = (DRAWINGS, f"{__name__}.look")

    image: Annotated[
        OwnPicture | None,
        Field(description="A picture in the site's folder; the model card's example if not given."),
    ] = None
    columns: StrictInt = Field(default=6, ge=2, le=12, description="How many levels are shown.")
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None

    @check("samples")
    @classmethod
    def _one(cls, samples: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if samples is not None and len(samples) != 1:
            raise ValueError("should be one number, that of the sample which is made: [17]")
        return samples

    @property
    def files(self) -> tuple[str, ...]:
        """The author's picture."""
        return ("image",)

    @property
    def needs_example(self) -> bool:
        """Return whether the author named no picture."""
        return self.image is None

    def incompatibilities(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """More columns than there are levels."""
        levels = len(cards[0].visited_levels)
        if self.columns > levels:
            yield f"columns = {self.columns}: the model {self.model} has {levels} levels to show"

    def describe(self, card: ModelCard) -> str:
        """Describe the two rows."""
        return (
            f"Two rows of {self.columns} pictures. The upper one, from left to right, is the "
            "forward process: heat dissipation, ∂u/∂t = Δu, blurs an image until it is flat. The "
            "lower one, from right to left, is the inverse process, generation: "
            f"{self.named(card)} turns that flat image into a new one in {steps(card)}"
        )


KIND = FigureKind("process", Process, sampler_in(__name__))
