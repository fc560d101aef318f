"""Facts on a recording, or a sampler, in a model card: figures are planned without its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from sitegen.core.source import odd_character
from sitegen.generative.card.limits import MOST_LEVELS
from sitegen.generative.card.validation import (
    PART,
    Flag,
    Incompatibilities,
    Number,
    Word,
    checked,
    must,
)
from sitegen.record import MOST_SAMPLES

Short = Annotated[
    Word,
    must("at most 200 characters on one line", lambda v: len(v) <= 200 and v.isprintable()),
]
Long = Annotated[
    Word,
    must(
        "at most 1000 characters, without control characters",
        lambda v: len(v) <= 1000 and not odd_character(v),
    ),
]
_Level = Annotated[int, Strict(), Field(ge=1, le=MOST_LEVELS)]


@checked("recording")
@dataclass(frozen=True, config=PART)
class RecordingConfig:
    """What was recorded: `count` samples at the `values` of the levels 0 … K.

    `symbol` and `unit` are of the axis. `shows` lists what was recorded in addition to states:
    "mean", "final". `positions` is the number of points of each path, if the samples are paths.
    `splits` are the levels at which all samples split in two, if they are a tree; `one_start` says
    that all came from one state. `seed` and `made_with` are the author's. `finished` says that the
    run ended, `clipped` that states were stored as bytes, which clip what is beyond black and
    white, and `scaled` that they were multiplied by a factor that depends on the value.

    Raises ConfigError that names every value that is wrong.
    """

    values: tuple[Number, ...] = Field(description="the value of each level, from 0 to K")
    count: Annotated[int, Strict(), Field(ge=1, le=MOST_SAMPLES)] = Field(
        description="the number of finished samples"
    )
    symbol: Short = "t"
    unit: Short = ""
    shows: tuple[Literal["mean", "final"], ...] = ()
    positions: Annotated[int, Strict(), Field(ge=2, le=1000)] | None = None
    splits: tuple[_Level, ...] = ()
    one_start: Flag = False
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)] | None = None
    made_with: Long = ""
    finished: Flag = True
    clipped: Flag = False
    scaled: Flag = False

    LATER: ClassVar[Mapping[str, Any]] = {"finished": True, "clipped": False, "scaled": False}
    """Fields that older cards lack. At these values they are in no card's file, digest or key."""

    def remarks(self, states: bool) -> str:
        """Sentences for the caption of a figure that shows `states`, or predicted images only.

        They are empty for a complete run, stored as it was.
        """
        told = (
            "The recorded run did not end: the last pictures are of the last step that it recorded."
        )
        scaled = "Each recorded state was multiplied by a factor that depends on its step."
        return " ".join((told,) * (not self.finished) + (scaled,) * (states and self.scaled))

    def incompatibilities(self) -> Incompatibilities:
        """Splits that do not fall."""
        if list(self.splits) != sorted(set(self.splits), reverse=True):
            yield "splits", "must be levels that fall"

    def seed_fault(self, seed: int) -> str:
        """Return why there are no samples of a seed; empty for the recorded one, and for 0."""
        known = "does not say its seed" if self.seed is None else f"has the seed {self.seed}"
        return "" if seed in (0, self.seed) else known


@checked("sampler")
@dataclass(frozen=True, config=PART)
class SamplerConfig:
    """Answers of an author's sampler: the `values` of the levels 0 … K, and what it can do.

    name: its class
    symbol, unit: of the axis
    start: the first state in words
    low, high: the numbers for black and white
    random: whether a step depends on its normal numbers
    gaussian: whether the first state is a multiple of its normal numbers
    corrupts, has_between: whether it has the methods `corrupt` and `between`
    predicts: whether a step returns a predicted image
    uses: digests of the files that it names, by path

    Raises ConfigError that names every value that is wrong.
    """

    values: Annotated[tuple[Number, ...], Field(description="the value of each level, from 0 to K")]
    low: Number
    high: Number
    name: Short = ""
    symbol: Short = "t"
    unit: Short = ""
    start: Annotated[Long, Field(min_length=1)] = "noise"
    random: Flag = True
    gaussian: Flag = False
    corrupts: Flag = False
    has_between: Flag = False
    predicts: Flag = False
    uses: Mapping[str, str] = Field(default_factory=dict)

    def incompatibilities(self) -> Incompatibilities:
        """Yield a range without a width."""
        if not self.low < self.high:
            yield "high", f"must be above low, {self.low:g}"
