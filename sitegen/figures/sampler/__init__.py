"""The kind `sampler`: the model itself in the page, which draws for whoever presses a button."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import RULES, ChosenSpec, FigureKind, Seed, counted, sampler_in
from sitegen.figures.views import live_view
from sitegen.ihdm.card.card import ModelCard


@validated(frozen=True, config=RULES)
class PageSampler(ChosenSpec):
    """A button that draws new samples in the visitor's browser, beneath a poster of some."""

    count: StrictInt = Field(default=9, ge=1, le=64, description="How many samples the poster has.")
    seed: Seed = 0

    def misfits(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Networks that a browser's sampler does not have."""
        from sitegen.ihdm.checkpoints.browser import lacking  # brings numpy

        for words in lacking(cards[0]):
            yield f"the model {self.model} has {words}, which the sampler in a page does not have"

    def describe(self, card: ModelCard) -> str:
        """Say what the poster shows."""
        return f"{counted(self.count, self.known_as, card.subject)}, drawn when this page was made"


KIND = FigureKind("sampler", PageSampler, sampler_in(__name__), live_view)
