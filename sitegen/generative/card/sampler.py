"""Facts on an author's sampler in a model card, so that figures are planned without running it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from sitegen.generative.card.recording import Long, Short
from sitegen.generative.card.validation import PART, Flag, Incompatibilities, Number, checked


@checked("sampler")
@dataclass(frozen=True, config=PART)
class SamplerConfig:
    """Answers of an author's sampler: the `values` of the levels 0 … K, and what it can do.

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
    symbol: Short = "t"
    unit: Short = ""
    start: Annotated[Long, Field(min_length=1)] = "noise"
    random: Flag = True
    gaussian: Flag = False
    corrupts: Flag = False
    has_between: Flag = False
    predicts: Flag = False
    uses: Mapping[str, str] = Field(default_factory=dict)

    @staticmethod
    def incompatibilities(values: Mapping[str, Any]) -> Incompatibilities:
        """Yield a range without a width."""
        low, high = values.get("low"), values.get("high")
        if low is not None and high is not None and not low < high:
            yield "high", f"must be above low, {low}"
