"""Recordings: the states of any sampler, from a file. Figures are planned from the card alone."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, Strict, ValidationInfo, field_validator

from sitegen.core.source import odd_character
from sitegen.generative.card.abilities import Abilities, Ability, LevelAxis
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.limits import MOST_LEVELS
from sitegen.generative.card.parts import Flag, Number, Short, Word, card_kind, must, table
from sitegen.record import MOST_SAMPLES

Long = Annotated[
    Word,
    must(
        "at most 1000 characters, without control characters",
        lambda v: len(v) <= 1000 and not odd_character(v),
    ),
]
_Level = Annotated[int, Strict(), Field(ge=1, le=MOST_LEVELS)]


@table
class RecordingConfig:
    """What was recorded: `count` samples at the `values` of the levels 0 … K.

    `symbol` and `unit` are of the axis. `shows` lists what was recorded in addition to states:
    "mean", "final". `positions` is the number of points of each path, if the samples are paths.
    `splits` are the levels at which all samples split in two, if they are a tree; `one_start` says
    that all came from one state. `seed` and `made_with` are the author's. `finished` says that the
    run ended, `clipped` that states were stored as bytes, which clip what is beyond black and
    white, and `scaled` that they were multiplied by a factor that depends on the value.
    """

    values: tuple[Number, ...] = Field(description="the value of each level, from 0 to K")
    count: Annotated[int, Strict(), Field(ge=1, le=MOST_SAMPLES)] = Field(
        description="the number of finished samples"
    )
    symbol: Short = "t"
    unit: Short = ""
    shows: tuple[Literal["mean", "final"], ...] = ()
    positions: Annotated[int, Strict(), Field(ge=2, le=1000)] | None = None
    splits: Annotated[
        tuple[_Level, ...],
        must("levels that fall", lambda v: list(v) == sorted(set(v), reverse=True)),
    ] = ()
    one_start: Flag = False
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)] | None = None
    made_with: Long = ""
    finished: Flag = True
    clipped: Flag = False
    scaled: Flag = False

    def remarks(self, states: bool) -> str:
        """Sentences for the caption of a figure that shows `states`, or predicted images only.

        They are empty for a complete run, stored as it was.
        """
        unfinished = (
            "The recorded run did not end: the last pictures are of the last step that it recorded."
        )
        scaled = "Each recorded state was multiplied by a factor that depends on its step."
        return " ".join((unfinished,) * (not self.finished) + (scaled,) * (states and self.scaled))

    def seed_fault(self, seed: int) -> str:
        """Return why there are no samples of a seed; empty for the recorded one, and for 0."""
        fault = "does not say its seed" if self.seed is None else f"has the seed {self.seed}"
        return "" if seed in (0, self.seed) else fault


@card_kind
class Recorded(ModelCard):
    """A recording. It has no network, and its states are those of the file."""

    kind: Literal["recording"] = "recording"
    recording: RecordingConfig = Field(
        description="what was recorded; `sitegen add NAME --recording FILE`"
    )

    label = "Recorded"

    @field_validator("recording")
    @classmethod
    def _has_levels(cls, recording: RecordingConfig, info: ValidationInfo) -> RecordingConfig:
        require_values(recording.values, info)
        return recording

    @property
    def abilities(self) -> Abilities:
        """What was recorded."""
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

    def first_state(self, count: int) -> str:
        """Return the first state in words."""
        one = "one recorded state" if self.recording.one_start else "recorded states"
        return one if count > 1 else "a recorded state"


def require_values(values: tuple[float, ...], info: ValidationInfo) -> None:
    """Raise ValueError unless there is a value for each level of a card that is validated."""
    levels = info.data.get("levels")
    if levels is not None and len(values) != levels + 1:
        raise ValueError(
            f"values has {len(values)} numbers; level 0 and {levels} levels make {levels + 1}"
        )
