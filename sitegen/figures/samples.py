"""Which samples a figure shows: arguments, checks and text for their numbers and their labels.

Authors do not show the first thirty-six samples. An author who chooses declares it in the call, and
the page states it to the reader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationInfo,
)

from sitegen.core.diagnostics import listed
from sitegen.core.errors import ConfigError
from sitegen.core.validation import reject_if
from sitegen.generative.card.labels import Condition

if TYPE_CHECKING:
    from sitegen.generative.card.card import ModelCard

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


ALL = ("all",)
"""All labels of a model."""
MOST_NAMED = 12
"""Labels that a text alternative lists."""
UNSET: dict[str, Any] = {"labels": None, "guidance": 0.0, "steps": None, "sampler_name": None}
"""The arguments of figures that sample as the model's card says, whose keys do not have them."""


Labels = Annotated[
    Annotated[tuple[StrictInt | StrictStr, ...], Field(min_length=1, max_length=10_000)] | None,
    BeforeValidator(lambda labels: (labels,) if isinstance(labels, str | int) else labels),
    Field(
        description=(
            'The classes of the samples, by name or number: one for all, one for each, or "all".'
        )
    ),
]
Guidance = Annotated[
    StrictFloat,
    Field(
        ge=0,
        le=50,
        description="Classifier-free guidance w towards the labels, which doubles the time.",
    ),
]
Steps = Annotated[
    Annotated[StrictInt, Field(ge=1, le=10_000)] | None,
    Field(description="The number of steps, in place of the card's, evenly spaced."),
]
SamplerName = Annotated[
    Literal["ddpm", "ddim", "euler", "heun", "midpoint", "dpm++", "dpm++2m"] | None,
    Field(description="The sampler of a DDPM, a flow or EDM, in place of the card's."),
]


class Labelled(Protocol):
    """A kind of figure, as far as its labels go; `FigureKind` has the arguments."""

    @property
    def model(self) -> str:
        """The name of its model."""

    @property
    def labels(self) -> tuple[int | str, ...] | None:
        """The labels in the call; None if it has none."""

    @property
    def guidance(self) -> float:
        """The guidance towards them."""

    def slots(self, card: ModelCard) -> int:
        """Return the number of samples that may have labels of their own."""


def classes(kind: Labelled, card: ModelCard) -> tuple[int, ...]:
    """Return the numbers of the labels in a call; raises ConfigError for one that is not there."""
    if kind.labels is None or card.labels is None:
        return ()
    if kind.labels == ALL:
        return tuple(range(len(card.labels.names)))
    return tuple(card.labels.number(label) for label in kind.labels)


def condition(kind: Labelled, card: ModelCard) -> Condition | None:
    """Return the labels of a figure's samples, which have those of the call in turn."""
    chosen = classes(kind, card)
    if len(chosen) < 2:
        return Condition(chosen, kind.guidance) if chosen else None
    count = kind.slots(card)
    return Condition(tuple(chosen[at % len(chosen)] for at in range(count)), kind.guidance)


def texts(kind: Labelled, card: ModelCard) -> tuple[str, ...]:
    """Return the texts under a figure's samples, recorded or the names of their labels.

    They are empty if all samples have the same label.
    """
    if card.recording is not None and card.recording.captions:
        captions = card.recording.captions
        return tuple(
            captions[at] if at < len(captions) else "" for at in getattr(kind, "numbers", ())
        )
    found = condition(kind, card)
    if found is None or card.labels is None or len(found.labels) < 2:
        return ()
    return tuple(card.labels.names[label] for label in found.labels)


def described(kind: Labelled, card: ModelCard) -> str:
    """Return the end of a sentence with the labels of a figure's samples; empty without."""
    chosen = classes(kind, card)
    if card.recording is not None and (captions := texts(kind, card)):
        return f": {listed([*dict.fromkeys(captions)][:MOST_NAMED], 'and')}"
    if not chosen or card.labels is None:
        return ""
    names = [card.labels.names[label] for label in dict.fromkeys(chosen)]
    shown = names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], "more"]
    return f", of the class{'es' if len(names) > 1 else ''} {listed(shown, 'and')}"


def faults(kind: Labelled, card: ModelCard) -> Iterator[str]:
    """Yield what is wrong with the labels of a figure for its model."""
    config, name = card.labels, kind.model
    if kind.labels is None:
        if kind.guidance:
            yield f"guidance = {kind.guidance:g}: goes towards labels; give labels, too"
        elif config is not None and not config.optional:
            yield f"labels is missing: the model {name} draws by label only: {config.listed}"
        return
    if config is None:
        yield f"labels: the model {name} takes none; leave them out"
        return
    if kind.guidance and not config.optional:
        yield f"guidance = {kind.guidance:g}: the model {name} never draws without a label"
    try:
        chosen = len(classes(kind, card))
    except ConfigError as error:
        yield f"labels: {error}"
        return
    if kind.slots(card) % chosen:
        yield f"labels: {chosen} for {kind.slots(card)} samples; give one for all, or one for each"
