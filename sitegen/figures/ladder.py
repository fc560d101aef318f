"""The kind `ladder`: the same noise by several methods, in several numbers of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, StrictInt, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from sitegen.core.diagnostics import listed
from sitegen.figures.arguments import RULES, Fps, ModelName, SamplerName, Seed
from sitegen.figures.base import ChosenKind, Figure, lacking, named, sampled_as, step_evaluations
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.frames import Frame
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider

Way = tuple[str, int | None, str | None]
"""A column: the name of its model, its steps and its sampler."""


def _several(values: Any) -> Any:
    return values if isinstance(values, list | tuple) else (values,)


StepCounts = Annotated[
    tuple[Annotated[StrictInt, Field(ge=1, le=10_000)] | None, ...], BeforeValidator(_several)
]


@dataclass(frozen=True, config=RULES)
class Ladder(ChosenKind):
    """The same noise in each row, and in the columns methods and numbers of steps.

    The number over a column is that of the network's evaluations for an image.
    """

    example: ClassVar[str] = '"NAME", steps=(5, 10, 25), count=3'
    recipe: ClassVar[int] = 2

    also: Annotated[tuple[ModelName, ...], BeforeValidator(_several)] = Field(
        default=(), description="Other models, whose columns follow; or give all as `models`."
    )
    # The same argument as of other kinds, for each column.
    steps: StepCounts = Field(  # type: ignore[assignment]
        default=(None,),
        min_length=1,
        description="Numbers of steps, a column each; the card's if none.",
    )
    samplers: Annotated[tuple[SamplerName, ...], BeforeValidator(_several)] = Field(
        default=(None,),
        min_length=1,
        description="Samplers of a DDPM, a flow or EDM, a group of columns each.",
    )
    sampler_name: None = Field(default=None, description="That of the card.", init=False)
    count: StrictInt = Field(default=4, ge=1, le=100, description="How many rows, of a noise each.")
    seed: Seed = 0
    fps: Fps = None

    @model_validator(mode="before")
    @classmethod
    def _take_models(cls, arguments: ArgsKwargs) -> ArgsKwargs:
        """Accept `models`, the first of which is the figure's model."""
        values = dict(arguments.kwargs or {})
        names = values.get("models")
        if isinstance(names, list | tuple) and names and "model" not in values:
            values |= {"model": names[0], "also": tuple(values.pop("models")[1:])}
        return ArgsKwargs(arguments.args, values)

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models."""
        return self.model, *self.also

    @property
    def ways(self) -> tuple[Way, ...]:
        """The columns from left to right."""
        return tuple(
            (model, steps, sampler)
            for model in self.models
            for sampler in self.samplers
            for steps in self.steps
        )

    def cards(self, cards: Sequence[ModelCard]) -> Sequence[ModelCard]:
        """Return the card of each column."""
        by_name = dict(zip(self.models, cards, strict=True))
        return tuple(
            sampled_as(name, by_name[name], steps, sampler) for name, steps, sampler in self.ways
        )

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Networks of one size, labels that all have, and more than one column."""
        yield from super().unmet(cards)
        if len(cards) == 1:
            yield "has one column; give several steps, samplers or models"
        for (name, *_), card in zip(self.ways, cards, strict=True):
            if fault := lacking(name, card, ("network",)):
                yield fault
            elif card.shape != cards[0].shape:
                yield f"{name} makes images of another size than {self.model}"
            elif self.labels is not None and card.labels != cards[0].labels:
                yield f"labels: {name} has others than {self.model}"

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job that computes a column after the other, then the frames of all."""
        from sitegen.figures.clips import FRAMES, GAP, captioned, stretched, stretched_job
        from sitegen.media.manifest import Cells

        samplers = []
        for name, steps, sampler_name in self.ways:
            sampler = models.sampler(name, steps, sampler_name)
            samplers.append(sampler.conditioned(self.condition(sampler.card)))
        columns: list[dict[int, Frame]] = []

        def work() -> Iterator[None]:
            for sampler in samplers:
                stream = sampler.begin(self.seed, self.numbers)
                for column in stretched(stream, sampler.card.steps):
                    columns.extend([] if column is None else [column])
                    yield

        def pictures() -> Iterator[Frame]:
            import numpy as np

            for frame in range(FRAMES + 1):
                rows = np.stack([column[frame] for column in columns], axis=1)
                yield rows.reshape(-1, *rows.shape[2:])

        card = samplers[0].card
        cards = [sampler.card for sampler in samplers]
        (_, height, width), numbers = card.shape, self.numbers
        cells = Cells(
            len(numbers) * len(cards), width, height, len(cards), GAP, True,
            column_names(self, cards),
            samples=tuple(number for number in numbers for _ in cards),
        )  # fmt: skip
        cells = captioned(cells, [text for text in self.cell_texts(card) for _ in cards])
        return stretched_job(
            figure,
            card,
            cells,
            pictures(),
            steps=sum(one.steps for one in cards),
            work=work(),
            note="Numbers over the columns count evaluations of the network for an image.",
        )

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the rows and columns."""
        rows = f"{self.count} rows" if self.count > 1 else "One row"
        columns = listed(column_names(self, cards), "and")
        return (
            f"{rows} of images by {named(self, cards[0])}, from one noise in each row; the "
            f"columns, with the number of the network's evaluations: {columns}"
        )


def column_names(kind: Ladder, cards: Sequence[ModelCard]) -> tuple[str, ...]:
    """Return the method of each column, if they differ, and its evaluations of the network.

    Methods that share a label, as all solvers of flows do, have the names in the call instead.
    """
    methods = {
        (model, name): card.label for (model, _, name), card in zip(kind.ways, cards, strict=True)
    }
    if len({*methods.values()}) < len(methods):
        for (model, name), label in methods.items():
            parts = [model] * (len(kind.models) > 1) + [name or label] * (len(kind.samplers) > 1)
            methods[model, name] = " ".join(parts)
    counts = [str(round(card.steps * step_evaluations(kind, card))) for card in cards]
    if len(methods) == 1:
        return tuple(counts)
    return tuple(
        f"{methods[model, name]} {count}"
        for (model, _, name), count in zip(kind.ways, counts, strict=True)
    )
