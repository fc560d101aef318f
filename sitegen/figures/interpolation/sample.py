"""Interpolations: forth, hold, back, hold; a panel for each way to sample, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from sitegen.figures.base import Figure, spec_json
from sitegen.figures.clips import BACKGROUND, DARK, INK, LIGHT, noise_std_of
from sitegen.figures.interpolation.spec import Interpolation
from sitegen.figures.paths import Paths, ddim_paths, ddpm_paths, heat_paths
from sitegen.media.encoder import ClipSpec, crf_for, write_still
from sitegen.media.frames import Colour, Frame, to_uint8
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.labels import Panels, strip
from sitegen.media.manifest import MediaFile
from sitegen.sampling.models import ModelProvider, Trajectory

LABELS = ("IHDM", "Full DDPM latent", "DDIM")
"""The names of the panels."""
SHORT = ("IHDM", "DDPM", "DDIM")
"""Their names in a strip."""

_IN_A_STRIP = 10


def interpolation(models: ModelProvider, figure: Figure) -> RenderJob:
    """All points of all panels first, then the frames that show them in turn."""
    spec = cast(Interpolation, figure.spec)
    sampler = models.heat_sampler(spec.model)
    card, noise_std = sampler.model.card, noise_std_of(spec, sampler)
    paths = Paths(spec.seed, spec.pairs, spec.points)
    ways_down, steps = [heat_paths(sampler, paths, noise_std)], card.levels
    if spec.ddpm is not None:
        baseline = models.ddpm_sampler(spec.ddpm)
        ways_down += [ddpm_paths(baseline, paths), ddim_paths(baseline, paths, spec.ddim_steps)]
        steps += baseline.model.card.levels + spec.ddim_steps
    panels = Panels(LABELS[: len(ways_down)], len(spec.pairs), card.image_size, BACKGROUND, INK)
    fps = spec.fps or 30.0
    crf = crf_for(card.image_size)
    ways: list[Frame] = []

    def draw(name: str, colours: tuple[Colour, Colour], folder: Path) -> MediaFile:
        return write_still(_strip(ways, spec, colours), folder / f"{name}.webp")

    known = {
        "samples": list(spec.samples),
        "sampling_noise_std": noise_std,
        "fps": fps,
        "panels": list(panels.labels),
        "factor": panels.factor,
    }
    return RenderJob(
        levels=(0,) * len(turns(spec.points, spec.hold)),
        parameters={**spec_json(figure), **known},
        clips={"": ClipSource(ClipSpec(fps, crf, 1, BACKGROUND), _frames(panels, ways, spec))},
        steps=steps,
        work=_sample(ways_down, ways),
        stills={
            "strip": partial(draw, "strip", LIGHT),
            "strip-dark": partial(draw, "strip-dark", DARK),
        },
    )


def turns(points: int, hold: int) -> list[int]:
    """The point that each frame shows: forth, hold, back, hold."""
    forth = list(range(points))
    return [*forth, *forth[-1:] * hold, *forth[::-1], *forth[:1] * hold]


def _sample(ways_down: Sequence[Trajectory], ways: list[Frame]) -> Iterator[None]:
    """Take every step; what each take ends in goes to `ways`, (rows · points, side, side, 3)."""
    for trajectory in ways_down:
        for step in trajectory.steps:
            if step.level == 0:
                ways.append(to_uint8(step.mean.cpu().numpy()))
            yield


def _frames(panels: Panels, ways: Sequence[Frame], spec: Interpolation) -> Iterator[Frame]:
    for point in turns(spec.points, spec.hold):
        yield panels.draw([way[point :: spec.points] for way in ways])


def _strip(ways: Sequence[Frame], spec: Interpolation, colours: tuple[Colour, Colour]) -> Frame:
    """Some points of every path, evenly spaced, a row for each way to sample."""
    shown = min(_IN_A_STRIP, spec.points)
    chosen = [round(at * (spec.points - 1) / (shown - 1)) for at in range(shown)]
    rows = [
        (name, [way[start + point] for point in chosen])
        for start in range(0, len(ways[0]), spec.points)
        for name, way in zip(SHORT, ways, strict=False)
    ]
    return strip(rows, *colours)
