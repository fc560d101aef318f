"""Figures that stand still: both processes, spectra, and how even interpolations are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, StrictInt, ValidationInfo
from pydantic.dataclasses import dataclass as validated

from sitegen.ihdm.card import ModelCard
from sitegen.kinds.base import RULES, Model, ModelName, NoiseStd, Seed, Show, Spec
from sitegen.ownfiles import Folder


def _in_site(name: str, info: ValidationInfo) -> str:
    """Refuse what names no file in the folder of the site, which is pydantic's context."""
    root = (info.context or {}).get("root")
    if root is not None:
        Folder(Path(root)).find(name)
    return name


OwnPicture = Annotated[str, AfterValidator(_in_site)]
Baseline = Annotated[
    ModelName | None, Field(description="The name of a DDPM of the same data, to compare with.")
]


@validated(frozen=True, config=RULES)
class Process(Spec):
    """The forward process on a real image above the inverse process, level by level."""

    recipe: ClassVar[int] = 2
    example: ClassVar[str] = '"NAME", image="FILE.png"'

    model: Model
    image: Annotated[
        OwnPicture | None,
        Field(description="A picture in the site's folder; the model card's example if not given."),
    ] = None
    columns: StrictInt = Field(default=6, ge=2, le=12, description="How many levels are shown.")
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None

    @property
    def models(self) -> tuple[str, ...]:
        """The one model that is sampled."""
        return (self.model,)

    @property
    def files(self) -> tuple[str, ...]:
        """The author's picture."""
        return ("image",)

    @property
    def needs_example(self) -> bool:
        """Without a picture of the author's."""
        return self.image is None

    def misfits(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """More columns than there are levels."""
        levels = cards[0].levels + 1
        if self.columns > levels:
            yield f"columns = {self.columns}: the model {self.model} has {levels} levels to show"

    def describe(self, levels: int, subject: str = "") -> str:
        """Say what the two rows show."""
        return (
            f"Two rows of {self.columns} pictures. The upper one, from left to right, is the "
            "forward process: heat dissipation, ∂u/∂t = Δu, blurs an image until it is flat. The "
            "lower one, from right to left, is the inverse process, generation: "
            f"the model {self.model} turns that flat image into a new one in {levels} steps"
        )


@validated(frozen=True, config=RULES)
class Spectra(Spec):
    """Radially averaged power spectra of the states along the generation."""

    recipe: ClassVar[int] = 2

    model: Model
    ddpm: Baseline = None
    count: StrictInt = Field(
        default=32, ge=1, le=10_000, description="How many samples a spectrum is the mean of."
    )
    levels: StrictInt = Field(
        default=8, ge=2, le=20, description="How many levels of each model are drawn."
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None

    @property
    def models(self) -> tuple[str, ...]:
        """The model, and the DDPM if there is one."""
        return (self.model,) if self.ddpm is None else (self.model, self.ddpm)

    def describe(self, levels: int, subject: str = "") -> str:
        """Say what is drawn over what."""
        other = f", those of the DDPM {self.ddpm}, dashed," if self.ddpm else ""
        floor = ", and, dotted, the sampling noise δ²" if self.show == "state" else ""
        many = "one sample" if self.count == 1 else f"{self.count} samples"
        return (
            f"Power spectra of {many} at several levels, from the first state to the finished "
            "image, which is drawn strongest; power over frequency, both logarithmic: those of the "
            f"model {self.model}{other} and that of the data{floor}"
        )


@validated(frozen=True, config=RULES)
class Smoothness(Spec):
    """How even interpolations are: the largest step over the mean step, and how long the way is."""

    recipe: ClassVar[int] = 2
    example: ClassVar[str] = '"NAME", pairs=16'

    model: Model
    ddpm: Baseline = None
    pairs: StrictInt = Field(default=16, ge=2, le=1000, description="How many pairs of samples.")
    points: StrictInt = Field(
        default=6, ge=3, le=200, description="Images on the way from one to the other, with both."
    )
    seed: Seed = 0
    ddim_steps: StrictInt = Field(
        default=20, ge=1, le=1000, description="Steps of the DDIM that samples the DDPM."
    )
    sampling_noise_std: NoiseStd = None

    @property
    def models(self) -> tuple[str, ...]:
        """The model, and the DDPM if there is one."""
        return (self.model,) if self.ddpm is None else (self.model, self.ddpm)

    def misfits(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """More steps of DDIM than there are levels."""
        for card in cards[1:]:
            if self.ddim_steps > card.levels:
                has = f"the model {self.ddpm} has {card.levels} levels"
                yield f"ddim_steps = {self.ddim_steps}: {has}"

    def describe(self, levels: int, subject: str = "") -> str:
        """Say what is drawn."""
        others = " and with its DDPM and DDIM baselines" if self.ddpm else ""
        return (
            f"How even interpolations between {self.pairs} pairs of samples are, with the model "
            f"{self.model}{others}: for each pair the largest step over the mean step, where 1 is "
            "perfectly even, and the length of the way over the distance of its ends, where 1 is "
            "the straight way, with medians and their intervals"
        )
