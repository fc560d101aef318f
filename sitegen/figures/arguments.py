"""The arguments that several kinds of figures take, with their checks.

Authors do not show the first thirty-six samples. An author who chooses declares it in the call, and
the page states it to the reader.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    ValidationInfo,
)

from sitegen.core.diagnostics import close_match, known_words
from sitegen.core.installed import shipped_models
from sitegen.core.site_files import SiteFolder
from sitegen.core.validation import READABLE, Slug, reject_if, reject_with

if TYPE_CHECKING:
    from sitegen.generative.card.card import ModelCard

UNDRAWN = {"drawn": False}
"""Mark of fields that are only shown on the page, decide no byte and are not part of the key."""
OTHER_LABELS = ("DDPM", "DDIM", "Full DDPM latent", "data")
"""Names of the other methods in figures that compare; a label there must not be one of them."""

RULES = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)
"""Rules for arguments; pydantic builds a kind when it is called first, 70 ms less in each build."""
FILE = {"file": True}
"""Mark of fields that name a file in the site, whose content is part of the key."""


def _in_site(name: str, info: ValidationInfo) -> str:
    """Reject a name that is not a file in the folder of the site, which is pydantic's context."""
    root = (info.context or {}).get("root")
    if root is not None:
        SiteFolder(Path(root)).find(name)
    return name


OwnPicture = Annotated[str, AfterValidator(_in_site)]
"""A picture in the folder of the site."""


def no_such_model(name: str, models: Collection[str]) -> str:
    """Return the error that `site.toml` lacks a model, with a hint: a shipped or similar one."""
    shipped = shipped_models()
    if name in shipped:
        lines = f'[models.{name}] and path = "models/{name}"'
        more = f", but it travels with sitegen: run `sitegen add {name}`, or write there {lines}"
    elif (near := close_match(name, shipped)) and not close_match(name, models):
        more = f"{near} It travels with sitegen: `sitegen add` and its name"
    else:
        more = known_words(name, models)
    return f"no such model in site.toml{more}"


ModelName = Annotated[
    Slug,
    # The models of the site travel as pydantic's context.
    reject_with(
        lambda name, info: (
            no_such_model(name, info.context["models"])
            if info.context and name not in (info.context.get("models") or (name,))
            else None
        )
    ),
]
Model = Annotated[ModelName, Field(description="The name of the model in site.toml.")]
_LABEL = re.compile(r"[!-^`-~]([ -^`-~]{0,22}[!-^`-~])?")  # printable ASCII without _


def label_fault(label: str) -> str | None:
    """Return what is wrong with a label; None if nothing is."""
    short = "should be 1 to 24 letters A-Z or a-z, digits and marks, without _"
    return None if _LABEL.fullmatch(label) else short


_LABEL_RULE = reject_if(lambda label: None if label is None else label_fault(label))
_LABEL_MEANING = 'What the method is called in the figure and its text, as in "Ours".'
Label = Annotated[
    StrictStr | None, _LABEL_RULE, Field(description=_LABEL_MEANING, json_schema_extra=UNDRAWN)
]
DrawnLabel = Annotated[StrictStr | None, _LABEL_RULE, Field(description=_LABEL_MEANING)]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**63, description="The seed of everything random.")]
Baseline = Annotated[
    ModelName | None, Field(description="The name of a DDPM of the same data, to compare with.")
]
Show = Annotated[
    Literal["state", "mean", "final"],
    Field(description="What a level shows: the noisy state, its mean or the predicted image."),
]
SHOWN = {"mean": "the mean of the state", "final": "the predicted image"}
"""Values of `show` in text, except the state."""
NoiseStd = Annotated[
    StrictFloat | None,
    Field(ge=0, le=1, description="The sampling noise; the model card's if not given."),
]
DdimSteps = Annotated[
    StrictInt, Field(ge=1, le=1000, description="Steps of the DDIM that samples the DDPM.")
]
Fps = Annotated[StrictFloat | None, Field(ge=1, le=60, description="Frames a second.")]

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
UNSET: dict[str, Any] = {
    "addresses": None,
    "labels": None,
    "guidance": 0.0,
    "steps": None,
    "sampler_name": None,
    "texts": None,
    "images": None,
    "level": None,
}
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
Texts = Annotated[
    Annotated[
        tuple[Annotated[str, StringConstraints(max_length=200), READABLE], ...],
        Field(min_length=1, max_length=MOST),
    ]
    | None,
    Field(description="A text under each sample; captions or labels if not given."),
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
    Literal["ddpm", "ddim", "euler", "heun", "midpoint", "dpmpp", "dpmpp2m"] | None,
    Field(description="The sampler of a DDPM, a flow or EDM, in place of the card's."),
]


def classes(labels: tuple[int | str, ...] | None, card: ModelCard) -> tuple[int, ...]:
    """Return the numbers of the labels in a call; raises ConfigError for one that is not there."""
    if labels is None or card.labels is None:
        return ()
    if labels == ALL:
        return tuple(range(len(card.labels.names)))
    return tuple(card.labels.number(label) for label in labels)
