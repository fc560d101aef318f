"""The base of all kinds of figures, and the arguments that several kinds take."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationInfo,
)
from pydantic import field_validator as check
from pydantic import model_validator as prepare
from pydantic.dataclasses import dataclass as validated
from pydantic_core import ArgsKwargs

from sitegen.core.diagnostics import SourceLocation, close_match, fields_of, known_words
from sitegen.core.errors import PlugInError, RefusedError
from sitegen.core.files import digest_bytes, platform_errors
from sitegen.core.installed import shipped_models
from sitegen.core.validation import Slug, reject_if
from sitegen.figures.constants import COLOURS, DRAWINGS, FILM, LABELS, NARROW, STILLS
from sitegen.figures.selection import ChosenFrom, Samples, selection_note
from sitegen.generative.card import methods
from sitegen.generative.card.abilities import ABILITIES, Ability
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.recorded import RecordingConfig
from sitegen.media.look import film
from sitegen.media.look import narrow as phone
from sitegen.media.typeface import SHIPPED, Typeface

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.media.manifest import Media
    from sitegen.models.registry import ModelSource
    from sitegen.sampling.provider import ModelProvider

OTHER_LABELS = (methods.DDPM, methods.DDIM, "Full DDPM latent", "data")
"""Names of the other methods in pictures and tables; a model's label must not be one of them."""

RULES = ConfigDict(extra="forbid", allow_inf_nan=False)


def _known_model(name: str, info: ValidationInfo) -> str:
    """Refuse a model that the site has not; which it has travels as pydantic's context."""
    models = (info.context or {}).get("models")
    if models is not None and name not in models:
        raise ValueError(no_such_model(name, models))
    return name


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


ModelName = Annotated[Slug, AfterValidator(_known_model)]
Model = Annotated[ModelName, Field(description="The name of the model in site.toml.")]
_LABEL = re.compile(r"[!-^`-~]([ -^`-~]{0,22}[!-^`-~])?")  # printable ASCII without _


def label_fault(label: str) -> str | None:
    """Return what is wrong with a label; None if nothing is."""
    if label in OTHER_LABELS:
        return "is what something else is called in the figure; choose another"
    short = "should be 1 to 24 letters A-Z or a-z, digits and marks, without _"
    return None if _LABEL.fullmatch(label) else short


Label = Annotated[
    StrictStr | None,
    reject_if(lambda label: None if label is None else label_fault(label)),
    Field(description='What the method is called in the figure and its words, as in "Ours".'),
]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**63, description="The seed of everything random.")]
Baseline = Annotated[
    ModelName | None, Field(description="The name of a DDPM of the same data, to compare with.")
]
Show = Annotated[
    Literal["state", "mean", "final"],
    Field(description="What a level shows: the noisy state, its mean or the predicted image."),
]
SHOWN = {"mean": "the mean of the state", "final": "the predicted image"}
"""Values of `show` in words, except the state."""
NoiseStd = Annotated[
    StrictFloat | None,
    Field(ge=0, le=1, description="The sampling noise; the model card's if not given."),
]
DdimSteps = Annotated[
    StrictInt, Field(ge=1, le=1000, description="Steps of the DDIM that samples the DDPM.")
]
Fps = Annotated[StrictFloat | None, Field(ge=1, le=60, description="Frames a second.")]


@dataclass(frozen=True)
class GridLayout:
    """Layout of `count` square images in a grid.

    columns: images in a row
    row: images of a row that belong together; 0 if none do
    """

    count: int
    columns: int
    row: int = 0

    @property
    def rows(self) -> int:
        """Number of rows; the last one may be incomplete."""
        return -(-self.count // self.columns)

    @property
    def narrow(self) -> GridLayout | None:
        """The layout for a phone; None if the grid is not drawn a second time."""
        if self.columns <= phone.COLUMNS or self.count > phone.MOST:
            return None
        fewest = phone.FEWEST_OF_ROW if self.row else phone.FEWEST
        length = self.row or self.count
        even = (n for n in range(phone.COLUMNS, fewest - 1, -1) if length % n == 0)
        columns = next(even, 0 if self.row else phone.COLUMNS)
        return GridLayout(self.count, columns) if columns else None

    def reduction(self, side: int) -> int:
        """Return the smallest integer factor by which images of `side` pixels must be reduced.

        No frame, on wide screens or on phones, may then have more than `film.LARGEST` pixels.
        """
        cells = max(each.rows * each.columns for each in (self, self.narrow) if each)
        fits = (n for n in range(1, side) if cells * (-(-side // n)) ** 2 <= film.LARGEST)
        return next(fits, side)

    def pixels(self, card: ModelCard) -> int:
        """Estimate the pixels of a clip that shows the grid at every level."""
        from sitegen.media.frames import scale_factor  # imports NumPy

        side = -(-card.image_size // self.reduction(card.image_size))
        width, height = self.columns * side, self.rows * side
        return (card.steps + 1) * width * height * scale_factor(width, height) ** 2


@validated(frozen=True, config=RULES)
class FigureSpec:
    """Base class of a kind's arguments; all its fields decide pixels.

    A kind adds its fields and overrides the defaults below where needed.

    recipe: raised by hand when the code that renders a kind changes its pixels
    example: arguments, as in a call, that show the kind at its best with a model named NAME
    distinct_states: whether `count` may not exceed the number of initial states
    draws_label: whether the label is drawn in the picture; if not, it is only in the text, and
        decides no pixel
    cell_numbers: whether each cell of a grid, or each row of cells, has the number of a sample
    plain_samples: whether a cell is that very sample, and not another state with its noise
    one_shape: whether all models must make images of one size and number of channels
    needs: abilities, of `ABILITIES`, that the process of the model must have
    constants: groups of constants that decide the bytes of the kind's files, which are part of the
        key (figures/constants.py)
    """

    recipe: ClassVar[int] = 1
    example: ClassVar[str] = '"NAME"'
    distinct_states: ClassVar[bool] = False
    draws_label: ClassVar[bool] = False
    cell_numbers: ClassVar[Literal["", "cells", "rows"]] = ""
    plain_samples: ClassVar[bool] = False
    one_shape: ClassVar[bool] = True
    needs: ClassVar[tuple[Ability, ...]] = ()
    constants: ClassVar[tuple[str, ...]] = (FILM, STILLS, COLOURS, LABELS, DRAWINGS, NARROW)

    model: Model
    label: Label = Field(default=None, kw_only=True)
    pixelated: StrictBool = Field(
        default=False,
        kw_only=True,
        description="Whether pictures are enlarged as squares, a square a pixel, not smoothly.",
    )

    @property
    def display_name(self) -> str:
        """Name of the model in text about the figure: the label, or the model's name."""
        return self.label or self.model

    def named(self, card: ModelCard) -> str:
        """Return a name of the model for a sentence: its label, its card's subject, or its name."""
        shows, what = card.subject and not self.label, "recording" if card.recording else "model"
        if card.recording and not card.recording.finished:
            what = "unfinished recording"
        return f"the {what} of {card.subject}" if shows else f"the {what} {self.display_name}"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that the figure needs: its model, and its `ddpm` if it has one.

        They are in the order of their parts in the figure.
        """
        baseline = getattr(self, "ddpm", None)
        return (self.model,) if baseline is None else (self.model, baseline)

    @property
    def needs_of_models(self) -> tuple[tuple[Ability, ...], ...]:
        """Abilities required of the process of each of `models`; baselines follow the first."""
        return (self.needs, *(("ddim",) for _ in self.models[1:]))[: len(self.models)]

    @property
    def files(self) -> tuple[str, ...]:
        """The fields, if any, that name a file in the site; its content counts, not its name."""
        return ()

    @property
    def unkeyed(self) -> frozenset[str]:
        """Fields that decide no pixel at their current values, and are left out of the key.

        They include fields that were added to a kind later and are unused, so that figures rendered
        before that keep their keys.
        """
        unused = set() if self.pixelated else {"pixelated"}
        return frozenset(unused if self.label and self.draws_label else {"label", *unused})

    @property
    def choice(self) -> str:
        """Sentence that the samples were chosen, and from how many; empty if they were not."""
        return ""

    def shows(self, card: ModelCard | None) -> str:
        """Return a sentence for a text alternative on what a level shows; empty for its state."""
        what = SHOWN.get(getattr(self, "show", ""))
        where = "Where it was recorded," if card and card.recording else "After the start"
        return f". {where} each level shows {what}" if what else ""

    @property
    def needs_example(self) -> bool:
        """Return whether the figure shows the picture named in the card of its first model."""
        return False

    def incompatibilities(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Yield a message for each argument of the call that conflicts with the models' `cards`."""
        yield from ()

    @classmethod
    def recorded_example(cls, recording: RecordingConfig) -> str:
        """Return arguments, as in a call, that show a recording with a model named NAME."""
        return (
            f'"NAME", count={min(36, recording.count)}'
            if "count" in fields_of(cls)
            else cls.example
        )

    def recorded_faults(self, recording: RecordingConfig) -> Iterator[str]:
        """Yield a message for each argument of the call that the recording cannot provide."""
        numbers = getattr(self, "numbers", range(self.images))
        if max(numbers) >= recording.count:
            wanted = (
                f"sample {max(numbers)} is wanted" if self.choice else f"count = {len(numbers)}"
            )
            yield f"{wanted}: the recording {self.model} has {recording.count} samples"

    def remedy(self, card: ModelCard) -> str:
        """Return what to do if the process of the first model lacks an ability; may be empty."""
        return ""

    def method(self, card: ModelCard) -> str:
        """Return a sentence for the caption on how the samples were made; may be empty.

        It tells readers of a departure from what the kind of figure usually shows.
        """
        return ""

    def file_faults(self, sources: Sequence[ModelSource]) -> Iterator[str]:
        """Yield the reasons, found in the files of `models`, why the call cannot be rendered.

        Rendering reports them as well. This reads the files, so it runs only where calls, or
        models for them, are suggested.
        """
        yield from ()

    def describe(self, card: ModelCard) -> str:
        """Describe the figure in one sentence without a full stop, for readers who cannot see it.

        `card` is the first model's. The default is the first line of the kind's docstring.
        """
        what = (type(self).__doc__ or type(self).__name__).splitlines()[0].rstrip(".")
        return f"{what}, of {self.named(card)}"

    def with_words(
        self, parameters: Mapping[str, Any], cards: Sequence[ModelCard]
    ) -> Mapping[str, Any]:
        """Return a record's parameters with the words of today's cards, which no file depends on.

        `cards` are those of `models`.
        """
        return parameters

    @property
    def images(self) -> int:
        """Number of samples of each model that are computed together: `count`, or one."""
        return int(getattr(self, "count", 1))

    def evaluations(self, cards: Sequence[ModelCard]) -> tuple[int, ...]:
        """Count the images that the networks of each of `models` process, to estimate the time."""
        return tuple(self.images * network_steps(card) for card in cards)

    @property
    def layout(self) -> GridLayout | None:
        """Layout of the samples, if the figure is a grid."""
        return None

    def pixels(self, card: ModelCard) -> int:
        """Estimate the number of pixels of all frames to draw and encode, to estimate the time."""
        return self.layout.pixels(card) if self.layout else 0


@validated(frozen=True, config=RULES)
class ModelFreeSpec(FigureSpec):
    """A kind that shows no model: what it draws, its arguments and its files decide."""

    example: ClassVar[str] = ""

    model: Literal[""] = Field(default="", description="Nothing: there is no model.", init=False)

    @property
    def models(self) -> tuple[str, ...]:
        """No models."""
        return ()

    def describe(self, card: ModelCard | None) -> str:
        """Return the first line of the kind's docstring."""
        return (type(self).__doc__ or type(self).__name__).splitlines()[0].rstrip(".")


def counted(count: int, model: str, card: ModelCard, label: str | None = None) -> str:
    """Return the number of samples and their subject: "36 handwritten digits", if that is known.

    label: name of the method, if it has one, which is then appended
    """
    if card.subject and count > 1:
        return f"{count} {card.subject} ({label})" if label else f"{count} {card.subject}"
    many = f"{count} samples" if count > 1 else "One sample"
    return f"{many} of the {'recording' if card.recording else 'model'} {model}"


_RECORDABLE = frozenset[Ability](("mean", "final", "tree", "fan", "paths"))
"""Abilities that a recording may have."""


def lacking(name: str, card: ModelCard, needs: Sequence[Ability]) -> str:
    """Return a message on the abilities that a model lacks for a figure; empty if none."""
    lacks = [each for each in needs if each not in card.abilities]
    missing = " and ".join(ABILITIES[each] for each in lacks)
    if card.recording and not _RECORDABLE.issuperset(lacks):
        return f"needs {missing}, which cannot be shown from the recording {name}"
    return missing and f'needs {missing}, which the model {name} of kind "{card.kind}" lacks'


def network_steps(card: ModelCard) -> int:
    """Return how often a sample evaluates the network."""
    return card.steps * card.evaluations


def steps(card: ModelCard) -> str:
    """The number of steps in words; of a recording those in it, since a run may take more."""
    kind = "recorded step" if card.recording else "step"
    run = " of a run that did not end" if card.recording and not card.recording.finished else ""
    return f"{card.steps} {kind}s{run}" if card.steps > 1 else f"one {kind}{run}"


@validated(frozen=True, config=RULES)
class ChosenSpec(FigureSpec):
    """A kind whose samples an author may choose by their numbers.

    `counts` is the field with the number of samples, which is filled in from the choice.
    """

    counts: ClassVar[str] = "count"

    samples: Samples = None
    chosen_from: ChosenFrom = None

    @prepare(mode="before")
    @classmethod
    def _count_chosen(cls, given: ArgsKwargs) -> ArgsKwargs:
        """Fill in the number of samples if they are chosen."""
        values = dict(given.kwargs or {})
        samples = values.get("samples")
        if cls.counts and isinstance(samples, list | tuple):
            values.setdefault(cls.counts, max(1, len(samples)))
        return ArgsKwargs(given.args, values)

    @check("count", "rows", "leaves", check_fields=False)
    @classmethod
    def _as_chosen(cls, count: int | None, info: ValidationInfo) -> int | None:
        samples = info.data.get("samples") if info.field_name == cls.counts else None
        if samples is not None and count not in (None, len(samples)):
            raise ValueError(f"should be {len(samples)}, as many as the samples; leave it out")
        return count

    @property
    def unkeyed(self) -> frozenset[str]:
        """Unkeyed fields, with `chosen_from`, and with the numbers if they are the first ones."""
        more = {"chosen_from", "samples"} if self.samples is None else {"chosen_from"}
        return super().unkeyed | more

    @property
    def choice(self) -> str:
        """Sentence that the samples were chosen, and from how many; empty if they were not."""
        return selection_note(self.samples, self.chosen_from)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the samples: those chosen, or the first."""
        return self.samples or tuple(range(int(getattr(self, self.counts, 1))))


@validated(frozen=True, config=RULES)
class Grid(ChosenSpec):
    """Samples in rows, from their flat initial states to the finished images."""

    recipe: ClassVar[int] = 2
    cell_numbers: ClassVar[Literal["", "cells", "rows"]] = "cells"
    constants: ClassVar[tuple[str, ...]] = (FILM, STILLS, COLOURS, NARROW)

    count: StrictInt = Field(default=36, ge=1, le=10_000, description="How many samples.")
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

    @property
    def layout(self) -> GridLayout:
        """The number of samples, and the number in a row."""
        assert self.columns is not None  # it is filled in
        return GridLayout(self.count, self.columns)

    @check("columns")
    @classmethod
    def _fit(cls, columns: int | None, info: ValidationInfo) -> int | None:
        """Fill in the number of columns, so that two ways to write a grid are one figure."""
        count = info.data.get("count")
        if columns is None or count is None:
            return columns if count is None else math.ceil(math.sqrt(count))
        if columns > count:
            raise ValueError(f"should be at most the count, {count}")
        return columns


Sampler = Callable[["ModelProvider", "Figure"], "RenderJob"]
"""Makes a figure ready to be rendered, with the models that the provider loads."""


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure, with everything that sitegen needs to render and show it.

    name: name of the function that pages call; in media.json the `kind` of an entry
    spec: arguments of a call; needs no torch
    sample: makes a figure ready to be rendered; imports its sampler, and torch, when it is called
    view: replaces the view that `html` makes of its media; of the media and the page's path
    """

    name: str
    spec: type[FigureSpec]
    sample: Sampler
    view: Callable[[Media, str], Any] | None = None


def sampler_in(room: str) -> Sampler:
    """The function `sample` of the module `sample` of a kind's package, imported when called."""

    def sample(models: ModelProvider, figure: Figure) -> RenderJob:
        job: RenderJob = import_module(f"{room}.sample").sample(models, figure)
        return job

    return sample


def grid_sampler(method: Literal["begin", "fan"]) -> Sampler:
    """Return a function that samples a `Grid` by this method of the model's sampler."""

    def sample(models: ModelProvider, figure: Figure) -> RenderJob:
        clips = import_module("sitegen.figures.clips")  # which imports torch
        job: RenderJob = clips.sample_grid(models, figure, method)
        return job

    return sample


@dataclass(frozen=True)
class Row:
    """Figures of a page that are shown in one place.

    number: of the row on its page
    caption: the words under it
    names: the words on the tabs, one for each figure; may be empty
    tabs: whether one figure is shown at a time, and not all side by side
    """

    number: int
    caption: str
    names: tuple[str, ...] = ()
    tabs: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure that a page calls; an empty id means that the page chooses one.

    root: folder of the site, which contains the files that the spec names
    contents: digests of these files in its key, by field
    row: group of figures that it belongs to
    teaser: whether it is shown under the title
    number: number of the figure on its page, from 1
    typeface: of its words
    fault: why its arguments could not be checked, if the code of its plug-in failed
    called: the models in its call, which are then its default id
    """

    kind: str
    id: str
    spec: FigureSpec
    caption: str
    alt: str | None
    place: SourceLocation
    root: Path = Path()
    row: Row | None = None
    contents: Mapping[str, str] = field(default_factory=dict)
    teaser: bool = False
    number: int = 0
    typeface: Typeface = SHIPPED
    fault: PlugInError | None = None
    called: tuple[str, ...] = ()

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
    def models(self) -> tuple[str, ...]:
        """The names of the models that the figure needs."""
        return self.spec.models

    @property
    def base(self) -> str:
        """The default id of a figure, used if its author gives none and no other figure has it."""
        models = "-".join(self.called or self.models)[:40]
        return f"{models}-{self.kind.replace('_', '-')}".lstrip("-")


def spec_json(figure: Figure) -> dict[str, Any]:
    """List everything in the figure that decides its pixels: no caption, alt or id.

    A label is listed only if it is drawn, so that the key of a figure without one does not change.
    """
    values = dataclasses.asdict(figure.spec)
    kept = {name: value for name, value in values.items() if name not in figure.spec.unkeyed}
    return {"kind": figure.kind, **kept}
