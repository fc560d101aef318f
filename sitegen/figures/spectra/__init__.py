"""The kind `spectra`: power over frequency along the generation.

The arguments are here and need no torch; `sample` measures, `drawing` uses only numbers.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import RULES, FigureKind, NoiseStd, Seed, Show, sampler_in
from sitegen.figures.compared import ComparedSpec
from sitegen.figures.constants import DRAWINGS, METHODS
from sitegen.generative.card.card import ModelCard


@validated(frozen=True, config=RULES)
class Spectra(ComparedSpec):
    """Radially averaged power spectra of the states along the generation."""

    recipe: ClassVar[int] = 4
    constants: ClassVar[tuple[str, ...]] = (DRAWINGS, METHODS, f"{__name__}.look")

    count: StrictInt = Field(
        default=32, ge=1, le=10_000, description="How many samples a spectrum is the mean of."
    )
    levels: StrictInt = Field(
        default=8, ge=2, le=20, description="How many levels of each model are drawn."
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None

    def describe(self, card: ModelCard) -> str:
        """Describe the plotted quantities and their axes."""
        other = f", those of the DDPM {self.ddpm}, dashed," if self.ddpm else ""
        floor = (
            ", and, dotted, the sampling noise δ²"
            if self.show == "state" and card.noise_std is not None
            else ""
        )
        many = "one sample" if self.count == 1 else f"{self.count} samples"
        data = " and that of the data" if "prior" in card.abilities else ""
        whole = card.recording is None or card.recording.finished
        last = "finished image" if whole else "last one recorded"
        return (
            f"Power spectra of {many} at several levels, from the first state to the {last}, "
            "which is drawn strongest; power over frequency, both logarithmic: those of "
            f"{self.named(card)}{other}{data}{floor}"
        )

    def method(self, card: ModelCard) -> str:
        """Say where the power of recorded states is not that of the sampler's."""
        clipped = card.recording is not None and card.recording.clipped
        return CLIPPED if clipped else ""


CLIPPED = (
    "The states were recorded as bytes, which clip what is beyond black and white: the power of "
    "noise may have been higher."
)


KIND = FigureKind("spectra", Spectra, sampler_in(__name__))
