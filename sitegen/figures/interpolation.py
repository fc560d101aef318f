"""The kind `interpolation`: from one sample to another and back, in columns with DDPM and DDIM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from sitegen.figures.arguments import (
    FILE,
    RULES,
    ChosenFrom,
    DdimSteps,
    Fps,
    NoiseStd,
    OwnPicture,
    Seed,
)
from sitegen.figures.base import Figure, lacking, named
from sitegen.figures.compared import ComparedKind, path_methods
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.parts import must

if TYPE_CHECKING:
    from sitegen.media.frames import Frame
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.models import Trajectory
    from sitegen.sampling.provider import ModelProvider
    from sitegen.sampling.trajectory import Paths

Sample = Annotated[StrictInt, Field(ge=0, lt=2**31)]
FIRST = (0, 1)
"""Default samples at the ends of a path."""


@dataclass(frozen=True, config=RULES)
class Interpolation(ComparedKind):
    """Paths from one sample to another and back; a DDPM that is named has its own beside them."""

    example: ClassVar[str] = '"NAME", points=60'
    recipe: ClassVar[int] = 3
    needs: ClassVar[tuple[Ability, ...]] = ("paths",)

    samples: Annotated[
        tuple[Sample, ...],
        must("two different samples for each row, as in [0, 1]", lambda v: v and not len(v) % 2),
        Field(description="The samples of the seed that the rows begin and end with, two a row."),
    ] = FIRST
    chosen_from: ChosenFrom = None
    images: Annotated[
        tuple[OwnPicture, ...] | None,
        must('two pictures, as in ["a.png", "b.png"]', lambda v: v is None or len(v) == 2),
        Field(
            description="Two pictures in the site's folder to begin and end with, not samples.",
            json_schema_extra=FILE,
        ),
    ] = None
    level: Annotated[
        StrictInt | None,
        Field(ge=1, description="The level of the states between two pictures; K / 2 if None."),
    ] = None
    # The defaults give the 240 frames of the paper's clip: 110 points there and back, 10 at each
    # end.
    points: StrictInt = Field(
        default=110,
        ge=2,
        le=1000,
        description="Images on the way from one to the other, with both.",
    )
    hold: StrictInt = Field(
        default=10, ge=0, le=600, description="Frames for which each end is held."
    )
    seed: Seed = 0
    ddim_steps: DdimSteps = 20
    sampling_noise_std: NoiseStd = None
    fps: Fps = 30.0

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The samples that each row begins and ends with."""
        return tuple(zip(self.samples[::2], self.samples[1::2], strict=True))

    @property
    def sample_count(self) -> int:
        """Number of points of all rows."""
        return self.points * len(self.pairs)

    def slots(self, card: ModelCard) -> int:
        """A label is one for all, or for each end."""
        return len(self.samples)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The samples at the ends."""
        return self.samples

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Of a recording, the paths that were recorded: the i-th from sample 2i to 2i + 1."""
        faults = super().unmet(cards)
        if self.images is not None:
            no_paths = lacking(self.model, cards[0], self.needs)
            yield from (fault for fault in faults if fault != no_paths)
            yield from self._faults_of_images(cards[0])
            return
        yield from faults
        if self.level is not None:
            yield f"level = {self.level}: is that of two pictures; give images, too"
        # From one label to another a sample may keep its noise.
        if len(self.labels or ()) < 2 and any(first == last for first, last in self.pairs):
            pairs = "two different samples for each row, or two labels"
            yield f"samples = {list(self.samples)}: should be {pairs}"
        if (recording := cards[0].recording) is None or "paths" not in cards[0].abilities:
            return
        positions = recording.positions or 1
        if self.points != positions:
            recorded_paths = f"the paths of the recording {self.model}"
            yield f"points = {self.points}: {recorded_paths} have {positions}"
        recorded = [(2 * at, 2 * at + 1) for at in range(recording.count // positions)]
        if unrecorded := [pair for pair in self.pairs if pair not in recorded]:
            first, last = unrecorded[0]
            has = ", ".join(f"{one} to {other}" for one, other in recorded[:3])
            yield f"no path from sample {first} to {last}: the recording {self.model} has {has}"

    def _faults_of_images(self, card: ModelCard) -> Iterator[str]:
        """Yield why two pictures cannot be the ends."""
        if fault := lacking(self.model, card, ("corrupt",)):
            yield f"images: {fault}"
        if self.ddpm is not None:
            yield f'ddpm = "{self.ddpm}": is not compared between pictures; leave it out'
        if self.samples != FIRST:
            yield "samples: two pictures take their place; leave one of them out"
        if self.level is not None and self.level > card.levels:
            yield f"level = {self.level}: the model {self.model} has {card.levels} levels"

    def level_of(self, card: ModelCard) -> int:
        """Return the level of the states between two pictures: the next lower one visited."""
        requested, visited = self.level or card.levels // 2, card.visited_levels[:-1]
        return next((level for level in visited if level <= max(1, requested)), visited[-1])

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Compute all points with all methods first, then the frames that show them in turn."""
        from sitegen.figures.clips import GAP, captioned, clip_job
        from sitegen.media.frames import to_uint8
        from sitegen.media.manifest import Cells
        from sitegen.sampling.trajectory import Paths, ends

        card, rows, points = self.sampler(models).card, len(self.pairs), self.points
        note = ""
        paths = Paths(self.seed, self.pairs, points)
        if self.images is None:
            methods = path_methods(models, self, paths, self.ddim_steps)
        else:
            trajectory, note = between_images(models, self, figure, paths)
            steps = len(trajectory.process.levels) - 1
            methods = {self.drawn_label(card): (lambda: trajectory, steps)}
        pictures: list[Frame] = []

        def work() -> Iterator[None]:
            for begin, _ in methods.values():
                for images in ends(begin()):
                    if images is not None:
                        pictures.append(
                            to_uint8(images).reshape(rows, points, *images.shape[2:], -1)
                        )
                    yield

        def states() -> Iterator[Frame]:
            import numpy as np

            columns = np.stack(pictures, axis=1)  # (rows, methods, points, H, W, 3)
            for point in range(points):
                shown = columns[:, :, point]
                yield shown.reshape(-1, *shown.shape[2:])

        names = tuple(methods) if len(methods) > 1 else ()
        _, height, width = card.shape
        cells = Cells(rows * len(methods), width, height, len(methods), GAP, True, names)
        texts = self.cell_texts(card)
        turns_into = map(" to ".join, zip(texts[::2], texts[1::2], strict=True))
        cells = captioned(cells, [text for text in turns_into for _ in methods])
        return clip_job(
            figure,
            card,
            cells,
            states(),
            order=turns(points, self.hold),
            levels=(0,) * points,
            steps=sum(steps for _, steps in methods.values()),
            work=work(),
            note=note,
        )

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the samples at the ends, and the panels."""
        rows = len(self.pairs)
        if self.images is not None:
            level, axis = self.level_of(cards[0]), cards[0].axis
            return (
                f"With {named(self, cards[0])} a given picture changes into another and back, in "
                f"{self.points} images through the states at {axis.symbol} = "
                f"{axis.text(level)}"
            )
        change = (
            f"{rows} samples change into others" if rows > 1 else "a sample changes into another"
        )
        text = f"With {named(self, cards[0])} {change} and back"
        if self.ddpm:
            text = f"Three panels side by side: in each {change} and back, with "
            text += f"{named(self, cards[0])}, with the full latent of the DDPM {self.ddpm}, and "
            text += "with DDIM"
        return f"{text}, in {self.points} images"


def between_images(
    models: ModelProvider, kind: Interpolation, figure: Figure, paths: Paths
) -> tuple[Trajectory, str]:
    """Return the trajectory of the points between two pictures, and a sentence for the caption.

    At the level, the picture goes straight from one to the other, and its noise on a great circle.
    """
    import torch

    from sitegen.figures.clips import noise_std_of
    from sitegen.figures.given import fitted_note, read_image
    from sitegen.generative.maths.noise import Purpose, great_circle, normal, straight
    from sitegen.sampling.models import noise_of

    sampler = kind.sampler(models)
    card, points = sampler.card, kind.points
    level, contents = kind.level_of(card), [figure.read("images", number) for number in (0, 1)]
    files = zip(figure.paths("images"), contents, strict=True)
    first, last = torch.cat([read_image(path, card, data) for path, data in files])
    draws = normal(kind.seed, Purpose.BRANCH, paths.ends, level, card.shape)
    states = sampler.forward(
        straight(first, last, points), level, great_circle(draws[0], draws[1], points)
    )
    noise = noise_of(paths, card.shape) if sampler.process.random else None
    condition = sampler.process.condition
    sampler = sampler.conditioned(condition and condition.between(len(paths.pairs), points))
    through = f"Both pictures were taken to the level {level}, and drawn back from between there."
    trajectory = sampler.back(states, level, noise, noise_std_of(kind, card))
    return trajectory, " ".join(filter(None, (through, fitted_note(contents, card))))


def turns(points: int, hold: int) -> list[int]:
    """Return the point that each frame shows: forth, hold, back, hold."""
    forth = list(range(points))
    return [*forth, *forth[-1:] * hold, *forth[::-1], *forth[:1] * hold]
