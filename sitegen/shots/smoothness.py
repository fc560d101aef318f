"""Smoothness: how even the interpolations of a model are, beside those of a DDPM and a DDIM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from sitegen.actors import Cast, Take
from sitegen.drawings.smoothness import smoothness_drawing, smoothness_results
from sitegen.figures import Figure, spec_json
from sitegen.kinds.stills import Smoothness
from sitegen.media import MediaFile
from sitegen.plan import Shot
from sitegen.shots.paths import Paths, ddim_paths, ddpm_paths, heat_paths
from sitegen.smoothness import Evenness, evenness


def smoothness(crew: Cast, figure: Figure) -> Shot:
    """Paths between pairs of samples, samples 0 and 1, 2 and 3, …; measured when all are there."""
    spec = cast(Smoothness, figure.spec)
    paths = Paths(spec.seed, pairs_of(spec.pairs), spec.points)
    card = crew.actor(spec.model).model.card
    own = spec.sampling_noise_std
    noise_std = card.sampling_noise_std if own is None else own
    takes: dict[str, Callable[[], Take]] = {
        "IHDM": lambda: heat_paths(crew.actor(spec.model), paths, noise_std)
    }
    steps = card.levels
    if spec.ddpm:
        baseline = crew.diffusion(spec.ddpm)
        takes["DDPM"] = lambda: ddpm_paths(baseline, paths)
        takes["DDIM"] = lambda: ddim_paths(baseline, paths, spec.ddim_steps)
        steps += baseline.model.card.levels + spec.ddim_steps
    found: dict[str, Evenness] = {}

    def work() -> Iterator[None]:
        for name, begin in takes.items():
            yield from _measure(begin(), paths, name, found)

    def draw(folder: Path) -> MediaFile:
        words = figure.alt or spec.describe(card.levels)
        return smoothness_drawing(found, words).write(folder)

    return Shot(
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


def _measure(take: Take, paths: Paths, name: str, found: dict[str, Evenness]) -> Iterator[None]:
    """Take all paths down, and measure the finished images, unclipped."""
    for step in take.steps:
        if step.level == 0:
            images = step.mean.cpu().numpy()
            found[name] = evenness(images.reshape(len(paths.pairs), paths.points, -1))
        yield
