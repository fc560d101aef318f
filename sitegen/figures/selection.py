"""Arguments and text for samples that an author chose by number, and for the number to choose from.

Authors do not show the first thirty-six samples. An author who chooses declares it in the call, and
the page states it to the reader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field, StrictInt, ValidationInfo

from sitegen.core.validation import reject_if

UNDRAWN = {"drawn": False}
"""Mark of fields that are only shown on the page, decide no byte and are not part of the key."""
MOST = 10_000
"""Samples in one figure."""
LARGEST = 2**31 - 1
"""The largest number of a sample."""


def _numbers_fault(samples: tuple[int, ...] | None) -> str | None:
    """Return the error in the numbers of chosen samples, if any."""
    if samples is None:
        return None
    if not 1 <= len(samples) <= MOST:
        return f"should be 1 to {MOST} numbers of samples, as in [3, 17, 40]"
    if odd := [number for number in samples if not 0 <= number <= LARGEST]:
        return f"{odd[0]} is no number of a sample; they are from 0 to {LARGEST}"
    often, times = Counter(samples).most_common(1)[0]
    return f"{often} is there twice" if times > 1 else None


Samples = Annotated[
    tuple[StrictInt, ...] | None,
    reject_if(_numbers_fault),
    Field(description="The numbers of the samples of the seed, where they are chosen."),
]


def _require_choice(chosen_from: int | None, info: ValidationInfo) -> int | None:
    """Validate `chosen_from`, which follows `samples`: ValueError unless all are among them.

    The numbers of `chosen_from` samples are 0 … chosen_from - 1.
    """
    if chosen_from is None or "samples" not in info.data:  # the samples themselves are at fault
        return chosen_from
    samples: Sequence[int] | None = info.data["samples"]
    if samples is None:
        raise ValueError("says from how many samples were chosen; say which: samples=(3, 17, 40)")
    if chosen_from <= max(samples):
        raise ValueError(
            f"sample {max(samples)} is not among the first {chosen_from}, which count from 0; "
            f"should be at least {max(samples) + 1}"
        )
    return chosen_from


ChosenFrom = Annotated[
    StrictInt | None,
    Field(
        ge=1,
        le=LARGEST,
        description="How many samples were looked at to choose; the page says so.",
        json_schema_extra=UNDRAWN,
    ),
    AfterValidator(_require_choice),
]


def selection_note(samples: Sequence[int] | None, chosen_from: int | None) -> str:
    """Return a sentence that the samples were chosen, and from how many; empty if they were not."""
    if samples is None:
        return ""
    one = len(samples) == 1
    if chosen_from is None:
        return "The sample was chosen by hand." if one else "The samples were chosen by hand."
    if chosen_from <= len(samples):
        return ""  # all there are
    return f"Chosen from {chosen_from} samples."
