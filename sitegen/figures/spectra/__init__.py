"""The kind `spectra`: power over frequency along the generation.

`sample` measures and needs torch, `drawing` uses only numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from sitegen.figures.base import RULES, Figure, NoiseStd, Seed, Show, named
from sitegen.figures.compared import ComparedKind
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.sampling.provider import ModelProvider


@dataclass(frozen=True, config=RULES)
class Spectra(ComparedKind):
    """Radially averaged power spectra of the states along the generation."""

    count: StrictInt = Field(
        default=32, ge=1, le=10_000, description="How many samples a spectrum is the mean of."
    )
    levels: StrictInt = Field(
        default=8, ge=2, le=20, description="How many levels of each model are drawn."
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of the spectra of a model, of a DDPM, and of the data if known."""
        from sitegen.figures.spectra.sample import sample

        return sample(models, figure, self)

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the plotted quantities and their axes."""
        card = cards[0]
        other = f", those of the DDPM {self.ddpm}, dashed," if self.ddpm else ""
        floor = (
            ", and, dotted, the sampling noise δ²"
            if self.show == "state" and card.noise_std is not None
            else ""
        )
        samples = "one sample" if self.count == 1 else f"{self.count} samples"
        data = " and that of the data" if "prior" in card.abilities else ""
        whole = card.recording is None or card.recording.finished
        last = "finished image" if whole else "last one recorded"
        return (
            f"Power spectra of {samples} at several levels, from the first state to the {last}, "
            "which is drawn strongest; power over frequency, both logarithmic: those of "
            f"{named(self, card)}{other}{data}{floor}"
        )
