"""Arguments for class labels: types, checks, and the condition of a figure's samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, StrictFloat, StrictInt, StrictStr

from sitegen.core.diagnostics import listed
from sitegen.core.errors import ConfigError
from sitegen.generative.card.labels import Condition

if TYPE_CHECKING:
    from sitegen.figures.base import FigureKind
    from sitegen.generative.card.card import ModelCard

ALL = ("all",)
"""All labels of a model."""
MOST_NAMED = 12
"""Labels that a text alternative lists."""
UNSET: dict[str, Any] = {"labels": None, "guidance": 0.0}
"""The arguments of figures without labels, whose keys do not have them."""


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


def classes(kind: FigureKind, card: ModelCard) -> tuple[int, ...]:
    """Return the numbers of the labels in a call; raises ConfigError for one that is not there."""
    if kind.labels is None or card.labels is None:
        return ()
    if kind.labels == ALL:
        return tuple(range(len(card.labels.names)))
    return tuple(card.labels.number(label) for label in kind.labels)


def condition(kind: FigureKind, card: ModelCard) -> Condition | None:
    """Return the labels of a figure's samples, which have those of the call in turn."""
    chosen = classes(kind, card)
    if len(chosen) < 2:
        return Condition(chosen, kind.guidance) if chosen else None
    count = kind.slots(card)
    return Condition(tuple(chosen[at % len(chosen)] for at in range(count)), kind.guidance)


def texts(kind: FigureKind, card: ModelCard) -> tuple[str, ...]:
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


def described(kind: FigureKind, card: ModelCard) -> str:
    """Return the end of a sentence with the labels of a figure's samples; empty without."""
    chosen = classes(kind, card)
    if card.recording is not None and (captions := texts(kind, card)):
        return f": {listed([*dict.fromkeys(captions)][:MOST_NAMED], 'and')}"
    if not chosen or card.labels is None:
        return ""
    names = [card.labels.names[label] for label in dict.fromkeys(chosen)]
    shown = names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], "more"]
    return f", of the class{'es' if len(names) > 1 else ''} {listed(shown, 'and')}"


def faults(kind: FigureKind, card: ModelCard) -> Iterator[str]:
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
