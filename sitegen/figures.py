"""The kinds of figures that a page can call, as frozen and validated values.

A kind is one frozen dataclass that derives from `Spec`, and one entry in `KINDS`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic import field_validator as check
from pydantic.dataclasses import dataclass as validated
from pydantic.fields import FieldInfo
from pydantic_core import ArgsKwargs

from sitegen.fields import Caption, Slug, Text
from sitegen.problems import Problem, known_words, quoted, rule, told

_RULES = ConfigDict(extra="forbid", allow_inf_nan=False)


def _known_model(name: str, info: ValidationInfo) -> str:
    """Refuse a model that the site has not; which it has travels as pydantic's context."""
    models = (info.context or {}).get("models")
    if models is not None and name not in models:
        raise ValueError(f"no such model in site.toml{known_words(name, models)}")
    return name


ModelName = Annotated[Slug, AfterValidator(_known_model)]


@dataclass(frozen=True)
class Place:
    """Where in the author's files something stands; lines count from 1."""

    file: str
    line: int


@validated(frozen=True, config=_RULES)
class Spec:
    """What every kind answers about itself; all its fields decide pixels."""

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that the figure needs, in the order of their parts in it."""
        raise NotImplementedError

    def describe(self, levels: int) -> str:
        """Say in one sentence what is to be seen, for those who cannot see it."""
        raise NotImplementedError

    def evaluations(self, levels: int) -> int:
        """Count the images that the network sees, for an estimate of the time that filming takes.

        As they stand here: `count` samples, if the kind counts any, at each of `levels` steps.
        """
        return levels * int(getattr(self, "count", 1))


@validated(frozen=True, config=_RULES)
class Trajectories(Spec):
    """Independent samples in a grid, from their flat initial states to the finished images."""

    model: ModelName = Field(description="The name of the model in site.toml.")
    count: StrictInt = Field(default=36, ge=1, le=10_000, description="How many samples.")
    columns: StrictInt | None = Field(
        default=None,
        ge=1,
        validate_default=True,
        description="Samples in a row; a square if not given.",
    )
    seed: StrictInt = Field(default=0, ge=0, lt=2**63, description="The seed of everything random.")
    show: Literal["state", "mean"] = Field(
        default="state", description="Whether the clip shows the noisy state or the mean."
    )
    sampling_noise_std: StrictFloat | None = Field(
        default=None, ge=0, le=1, description="The sampling noise; the model card's if not given."
    )
    fps: StrictFloat | None = Field(default=None, ge=1, le=60, description="Frames a second.")

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

    def describe(self, levels: int) -> str:
        """Say how many samples form, and over how many steps."""
        many = f"{self.count} samples" if self.count > 1 else "One sample"
        flat = "flat squares" if self.count > 1 else "a flat square"
        steps = f"{levels} steps" if levels > 1 else "one step"
        return f"{many} of the model {self.model} forming out of {flat} over {steps}"


KINDS: Mapping[str, type[Spec]] = MappingProxyType({"trajectories": Trajectories})


@validated(frozen=True, config=_RULES)
class _Words:
    """What every figure call may say beside its spec."""

    caption: Caption = Field(default="", description="The words under the figure.")
    alt: Text | None = Field(default=None, description="What is to be seen, in words.")
    id: Slug | None = Field(default=None, description="The figure's name in files and links.")


@dataclass(frozen=True)
class Figure:
    """A figure that a page asks for; an empty id means that the page chooses one."""

    kind: str
    id: str
    spec: Spec
    caption: str
    alt: str | None
    place: Place

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that the figure needs."""
        return self.spec.models


def make_figure(
    kind: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    place: Place,
    models: Collection[str] | None = None,
) -> Figure:
    """Check a figure call; ConfigError tells everything that is wrong with it at once.

    `models` are the names of the site's models, where they are known.
    """
    spec_class = KINDS[kind]
    faults: list[str] = []
    given = _named(spec_class, args, kwargs, faults)
    words = {name: given.pop(name) for name in _meanings(_Words) if name in given}
    spec = _checked(spec_class, given, {"models": models}, faults)
    said = _checked(_Words, words, {}, faults)
    if spec is None or said is None or faults:
        raise told(Problem(place.file, place.line, f"{kind}(…): {fault}") for fault in faults)
    return Figure(kind, said.id or "", spec, said.caption, said.alt, place)


def _named(
    kind: type[Spec], args: tuple[object, ...], kwargs: Mapping[str, object], faults: list[str]
) -> dict[str, object]:
    """Give the arguments that stand without a name the names of the required fields."""
    needed = [name for name, field in _arguments(kind).items() if field.is_required()]
    faults += [f"{quoted(value)} needs a name, as in count=36" for value in args[len(needed) :]]
    given = dict(zip(needed, args, strict=False))
    faults += [f"{name} is given twice" for name in given if name in kwargs]
    return {**given, **kwargs}


_T = TypeVar("_T", Spec, _Words)


def _checked(
    kind: type[_T], values: Mapping[str, object], context: Mapping[str, Any], faults: list[str]
) -> _T | None:
    """Make the frozen value, or add to the faults and return None."""
    adapter: TypeAdapter[_T] = TypeAdapter(kind)
    try:
        return adapter.validate_python(ArgsKwargs((), dict(values)), context=dict(context))
    except ValidationError as error:
        known = _meanings(kind) | _meanings(_Words)
        for item in error.errors(include_url=False):
            faults.append(f"{item['loc'][0]}{rule(item, known)}")
        return None


def _arguments(kind: Any) -> Mapping[str, FieldInfo]:
    fields: Mapping[str, FieldInfo] = kind.__pydantic_fields__
    return fields


def _meanings(kind: type[Spec] | type[_Words]) -> dict[str, str]:
    """Map the arguments of a kind to the sentences that say what they are for."""
    return {name: field.description or "" for name, field in _arguments(kind).items()}


def spec_json(figure: Figure) -> dict[str, Any]:
    """List everything in the figure that decides its pixels; no caption, alt or id."""
    return {"kind": figure.kind, **dataclasses.asdict(figure.spec)}


def canonical_json(value: object) -> str:
    """Write a value of JSON in the one way that is hashed: sorted, without spaces, ASCII.

    Raises ValueError for NaN and infinity, TypeError for what JSON has not.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def default_alt(figure: Figure, levels: int) -> str:
    """Describe the clip in words: the author's where there are some, else made from the spec.

    `levels` is the number of steps that the figure's model takes.
    """
    return figure.alt or figure.spec.describe(levels)
