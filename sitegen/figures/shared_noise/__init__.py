"""The kind `shared_noise`: identical noises from different initial states.

The arguments are here and need no torch; `sample` computes and measures the figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import (
    RULES,
    ChosenSpec,
    FigureKind,
    Fps,
    GridLayout,
    NoiseStd,
    Seed,
    Show,
    counted,
    lacking,
    sampler_in,
    steps,
)
from sitegen.figures.constants import COLOURS, FILM, LABELS, NARROW, STILLS
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard

WORDS = {
    "brightness": "brightness",
    "colour": "colour",
    "hue": "colours all around the colour circle",
}
"""Properties in which initial states differ, in words."""


@validated(frozen=True, config=RULES)
class SharedNoise(ChosenSpec):
    """The same noises from different initial states.

    States made of images differ in brightness or colour; others are those of samples 0, 1, 2, …
    """

    recipe: ClassVar[int] = 3
    example: ClassVar[str] = '"NAME", count=5, rows=3'
    distinct_states: ClassVar[bool] = True
    cell_numbers: ClassVar[Literal["", "cells", "rows"]] = "rows"
    counts: ClassVar[str] = "rows"
    needs: ClassVar[tuple[Ability, ...]] = ("random",)
    constants: ClassVar[tuple[str, ...]] = (FILM, STILLS, COLOURS, LABELS, NARROW)

    count: StrictInt = Field(default=5, ge=2, le=100, description="How many initial states.")
    rows: StrictInt = Field(
        default=1, ge=1, le=100, description="How many noises, each in a row of its own."
    )
    vary: Literal["brightness", "colour", "hue"] | None = Field(
        default=None,
        description=(
            "What the initial states differ in: hue goes around the colour circle, colour along "
            "the axis on which the data differ most; colour where the model has it. Only for "
            "initial states that were made of images."
        ),
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None
    fps: Fps = None

    @property
    def images(self) -> int:
        """Number of pairs of a state and a noise."""
        return self.count * self.rows

    @property
    def layout(self) -> GridLayout:
        """A column for each initial state, a row for each noise."""
        return GridLayout(self.images, self.count, self.count)

    def varied(self, card: ModelCard) -> str:
        """Return the property in which the initial states differ; empty if they are all random."""
        if "prior" not in card.abilities:
            return ""
        return self.vary or ("colour" if card.channels == 3 else "brightness")

    def incompatibilities(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Yield a message if the model's initial states cannot vary so."""
        if self.vary and (fault := lacking(self.model, cards[0], ("prior",))):
            yield f'vary = "{self.vary}": {fault}; leave it out'
        elif self.vary in ("colour", "hue") and cards[0].channels == 1:
            yield f'vary = "{self.vary}": the model {self.model} makes grey images'

    def describe(self, card: ModelCard) -> str:
        """Describe the shared and the varied parts."""
        many = counted(self.count, self.display_name, card, self.label)
        many = f"{self.rows} rows of {many}" if self.rows > 1 else many
        each = "those of a row share" if self.rows > 1 else "all share"
        if not (varied := self.varied(card)):
            return (
                f"{many} forming over {steps(card)}; {each} the noise of the steps, and each "
                f"column begins from another initial state: {card.first_state(2)}. In the "
                "strip the initial states are the first row, and the samples stand below"
            )
        squares = "flat grey squares" if card.channels == 1 else "flat squares"
        return (
            f"{many} forming over {steps(card)}; {each} their noise, "
            f"and begin from {squares} of different {WORDS[varied]}. "
            "In the strip those squares, u_K, are the first row, and the samples, u_0, stand below"
        )


KIND = FigureKind("shared_noise", SharedNoise, sampler_in(__name__))
