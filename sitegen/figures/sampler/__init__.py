"""The kind `sampler`: the model itself in the page, which samples when a button is pressed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, ValidationInfo
from pydantic import field_validator as check
from pydantic.dataclasses import dataclass as validated

from sitegen.core.errors import RefusedError
from sitegen.figures.base import (
    RULES,
    ChosenSpec,
    FigureKind,
    ModelName,
    Seed,
    counted,
    sampler_in,
)
from sitegen.figures.constants import COLOURS, STILLS
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.models.registry import ModelSource


def _several(names: Any) -> Any:
    """One name as a tuple of one."""
    return (names,) if isinstance(names, str) else names


@validated(frozen=True, config=RULES)
class PageSampler(ChosenSpec):
    """A button that draws new samples in the visitor's browser, beneath a poster of some."""

    recipe: ClassVar[int] = 3
    one_shape: ClassVar[bool] = False
    constants: ClassVar[tuple[str, ...]] = (STILLS, COLOURS)

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
    def needs_of_models(self) -> tuple[tuple[Ability, ...], ...]:
        """A sampler for browsers, of each of them."""
        return tuple(("browser",) for _ in self.models)

    def incompatibilities(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Networks that a browser's sampler does not have, or that are too heavy for it."""
        from sitegen.generative.checkpoints.browser import page_faults

        for name, card in zip(self.models, cards, strict=True):
            if self.grow and not {"random", "prior"} <= card.abilities:
                yield f"grow = true: the model {name} has no flat states from which trees grow"
            yield from page_faults(name, card)

    def file_faults(self, sources: Sequence[ModelSource]) -> Iterator[str]:
        """Weights that a browser cannot read, or that are too heavy for it."""
        from sitegen.generative.checkpoints.browser import (
            export_for_browser,
            page_faults,
            too_heavy,
        )

        for source in sources:
            if faults := [*page_faults(source.name, source.card)]:
                yield "; ".join(faults)
                continue
            if source.prior is None and "prior" in source.card.abilities:
                yield f"the model {source.name} has no prior"
                continue
            try:
                exported = export_for_browser(source.card, source.weights, source.prior)
            except RefusedError as error:
                yield str(error)
                continue
            if fault := too_heavy(source.name, exported.size, exported.gflop):
                yield fault

    def with_words(
        self, parameters: Mapping[str, Any], cards: Sequence[ModelCard]
    ) -> Mapping[str, Any]:
        """Return the parameters with the subject of each model and of its poster."""
        names = (self.display_name, *self.also)
        words = [
            {"subject": card.subject, "shows": counted(self.count, name, card)}
            for name, card in zip(names, cards, strict=True)
        ]
        noted = parameters.get("choices")
        if not isinstance(noted, list) or len(noted) != len(words):
            return parameters
        choices = [{**each, **more} for each, more in zip(noted, words, strict=True)]
        return {**parameters, "choices": choices}

    def method(self, card: ModelCard) -> str:
        """Say how a DDPM is sampled, which is not its own way."""
        steps = f"by DDIM without noise, in {card.steps} steps"
        return f"The samples are drawn {steps}." if "ddim" in card.abilities else ""

    def describe(self, card: ModelCard) -> str:
        """Describe the first poster."""
        many = counted(self.count, self.display_name, card, self.label)
        return f"{many}, drawn when this page was made"


KIND = FigureKind("sampler", PageSampler, sampler_in(__name__))
