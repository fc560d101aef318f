"""What all kinds of figures share: their base, and the arguments that several of them take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictFloat, StrictInt, ValidationInfo
from pydantic.dataclasses import dataclass as validated

from sitegen.fields import Slug
from sitegen.ihdm.card import ModelCard
from sitegen.problems import known_words

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
class Spec:
    """What every kind answers about itself; all its fields decide pixels.

    `recipe` is raised by hand when the code that films a kind changes its pixels. `example` are
    the arguments, as in a call, that show the kind at its best with a model named NAME.
    """

    recipe: ClassVar[int] = 1
    example: ClassVar[str] = '"NAME"'

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
        """Count the images that the network sees, for an estimate of the time that filming takes.

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
