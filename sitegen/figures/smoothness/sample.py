"""Smoothness: how even the interpolations of a model are, beside those of a DDPM and a DDIM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from sitegen.figures.base import Figure, spec_json
from sitegen.figures.paths import Paths, ddim_paths, ddpm_paths, heat_paths
from sitegen.figures.smoothness.drawing import smoothness_drawing, smoothness_results
from sitegen.figures.smoothness.measure import Evenness, evenness
from sitegen.figures.smoothness.spec import Smoothness
from sitegen.media.jobs import RenderJob
from sitegen.media.manifest import MediaFile
from sitegen.sampling.models import ModelProvider, Trajectory


def smoothness(models: ModelProvider, figure: Figure) -> RenderJob:
    """Paths between pairs of samples, samples 0 and 1, 2 and 3, …; measured when all are there."""
    spec = cast(Smoothness, figure.spec)
    paths = Paths(spec.seed, pairs_of(spec.pairs), spec.points)
    card = models.heat_sampler(spec.model).model.card
    own = spec.sampling_noise_std
    noise_std = card.sampling_noise_std if own is None else own
    ways_down: dict[str, Callable[[], Trajectory]] = {
        "IHDM": lambda: heat_paths(models.heat_sampler(spec.model), paths, noise_std)
    }
    steps = card.levels
    if spec.ddpm:
        baseline = models.ddpm_sampler(spec.ddpm)
        ways_down["DDPM"] = lambda: ddpm_paths(baseline, paths)
        ways_down["DDIM"] = lambda: ddim_paths(baseline, paths, spec.ddim_steps)
        steps += baseline.model.card.levels + spec.ddim_steps
    found: dict[str, Evenness] = {}

    def work() -> Iterator[None]:
        for name, begin in ways_down.items():
            yield from _measure(begin(), paths, name, found)

    def draw(folder: Path) -> MediaFile:
        words = figure.alt or spec.describe(card.levels)
        return smoothness_drawing(found, words).write(folder)

    return RenderJob(
        levels=(),
        parameters={**spec_json(figure), "sampling_noise_std": noise_std},
        steps=steps,
        work=work(),
        stills={"image": draw},
        results=lambda: smoothness_results(found),
    )


def pairs_of(count: int) -> tuple[tuple[int, int], ...]:
    """`count` pairs of samples, none of which is in two of them, so that they are independent."""
    return tuple((2 * pair, 2 * pair + 1) for pair in range(count))


def _measure(
    trajectory: Trajectory, paths: Paths, name: str, found: dict[str, Evenness]
) -> Iterator[None]:
    """Take all paths down, and measure the finished images, unclipped."""
    for step in trajectory.steps:
        if step.level == 0:
            images = step.mean.cpu().numpy()
            found[name] = evenness(images.reshape(len(paths.pairs), paths.points, -1))
        yield
