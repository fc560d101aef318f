"""The base of all kinds of figures, and the arguments that several kinds take."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass as validated
from pydantic_core import ArgsKwargs

from sitegen.core.diagnostics import SourceLocation, close_match, fields_of, known_words
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import digest_bytes, platform_errors
from sitegen.core.installed import shipped_models
from sitegen.core.validation import Slug, reject_if, reject_with
from sitegen.figures.samples import (
    ALL,
    UNDRAWN,
    UNSET,
    ChosenFrom,
    Guidance,
    Labels,
    SamplerName,
    Samples,
    Steps,
    condition,
    described,
    faults,
    selection_note,
)
from sitegen.generative.card.abilities import ABILITIES, Ability
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.models import Sampler
    from sitegen.sampling.provider import ModelProvider

OTHER_LABELS = ("DDPM", "DDIM", "Full DDPM latent", "data")
"""Names of the other methods in figures that compare; a label there must not be one of them."""

RULES = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)
"""Rules for arguments; pydantic builds a kind when it is called first, 70 ms less in each build."""
FILE = {"file": True}
"""Mark of fields that name a file in the site, whose content is part of the key."""


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
    StrictStr | None,
    _LABEL_RULE,
    Field(description=_LABEL_MEANING, json_schema_extra=UNDRAWN),
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


@validated(frozen=True, config=RULES)
class FigureKind:
    """A kind of figure; its fields are the arguments of a call.

    needs: abilities, of `ABILITIES`, that the process of the model must have
    example: arguments, as in a call, that show the kind at its best with a model named NAME
    recipe: raised when a change of the code changes what a call of the kind makes
    """

    needs: ClassVar[tuple[Ability, ...]] = ()
    example: ClassVar[str] = '"NAME"'
    recipe: ClassVar[int] = 1

    model: Model
    label: Label = Field(default=None, kw_only=True)
    pixelated: StrictBool = Field(
        default=False,
        kw_only=True,
        description="Whether pictures are enlarged as squares, a square a pixel, not smoothly.",
    )
    labels: Labels = Field(default=None, kw_only=True)
    guidance: Guidance = Field(default=0.0, kw_only=True)
    steps: Steps = Field(default=None, kw_only=True)
    sampler_name: SamplerName = Field(default=None, kw_only=True)

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return a job that samples the figure with the site's models, and draws it."""
        raise NotImplementedError

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Return one sentence without a full stop, for readers who cannot see the figure.

        `cards` are those of `models`. The default is the first line of the kind's docstring.
        """
        first_line = (type(self).__doc__ or type(self).__name__).splitlines()[0].rstrip(".")
        return f"{first_line}, of {named(self, cards[0])}" if cards else first_line

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Yield what the models lack, and which arguments do not fit them; call super's first."""
        if not cards:
            return
        card, name = cards[0], self.model
        missing = lacking(name, card, self.needs)
        if missing:
            yield missing
        if getattr(self, "ddpm", None) and (fault := lacking(self.models[1], cards[1], ("ddim",))):
            yield fault
        noise_std = getattr(self, "sampling_noise_std", None)
        if noise_std is not None and (fault := lacking(name, card, ("noise_std",))):
            yield f"sampling_noise_std = {noise_std:g}: {fault}; leave it out"
        show: Any = getattr(self, "show", "state")
        if show != "state" and (fault := lacking(name, card, (show,))):
            yield f'show = "{show}": {fault}'
        yield from faults(self, card)
        if card.recording is not None and not missing:
            seed = getattr(self, "seed", 0)
            if fault := card.recording.seed_fault(seed):
                yield f"seed = {seed}: the recording {name} {fault}; leave it out"
            numbers = getattr(self, "numbers", range(self.images))
            if max(numbers) >= card.recording.count:
                chosen = getattr(self, "samples", None) is not None
                requested = f"sample {max(numbers)}" if chosen else f"count = {len(numbers)}"
                yield f"{requested}: the recording {name} has {card.recording.count} samples"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that the figure needs: its model, and its DDPM if it has one."""
        return tuple(filter(None, (self.model, getattr(self, "ddpm", None))))

    @property
    def images(self) -> int:
        """Number of samples of each model that are computed together, to estimate the time."""
        return int(getattr(self, "count", 1))

    def slots(self, card: ModelCard) -> int:
        """Return the number of samples that may have labels of their own."""
        return self.images

    def cards(self, cards: Sequence[ModelCard]) -> Sequence[ModelCard]:
        """Return the cards of `models` as the figure samples them: with its steps and sampler.

        Raises ConfigError for steps or a sampler that its model does not have.
        """
        if not cards or (self.steps is None and self.sampler_name is None):
            return cards
        return (sampled_as(self.model, cards[0], self.steps, self.sampler_name), *cards[1:])

    def sampler(self, models: ModelProvider) -> Sampler:
        """Return the model, for samples with the labels of the figure."""
        sampler = models.sampler(self.model, self.steps, self.sampler_name)
        found = condition(self, sampler.card)
        return sampler if found is None else sampler.conditioned(found)

    def states(self, card: ModelCard) -> int:
        """Return about how many states of a model its process takes a step from."""
        return self.images * card.steps


@validated(frozen=True, config=RULES)
class ModelFreeKind(FigureKind):
    """A kind that shows no model: its arguments and its files decide what it draws."""

    example: ClassVar[str] = ""

    model: Literal[""] = Field(default="", description="Nothing: there is no model.", init=False)
    labels: None = Field(default=None, init=False)
    guidance: Literal[0] = Field(default=0, init=False)
    steps: None = Field(default=None, description="Those of the card.", init=False)
    sampler_name: None = Field(default=None, description="That of the card.", init=False)


def sampled_as(
    model: str, card: ModelCard, steps: int | None, sampler_name: str | None
) -> ModelCard:
    """Return a model's card with other steps or another sampler.

    Raises ConfigError, with the model's name, if it does not have them.
    """
    from sitegen.generative.checkpoints.resampling import resampled

    try:
        return resampled(card, steps, sampler_name)
    except ConfigError as error:
        raise ConfigError(f"{model}: {error}") from None


def lacking(name: str, card: ModelCard, needs: Sequence[Ability]) -> str:
    """Return a message on the abilities that a model lacks for a figure; empty if none."""
    lacks = [ability for ability in needs if ability not in card.abilities]
    missing = " and ".join(ABILITIES[ability] for ability in lacks)
    if card.recording and not _RECORDABLE.issuperset(lacks):
        return f"needs {missing}, which cannot be shown from the recording {name}"
    return missing and f'needs {missing}, which the model {name} of kind "{card.kind}" lacks'


_RECORDABLE = frozenset[Ability](("mean", "final", "tree", "fan", "paths"))
"""Abilities that a recording may have."""


def named(kind: FigureKind, card: ModelCard) -> str:
    """Return a name of the model for a sentence: its label, its card's subject, or its name."""
    noun = "recording" if card.recording else "model"
    if card.recording and not card.recording.finished:
        noun = "unfinished recording"
    if card.subject and not kind.label:
        return f"the {noun} of {card.subject}"
    return f"the {noun} {kind.label or kind.model}"


def counted(kind: FigureKind, count: int, card: ModelCard, model: str = "") -> str:
    """Return the number of samples and their subject: "36 handwritten digits", if that is known."""
    if card.subject and count > 1:
        return f"{count} {card.subject}" + (f" ({kind.label})" if kind.label else "")
    samples = f"{count} samples" if count > 1 else "One sample"
    noun = "recording" if card.recording else "model"
    return f"{samples} of the {noun} {model or kind.label or kind.model}"


def steps(card: ModelCard) -> str:
    """Return the number of steps in text; of a recording those in it, as a run may have more."""
    noun = "recorded step" if card.recording else "step"
    run = " of a run that did not end" if card.recording and not card.recording.finished else ""
    return f"{card.steps} {noun}s{run}" if card.steps > 1 else f"one {noun}{run}"


def evaluations(kind: FigureKind, cards: Sequence[ModelCard]) -> tuple[int, ...]:
    """Return about how many images the network of each model evaluates."""
    twice = 2 if kind.guidance else 1
    return tuple(
        twice * kind.states(card) * card.evaluations if "network" in card.abilities else 0
        for card in cards
    )


@validated(frozen=True, config=RULES)
class ChosenKind(FigureKind):
    """A kind whose samples an author may choose by their numbers.

    `counts` is the field with the number of samples, which is filled in from the choice.
    """

    counts: ClassVar[str] = "count"

    samples: Samples = None
    # After samples, which its validator reads.
    chosen_from: ChosenFrom = None

    @model_validator(mode="before")
    @classmethod
    def _count_chosen(cls, arguments: ArgsKwargs) -> ArgsKwargs:
        """Fill in the number of samples if they are chosen."""
        values = dict(arguments.kwargs or {})
        samples = values.get("samples")
        if cls.counts and isinstance(samples, list | tuple):
            # 1 for an empty list, so that its only error is that of `samples`.
            values.setdefault(cls.counts, max(1, len(samples)))
        return ArgsKwargs(arguments.args, values)

    @field_validator("count", "rows", "leaves", check_fields=False)
    @classmethod
    def _as_chosen(cls, count: int | None, info: ValidationInfo) -> int | None:
        samples = info.data.get("samples") if info.field_name == cls.counts else None
        if samples is not None and count not in (None, len(samples)):
            raise ValueError(f"should be {len(samples)}, as many as the samples; leave it out")
        return count

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the samples: those chosen, or the first."""
        return self.samples or tuple(range(int(getattr(self, self.counts, 1))))


@validated(frozen=True, config=RULES)
class GridKind(ChosenKind):
    """Samples in rows, from their first states to the finished images.

    With the labels "all" each column is a class, and those of a row are one sample, with one noise,
    in all of them.
    """

    # 36 digits in a square are the first clip of the paper's own page.
    count: StrictInt = Field(default=36, ge=1, le=10_000, description="How many samples.")
    # After count, which its validator reads.
    columns: StrictInt | None = Field(
        default=None,
        ge=1,
        validate_default=True,
        description="Samples in a row; a square if not given.",
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None
    fps: Fps = None

    @field_validator("columns")
    @classmethod
    def _fit(cls, columns: int | None, info: ValidationInfo) -> int | None:
        """Fill in the number of columns, so that two ways to write a grid are one figure."""
        count = info.data.get("count")
        if columns is None or count is None:
            return columns if count is None else math.ceil(math.sqrt(count))
        if columns > count:
            raise ValueError(f"should be at most the count, {count}")
        return columns

    @model_validator(mode="before")
    @classmethod
    def _one_row(cls, arguments: ArgsKwargs) -> ArgsKwargs:
        """Make one row of all classes, unless more are requested."""
        values = dict(arguments.kwargs or {})
        if values.get("labels") == "all":
            values.setdefault("count", 1)
        return ArgsKwargs(arguments.args, values)

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """No columns of the author's own where each is a class."""
        yield from super().unmet(cards)
        if self.labels == ALL and self.columns != math.ceil(math.sqrt(self.count)):
            yield f'columns = {self.columns}: with labels = "all" each is a class; leave it out'

    def slots(self, card: ModelCard) -> int:
        """Return the number of cells."""
        return len(self.cells(card)[0])

    def cells(self, card: ModelCard) -> tuple[tuple[int, ...], int]:
        """Return the numbers of the samples in all cells, and that of columns."""
        if self.labels != ALL or card.labels is None:
            return self.numbers, self.columns or 1
        classes = len(card.labels.names)
        return tuple(number for number in self.numbers for _ in range(classes)), classes


@dataclass(frozen=True)
class Figure:
    """A figure that a page calls; an empty id means that the page chooses one.

    spec: the arguments of the call
    root: folder of the site, which contains the files that the spec names
    contents: digests of these files in its key, by field
    teaser: whether it is shown under the title
    number: number of the figure on its page, from "1", or "3a" under tabs; empty if it has none
    """

    kind: str
    id: str
    spec: FigureKind
    caption: str
    alt: str | None
    place: SourceLocation
    root: Path = Path()
    contents: Mapping[str, str] = field(default_factory=dict)
    teaser: bool = False
    number: str = ""

    def read(self, name: str) -> bytes:
        """Return the content of the file that a field names, which is the content of the key.

        Raises RefusedError if it has changed since the figure was keyed, PlatformError if it cannot
        be read.
        """
        path: Path = self.root / getattr(self.spec, name)
        with platform_errors(path, "read"):
            data = path.read_bytes()
        if digest_bytes(data) != self.contents.get(name, digest_bytes(data)):
            raise RefusedError(f"{path}: changed while the site was built; build again")
        return data

    @property
    def files(self) -> tuple[str, ...]:
        """The fields that name a file in the site, where the call gives one."""
        fields = fields_of(type(self.spec))
        named_fields = (name for name, info in fields.items() if info.json_schema_extra == FILE)
        return tuple(name for name in named_fields if getattr(self.spec, name) is not None)

    @property
    def choice(self) -> str:
        """Sentence that the samples were chosen, and from how many; empty if they were not."""
        samples = getattr(self.spec, "samples", None)
        default = fields_of(type(self.spec))["samples"].default if samples else None
        chosen_from: int | None = getattr(self.spec, "chosen_from", None)
        return selection_note(None if samples == default else samples, chosen_from)

    def description(self, cards: Sequence[ModelCard]) -> str:
        """Return the text alternative: the author's, or the kind's with what a level shows."""
        shown = SHOWN.get(getattr(self.spec, "show", ""))
        since = "Where it was recorded," if cards and cards[0].recording else "After the start"
        more = f". {since} each level shows {shown}" if shown else ""
        labels = described(self.spec, cards[0]) if cards else ""
        return self.alt or f"{self.spec.describe(cards)}{labels}{more}"

    @property
    def base(self) -> str:
        """The default id of a figure, used if its author gives none and no other figure has it."""
        models = "-".join(self.spec.models)[:40]
        return f"{models}-{self.kind.replace('_', '-')}".lstrip("-")


def spec_json(figure: Figure) -> dict[str, Any]:
    """Return everything in the call that decides bytes: no caption, alt or id, and no label that
    is not drawn.
    """
    fields = fields_of(type(figure.spec))
    values = asdict(figure.spec)
    drawn = {
        name: value
        for name, value in values.items()
        if fields[name].json_schema_extra != UNDRAWN and value != UNSET.get(name, ...)
    }
    return {"kind": figure.kind, **drawn}
