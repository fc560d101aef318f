"""Recordings: the states of any sampler, from a file. Figures are planned from the card alone."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from sitegen.generative.card.abilities import Abilities, Ability, LevelAxis
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.parts import card_kind, per_level
from sitegen.generative.card.tables import RecordingConfig


@card_kind
class Recorded(ModelCard):
    """A recording. It has no network, and its states are those of the file."""

    kind: Literal["recording"] = "recording"
    recording: Annotated[RecordingConfig, per_level("values", 1)] = Field(
        description="what was recorded; `sitegen add NAME --recording FILE`"
    )

    label = "Recorded"

    @property
    def abilities(self) -> Abilities:
        """Abilities by the recorded arrays."""
        facts = self.recording
        recorded: dict[Ability, bool] = {
            "mean": "mean" in facts.shows,
            "final": "final" in facts.shows,
            "tree": bool(facts.splits),
            "fan": facts.one_start,
            "paths": facts.positions is not None,
        }
        return frozenset(ability for ability, is_there in recorded.items() if is_there)

    @cached_property
    def axis(self) -> LevelAxis:
        """The recorded axis."""
        return LevelAxis(self.recording.symbol, self.recording.unit, self.recording.values)

    def first_state(self, *, several: bool = False) -> str:
        """Return the first state in words."""
        one = "one recorded state" if self.recording.one_start else "recorded states"
        return one if several else "a recorded state"
