"""What all kinds of figures share: their base, and the arguments that several of them take."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictFloat, StrictInt, ValidationInfo
from pydantic import field_validator as check
from pydantic.dataclasses import dataclass as validated

from sitegen.core.diagnostics import SourceLocation, known_words
from sitegen.core.validation import Slug
from sitegen.ihdm.card.card import ModelCard

# RULES, Fps, Model, NoiseStd, Seed, Show, Spec, counted


if TYPE_CHECKING:
    from sitegen.figures.views import Clip, Still
    from sitegen.media.jobs import RenderJob
    from sitegen.media.manifest import Media
    from sitegen.sampling.models import ModelProvider

RULES = ConfigDict(extra="forbid", allow_inf_nan=False)


def _known_model(name: str, info: ValidationInfo) -> str:
    """Refuse a model that the site has not; which it has travels as pydantic's context."""
    models = (info.context or {}).get("models")
    if models is not None and name not in models:
        raise ValueError(f"no such model in site.toml{known_words(name, models)}")
    return name


ModelName = Annotated[Slug, AfterValidator(_known_model)]
Model = Annotated[ModelName, Field(description="The name of the model in site.toml.")]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**63, description="The seed of everything random.")]
Baseline = Annotated[
    ModelName | None, Field(description="The name of a DDPM of the same data, to compare with.")
]
Show = Annotated[
    Literal["state", "mean"],
    Field(description="Whether the clip shows the noisy state or the mean."),
]
NoiseStd = Annotated[
    StrictFloat | None,
    Field(ge=0, le=1, description="The sampling noise; the model card's if not given."),
]
Fps = Annotated[StrictFloat | None, Field(ge=1, le=60, description="Frames a second.")]


@validated(frozen=True, config=RULES)
class FigureSpec:
    """What every kind answers about itself; all its fields decide pixels.

    `recipe` is raised by hand when the code that renders a kind changes its pixels. `example` are
    the arguments, as in a call, that show the kind at its best with a model named NAME.
    `distinct_states` says that `count` may not be more than there are initial states.
    """

    recipe: ClassVar[int] = 1
    example: ClassVar[str] = '"NAME"'
    distinct_states: ClassVar[bool] = False

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that the figure needs, in the order of their parts in it."""
        raise NotImplementedError

    @property
    def model_kinds(self) -> tuple[str, ...]:
        """What each of `models` must be, as its card says: after the first come the baselines."""
        return ("ihdm", *("ddpm" for _ in self.models[1:]))

    @property
    def files(self) -> tuple[str, ...]:
        """The fields, if any, that name a file in the site; its content counts, not its name."""
        return ()

    @property
    def needs_example(self) -> bool:
        """Whether the figure shows the picture that the card of its first model names."""
        return False

    def misfits(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """What in the call the cards of `models` rule out, each fault in words of its own."""
        yield from ()

    def describe(self, levels: int, subject: str = "") -> str:
        """Say in one sentence what is to be seen, for those who cannot see it.

        `subject` is what the samples of the first model are, in the plural, where its card says it.
        """
        raise NotImplementedError

    def evaluations(self, levels: int) -> int:
        """Count the images that the network sees, for an estimate of the time that rendering takes.

        At each of `levels` steps as many as the product of what the kind counts; a tree, which
        computes what its branches share but once, sees fewer.
        """
        names = ("count", "rows", "leaves", "pairs", "points")
        many = (getattr(self, name, None) for name in names)
        return levels * math.prod(each for each in many if isinstance(each, int))


def counted(count: int, model: str, subject: str) -> str:
    """Say how many samples there are, and of what: "36 handwritten digits", where that is known."""
    if subject and count > 1:
        return f"{count} {subject}"
    return f"{f'{count} samples' if count > 1 else 'One sample'} of the model {model}"


def steps(levels: int) -> str:
    """The number of steps in words."""
    return f"{levels} steps" if levels > 1 else "one step"


@validated(frozen=True, config=RULES)
class Grid(FigureSpec):
    """Samples in rows, from their flat initial states to the finished images."""

    model: Model
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

    @property
    def models(self) -> tuple[str, ...]:
        """The one model that is sampled."""
        return (self.model,)


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure: all that sitegen knows of it.

    name: what pages call; in media.json it is the `kind` of an entry
    spec: what a page may ask for; needs no torch
    sample: makes a figure ready to be rendered; imports its sampler, and torch, when it is called
    view: what a page shows of its media; the second argument is the page's path in the site
    """

    name: str
    spec: type[FigureSpec]
    sample: Callable[[ModelProvider, Figure], RenderJob]
    view: Callable[[Media, str], Clip | Still]


@dataclass(frozen=True)
class Figure:
    """A figure that a page asks for; an empty id means that the page chooses one.

    `root` is the folder of the site, where the files that the spec names are found.
    """

    kind: str
    id: str
    spec: FigureSpec
    caption: str
    alt: str | None
    place: SourceLocation
    root: Path = Path()

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that the figure needs."""
        return self.spec.models

    @property
    def base(self) -> str:
        """The id that it has if its author gives none, and if nothing else has it."""
        return f"{'-'.join(self.models)[:40]}-{self.kind.replace('_', '-')}"


def spec_json(figure: Figure) -> dict[str, Any]:
    """List everything in the figure that decides its pixels; no caption, alt or id."""
    return {"kind": figure.kind, **dataclasses.asdict(figure.spec)}


def default_alt(figure: Figure, levels: int, subject: str = "") -> str:
    """Describe the clip in words: the author's where there are some, else made from the spec.

    `levels` is the number of steps that the figure's model takes.
    """
    return figure.alt or figure.spec.describe(levels, subject)
