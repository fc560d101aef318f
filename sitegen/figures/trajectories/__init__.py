"""The kind `trajectories`: independent samples in a grid, from flat to sharp.

What may be asked stands here and knows no torch; `sample` makes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import RULES, FigureKind, Grid, counted, flat_squares, sampler_in, steps
from sitegen.generative.card.card import ModelCard


@validated(frozen=True, config=RULES)
class Trajectories(Grid):
    """Independent samples in a grid, from their flat initial states to the finished images."""

    example: ClassVar[str] = '"NAME", count=36'

    @property
    def model_kinds(self) -> tuple[tuple[str, ...], ...]:
        """A DDPM as well: so two methods can stand side by side."""
        return (("ihdm", "ddpm"),)

    def incompatibilities(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Sampling noise of a DDPM, whose schedule says how much there is."""
        if cards[0].kind == "ddpm" and self.sampling_noise_std is not None:
            noise = f"sampling_noise_std = {self.sampling_noise_std:g}"
            yield f"{noise}: the DDPM {self.model} has none; leave it out"

    def describe(self, card: ModelCard) -> str:
        """Say how many samples form, out of what, and over how many steps."""
        many = counted(self.count, self.display_name, card.subject, self.label)
        squares = flat_squares(card, self.count)
        flat = squares if self.count > 1 else f"a {squares}"
        start = "noise" if card.kind == "ddpm" else flat
        return f"{many} forming out of {start} over {steps(card)}"


KIND = FigureKind("trajectories", Trajectories, sampler_in(__name__))
