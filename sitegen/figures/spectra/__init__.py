"""The kind `spectra`: how states fill in, or come out of noise, frequency by frequency.

A state of IHDM is measured without scaling. A state of a DDPM, x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε, is
divided by √ᾱ_k first, so that the image in it keeps its contrast. The noise then sinks over all
frequencies alike, from a floor of (1 − ᾱ_k)/ᾱ_k. Both are in [0, 1] pixel units, unclipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from sitegen.figures.arguments import RULES, NoiseStd, Seed, Show
from sitegen.figures.base import NO_TEXTS, Figure, named
from sitegen.figures.compared import ComparedKind
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.figures.spectra.drawing import Curves, Spectrum
    from sitegen.figures.svg import Drawing
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.models import Sampler
    from sitegen.sampling.provider import ModelProvider

Powers = dict[int, list[float]]
"""The mean power in each ring, by level."""

CLIPPED = (
    "The states were recorded as bytes, which clip what is beyond black and white: the power of "
    "noise may have been higher."
)


@dataclass(frozen=True, config=RULES)
class Spectra(ComparedKind):
    """Radially averaged power spectra of the states along the generation."""

    recipe: ClassVar[int] = 3

    texts: None = NO_TEXTS
    count: StrictInt = Field(
        default=32, ge=1, le=10_000, description="How many samples a spectrum is the mean of."
    )
    levels: StrictInt = Field(
        default=8, ge=2, le=20, description="How many levels of each model are drawn."
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Square images, whose frequencies are the same in both directions."""
        yield from super().unmet(cards)
        _, height, width = cards[0].shape
        if cards[0].recording and cards[0].recording.points:
            yield f"needs images; {self.model} has points in the plane"
        elif height != width:
            yield f"needs square images; those of {self.model} are {height} × {width} pixels"

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of the spectra of a model, of a DDPM, and of the data if known."""
        from sitegen.figures.clips import even_levels, made_with, noise_std_of
        from sitegen.figures.spectra.drawing import Curves, Spectrum, spectra_drawing, spectra_table
        from sitegen.figures.svg import stills
        from sitegen.media.manifest import RenderJob

        sampler = self.sampler(models)
        baseline = models.sampler(self.ddpm) if self.ddpm else None
        card = sampler.card
        heat: Powers = {}
        noise: Powers = {}
        noise_std = noise_std_of(self, card)
        samples = range(self.count)
        runs = [(sampler, sampler.begin(self.seed, samples, noise_std), heat)]
        runs += [(baseline, baseline.begin(self.seed, samples), noise)] if baseline else []

        def work() -> Iterator[None]:
            for measuring, trajectory, powers in runs:
                for level, images in trajectory.seen(self.show):
                    powers[level] = measuring.spectrum(images)
                    yield

        def curves() -> Curves:
            data = sampler.data_spectrum()
            shown = even_levels(card.visited_levels, min(self.levels, len(card.visited_levels)))
            return Curves(
                # Cosine n of the DCT has n/2 cycles in an image.
                [ring / 2 for ring in range(len(heat[0]))],
                [Spectrum(level, heat[level]) for level in reversed(shown)],
                _sinking(baseline, noise, self.levels) if baseline else [],
                data,
                floor=noise_std**2 if noise_std and self.show == "state" else 0.0,
                name=self.drawn_label(card),
            )

        def draw(width: int) -> Drawing:
            return spectra_drawing(curves(), width)

        return RenderJob(
            parameters=made_with(figure, noise_std),
            steps=card.steps + 1 + (baseline.card.steps + 1 if baseline else 0),
            work=work(),
            stills=stills(draw),
            results=lambda: spectra_table(curves(), self.count),
            note=CLIPPED if card.recording is not None and card.recording.clipped else "",
        )

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the plotted quantities and their axes."""
        card = cards[0]
        other = f", those of the DDPM {self.ddpm}, dashed," if self.ddpm else ""
        floor = (
            ", and, dotted, the sampling noise δ²"
            if self.show == "state" and card.noise_std is not None
            else ""
        )
        samples = "one sample" if self.count == 1 else f"{self.count} samples"
        data = " and that of the data" if "prior" in card.abilities else ""
        whole = card.recording is None or card.recording.finished
        last = "finished image" if whole else "last one recorded"
        return (
            f"Power spectra of {samples} at several levels, from the first state to the {last}, "
            "which is drawn strongest; power over frequency, both logarithmic: those of "
            f"{named(self, card)}{other}{data}{floor}"
        )


def _sinking(baseline: Sampler, powers: Powers, count: int) -> list[Spectrum]:
    """Return levels of a DDPM whose floors of noise are evenly spaced, the highest first.

    They begin where the noise is three times the finished images' largest power of a ring, because
    only noise is visible above that. The last level is the finished images themselves.
    """
    import torch

    from sitegen.figures.spectra.drawing import Spectrum

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
