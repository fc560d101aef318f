"""Spectra: how the states of a generation fill in, or come out of noise, frequency by frequency.

A state of IHDM is measured without scaling. A state of a DDPM, x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε, is
divided by √ᾱ_k first, so that the image in it keeps its contrast. The noise then sinks over all
frequencies alike, from a floor of (1 − ᾱ_k)/ᾱ_k. Both are in [0, 1] pixel units, unclipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sitegen.figures.base import Figure
from sitegen.figures.clips import even_levels, made_with, noise_std_of
from sitegen.figures.spectra import Spectra
from sitegen.figures.spectra.drawing import Curves, Spectrum, spectra_drawing, spectra_table
from sitegen.figures.svg import Drawing, Sheet, stills
from sitegen.media.jobs import RenderJob
from sitegen.sampling.provider import ModelProvider

if TYPE_CHECKING:
    from sitegen.sampling.models import Sampler

Powers = dict[int, list[float]]
"""The mean power in each ring, by level."""


CLIPPED = (
    "The states were recorded as bytes, which clip what is beyond black and white: the power of "
    "noise may have been higher."
)


def sample(models: ModelProvider, figure: Figure, spec: Spectra) -> RenderJob:
    """Return the job of the spectra of a model, of a DDPM, and of the data if they are known."""
    sampler = models.sampler(spec.model)
    baseline = models.sampler(spec.ddpm) if spec.ddpm else None
    card = sampler.card
    heat: Powers = {}
    noise: Powers = {}
    noise_std = noise_std_of(spec, card)
    samples = range(spec.count)
    runs = [(sampler, sampler.begin(spec.seed, samples, noise_std), heat)]
    runs += [(baseline, baseline.begin(spec.seed, samples), noise)] if baseline else []

    def work() -> Iterator[None]:
        for measuring, trajectory, powers in runs:
            for level, images in trajectory.seen(spec.show):
                powers[level] = measuring.spectrum(images)
                yield

    def curves() -> Curves:
        data = sampler.data_spectrum()
        shown = even_levels(card.visited_levels, min(spec.levels, len(card.visited_levels)))
        return Curves(
            [ring / 2 for ring in range(len(heat[0]))],
            [Spectrum(level, heat[level]) for level in reversed(shown)],
            _sinking(baseline, noise, spec.levels) if baseline else [],
            data,
            floor=noise_std**2 if noise_std and spec.show == "state" else 0.0,
            name=spec.drawn_label(card),
        )

    def draw(sheet: Sheet) -> Drawing:
        return spectra_drawing(curves(), sheet)

    return RenderJob(
        parameters=made_with(figure, noise_std),
        steps=card.steps + 1 + (baseline.card.steps + 1 if baseline else 0),
        work=work(),
        stills=stills(draw),
        results=lambda: spectra_table(curves(), spec.count),
        note=CLIPPED if card.recording is not None and card.recording.clipped else "",
    )


def _sinking(baseline: Sampler, powers: Powers, count: int) -> list[Spectrum]:
    """Return levels of a DDPM whose floors of noise are evenly spaced, the highest first.

    They begin where the noise is three times the finished images' largest power of a ring, because
    only noise is visible above that. The last level is the finished images themselves.
    """
    import torch

    visited = sorted(powers)
    diffusion = baseline.card.diffusion
    assert diffusion is not None
    every = torch.tensor(diffusion.alphas_bar(baseline.card.levels), dtype=torch.float64)
    alphas_bar = every[visited]
    floors = (1 - alphas_bar) / alphas_bar / 4  # in [0, 1] units, half as large as [-1, 1]
    most = max(powers[0][1:])
    loud = (floors >= 3 * most).nonzero()
    first = int(loud[0]) if len(loud) else len(floors) - 1
    ideal = torch.logspace(
        0, 1, max(count - 1, 1), float(floors[first] / floors[1]), dtype=torch.float64
    )
    nearest = (floors[1 : first + 1, None].log() - (floors[1] * ideal).log()).abs().argmin(0) + 1
    return [
        Spectrum(visited[n], [power / float(alphas_bar[n]) for power in powers[visited[n]]])
        for n in [*sorted(set(nearest.tolist()), reverse=True), 0]
    ]
