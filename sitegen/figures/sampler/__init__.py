"""The kind `sampler`: the model itself in the page, which draws for whoever presses a button."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, ValidationInfo
from pydantic import field_validator as check
from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import (
    RULES,
    ChosenSpec,
    FigureKind,
    ModelName,
    Seed,
    counted,
    sampler_in,
)
from sitegen.figures.views import live_view
from sitegen.ihdm.card.card import ModelCard


def _several(names: Any) -> Any:
    """One name as a tuple of one."""
    return (names,) if isinstance(names, str) else names


@validated(frozen=True, config=RULES)
class PageSampler(ChosenSpec):
    """A button that draws new samples in the visitor's browser, beneath a poster of some."""

    recipe: ClassVar[int] = 2
    one_shape: ClassVar[bool] = False

    count: StrictInt = Field(default=9, ge=1, le=64, description="How many samples the poster has.")
    seed: Seed = 0
    also: Annotated[tuple[ModelName, ...], BeforeValidator(_several)] = Field(
        default=(), description="The names of other models that a visitor can choose instead."
    )
    grow: StrictBool = Field(
        default=False, description="Whether the button grows a tree of samples, not one sample."
    )

    @check("also")
    @classmethod
    def _once(cls, also: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        names = [str(info.data.get("model")), *also]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"should name each model once, and {twice[0]} is there twice")
        return also

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all models to choose from; the first is there before anybody chooses."""
        return self.model, *self.also

    @property
    def model_kinds(self) -> tuple[str, ...]:
        """All of them are of our kind."""
        return tuple("ihdm" for _ in self.models)

    def misfits(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Networks that a browser's sampler does not have."""
        from sitegen.ihdm.checkpoints.browser import lacking  # brings numpy

        for name, card in zip(self.models, cards, strict=True):
            for words in lacking(card):
                yield f"the model {name} has {words}, which the sampler in a page does not have"

    def describe(self, card: ModelCard) -> str:
        """Say what the first poster shows."""
        return f"{counted(self.count, self.known_as, card.subject)}, drawn when this page was made"


KIND = FigureKind("sampler", PageSampler, sampler_in(__name__), live_view)
