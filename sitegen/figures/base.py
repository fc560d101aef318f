"""The base of all kinds of figures, and a figure that a page calls."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import (
    Field,
    StrictBool,
    StrictInt,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass as validated
from pydantic_core import ArgsKwargs

from sitegen.core.diagnostics import (
    Diagnostic,
    SourceLocation,
    config_error,
    fields_of,
    listed,
    quoted,
    rule,
)
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import digest_bytes, platform_errors
from sitegen.core.validation import Caption, Slug, Text
from sitegen.figures.arguments import (
    ALL,
    MOST_NAMED,
    RULES,
    SHOWN,
    UNDRAWN,
    UNSET,
    ChosenFrom,
    Fps,
    Guidance,
    Label,
    Labels,
    Model,
    NoiseStd,
    SamplerName,
    Samples,
    Seed,
    Show,
    Steps,
    Texts,
    classes,
    selection_note,
)
from sitegen.generative.card.abilities import ABILITIES, Ability
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.labels import Condition

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.models import Sampler
    from sitegen.sampling.provider import ModelProvider


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
    texts: Texts = Field(default=None, kw_only=True)

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
        yield from self._label_faults(card)
        if self.texts and len(self.texts) != (slots := self.text_slots(card)):
            yield f"texts: {len(self.texts)} for {slots} samples; give one for each"
        if card.recording is not None and not missing:
            seed = getattr(self, "seed", 0)
            if fault := card.recording.seed_fault(seed):
                yield f"seed = {seed}: the recording {name} {fault}; leave it out"
            numbers = getattr(self, "numbers", range(self.sample_count))
            if max(numbers) >= card.recording.count:
                chosen = getattr(self, "samples", None) is not None
                requested = f"sample {max(numbers)}" if chosen else f"count = {len(numbers)}"
                if card.recording.points:
                    yield f"{requested}: all points are in one picture; give count=1"
                    return
                yield f"{requested}: the recording {name} has {card.recording.count} samples"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that the figure needs: its model, and the one that it compares."""
        return tuple(filter(None, (getattr(self, n, "") for n in ("model", "ddpm", "beside"))))

    @property
    def sample_count(self) -> int:
        """Number of samples of each model that are computed together, to estimate the time."""
        return int(getattr(self, "count", 1))

    def slots(self, card: ModelCard) -> int:
        """Return the number of samples that may have labels of their own."""
        return self.sample_count

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
        return sampler if self.labels is None else sampler.conditioned(self.condition(sampler.card))

    def condition(self, card: ModelCard) -> Condition | None:
        """Return the labels of the samples, which have those of the call in turn."""
        chosen = classes(self.labels, card)
        if len(chosen) > 1:
            chosen = tuple(islice(cycle(chosen), self.slots(card)))
        return Condition(chosen, self.guidance) if chosen else None

    def text_slots(self, card: ModelCard) -> int:
        """Return the number of samples that may have texts of their own."""
        return self.slots(card)

    def cell_texts(self, card: ModelCard) -> tuple[str, ...]:
        """Return the texts under the samples: the call's, recorded ones, or names of their labels.

        They are empty if none are given and all samples have the same label.
        """
        if self.texts:
            return self.texts
        if card.recording is not None and (captions := card.recording.captions):
            numbers: Sequence[int] = getattr(self, "numbers", ())
            return tuple(captions[n] if n < len(captions) else "" for n in numbers)
        if card.labels is None or len(classes(self.labels, card)) < 2:
            return ()
        condition = self.condition(card)
        return tuple(card.labels.names[label] for label in condition.labels) if condition else ()

    def _label_faults(self, card: ModelCard) -> Iterator[str]:
        """Yield what is wrong with the labels for the model."""
        if card.labels is None:
            if self.labels is not None or self.guidance:
                yield f"labels and guidance: the model {self.model} takes none; leave them out"
            return
        if self.labels is None:
            if self.guidance:
                yield f"guidance = {self.guidance:g}: goes towards labels; give labels, too"
            elif not card.labels.optional:
                only = f"the model {self.model} draws by label only: {card.labels.listed}"
                yield f"labels is missing: {only}"
            return
        if self.guidance and not card.labels.optional:
            never = f"the model {self.model} never draws without a label"
            yield f"guidance = {self.guidance:g}: {never}"
        try:
            chosen, slots = len(classes(self.labels, card)), self.slots(card)
        except ConfigError as error:
            yield f"labels: {error}"
            return
        if slots % chosen:
            yield f"labels: {chosen} for {slots} samples; give one for all, or one for each"

    def states(self, card: ModelCard) -> int:
        """Return about how many states of a model its process takes a step from."""
        return self.sample_count * card.steps


NO_TEXTS = Field(default=None, description="Nothing: it shows no samples by number.", init=False)
"""The field `texts` of a kind that has no texts under its pictures."""


@validated(frozen=True, config=RULES)
class ModelFreeKind(FigureKind):
    """A kind that shows no model: its arguments and its files decide what it draws."""

    example: ClassVar[str] = ""

    model: Literal[""] = Field(default="", description="Nothing: there is no model.", init=False)
    labels: None = Field(default=None, description="None, without a model.", init=False)
    guidance: Literal[0] = Field(default=0, description="None, without a model.", init=False)
    steps: None = Field(default=None, description="Those of the card.", init=False)
    sampler_name: None = Field(default=None, description="That of the card.", init=False)
    texts: None = NO_TEXTS


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
    lacked = missing and f'needs {missing}, which the model {name} of kind "{card.kind}" lacks'
    advice = "; give its class a method corrupt" if card.sampler and "corrupt" in lacks else ""
    return lacked + advice


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
    return tuple(
        round(kind.states(card) * step_evaluations(kind, card))
        if "network" in card.abilities
        else 0
        for card in cards
    )


def step_evaluations(kind: FigureKind, card: ModelCard) -> float:
    """Return the mean number of the network's evaluations in a step, with guidance."""
    if not kind.guidance:  # which evaluates again the networks that take labels
        return card.evaluations
    visited = card.visited_levels[:-1]
    labelled = sum(card.networks[card.band_at(k)].classes is not None for k in visited)
    return card.evaluations * (1 + labelled / len(visited))


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
    contents: digests of these files in its key, by field, with blanks between
    teaser: whether it is shown under the title
    number: number of the figure on its page, from "1", or "3a" under tabs; empty if it has none
    texts: captions of its parts, if it has any; inline Markdown as the caption
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
    texts: tuple[str, ...] = ()

    def paths(self, name: str) -> list[Path]:
        """Return the files that a field names: one, or several."""
        value = getattr(self.spec, name)
        return [self.root / file for file in ((value,) if isinstance(value, str) else value or ())]

    def read(self, name: str, number: int = 0) -> bytes:
        """Return the content of a file that a field names, which is the content of the key.

        Raises RefusedError if it has changed since the figure was keyed, PlatformError if it cannot
        be read.
        """
        path = self.paths(name)[number]
        with platform_errors(path, "read"):
            data = path.read_bytes()
        digests = self.contents.get(name, "").split()
        if digests and digest_bytes(data) != digests[number]:
            raise RefusedError(f"{path}: changed while the site was built; build again")
        return data

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
        labels, card = "", cards[0] if cards else None
        has_texts = card and (card.recording or self.spec.texts)
        if card and has_texts and (texts := [*dict.fromkeys(self.spec.cell_texts(card))]):
            more_texts = ["more"] if len(texts) > MOST_NAMED else []
            labels = f": {listed([*filter(None, texts[:MOST_NAMED]), *more_texts], 'and')}"
        elif card and card.labels and self.spec.labels:
            chosen = dict.fromkeys(classes(self.spec.labels, card))
            names = [card.labels.names[label] for label in chosen]
            named_labels = names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], "more"]
            plural = "es" if len(names) > 1 else ""
            labels = f", of the class{plural} {listed(named_labels, 'and')}"
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


@validated(frozen=True, config=RULES)
class _Text:
    """Arguments that every figure call accepts in addition to its spec."""

    caption: Caption = Field(default="", description="The words under the figure.")
    alt: Text | None = Field(default=None, description="What is to be seen, in words.")
    id: Slug | None = Field(default=None, description="The figure's name in files and links.")


def make_figure(
    name: str,
    kind: type[FigureKind],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    place: SourceLocation,
    models: Collection[str] | None = None,
    root: Path = Path(),
) -> Figure:
    """Check the call of a kind by its name, and raise one ConfigError for all of its errors.

    `models` are the names of the site's models, if known; `root` is the site's folder.
    """
    context = {"models": models, "root": root}
    spec, text = checked_call(name, [kind, _Text], args, kwargs, context, place)
    if not all(isinstance(model, str) for model in spec.models):
        raise TypeError(f"models = {spec.models!r} has to be a tuple of names")
    texts = getattr(spec, "captions", ())
    return Figure(name, text.id or "", spec, text.caption, text.alt, place, root, texts=texts)


def checked_call(
    name: str,
    kinds: Sequence[Any],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    context: Mapping[str, Any],
    location: SourceLocation,
) -> list[Any]:
    """Validate the arguments of a call in a page, and return one frozen value for each kind.

    kinds: validated dataclasses. Positional arguments go to the required fields of the first, in
        order. A keyword goes to the kind that has a field of that name, or else to the first.
    context: values available to validators

    Raises ConfigError that lists all problems of the call.
    """
    fields = {key: field for kind in kinds for key, field in fields_of(kind).items()}
    required = [key for key, field in fields_of(kinds[0]).items() if field.is_required()]
    faults = [f"{quoted(value)} needs a name, as in count=36" for value in args[len(required) :]]
    arguments = dict(zip(required, args, strict=False))
    faults += [f"{key} is given twice" for key in arguments if key in kwargs]
    arguments |= kwargs
    # Reversed, so that the first kind with a field of that name has it.
    owners = {key: kind for kind in reversed(kinds) for key in fields_of(kind)}
    values = []
    for kind in kinds:
        fitting = {k: v for k, v in arguments.items() if owners.get(k, kinds[0]) is kind}
        try:
            adapter = TypeAdapter(kind)
            values.append(adapter.validate_python(ArgsKwargs((), fitting), context=dict(context)))
        except ValidationError as error:
            faults += [
                f"{item['loc'][0]}{rule(item, fields)}"
                for item in error.errors(include_url=False)
                # Of a list, pydantic counts valid items only; the others have errors of their own.
                if item["type"] != "too_short" or item["ctx"]["actual_length"] == len(item["input"])
            ]
    if faults:
        raise config_error(
            Diagnostic(location.file, location.line, f"{name}(…): {fault}") for fault in faults
        )
    return values
