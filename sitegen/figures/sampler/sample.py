"""Export of a model to a page: its files for the browser, and a poster of real samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitegen.figures.base import Figure
from sitegen.figures.clips import displayed, made_with
from sitegen.figures.live import exported_model, model_files
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.labels import Condition
from sitegen.media.encoder import write_still
from sitegen.media.frames import enlarge, scale_factor, sheet, to_uint8
from sitegen.media.manifest import Cells, MediaFile, RenderJob
from sitegen.models.browser import BrowserModel
from sitegen.sampling.provider import ModelProvider


def sample(
    models: ModelProvider, figure: Figure, names: Sequence[str], seed: int, numbers: Sequence[int]
) -> RenderJob:
    """Return the job of the models as a browser reads them, and of posters of their samples.

    names: of the models; the first is shown before a visitor chooses
    numbers: those of the samples on each poster

    The files of the first are "poster", "model" and "weights", those of the second "poster-2" and
    so on. Raises RefusedError for a model that a browser's sampler does not have, or
    that is too heavy.
    """
    pixelated = figure.spec.pixelated
    drawn = []
    for name in names:
        drawn.append(_Drawn(name, *exported_model(models, name), seed, numbers, pixelated))
    drawn[0] = replace(drawn[0], condition=figure.spec.condition(drawn[0].card))
    endings = ["", *(f"-{number}" for number in range(2, len(drawn) + 1))]
    card, note = drawn[0].card, ""
    if "ddim" in card.abilities:
        note = f"The samples are drawn by DDIM without noise, in {card.steps} steps."
    return RenderJob(
        parameters=made_with(figure, card.noise_std, choices=[one.facts for one in drawn]),
        steps=sum(one.card.steps + 1 for one in drawn),
        work=chain.from_iterable(one.work(models) for one in drawn),
        stills={
            name: write
            for one, ending in zip(drawn, endings, strict=True)
            for name, write in one.files(ending).items()
        },
        note=note,
    )


@dataclass(frozen=True)
class _Drawn:
    """A model that a page gets, and its samples, which `last` holds once the work is done."""

    name: str
    card: ModelCard
    exported: BrowserModel
    seed: int
    numbers: Sequence[int]
    pixelated: bool
    condition: Condition | None = None
    last: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def facts(self) -> dict[str, Any]:
        """Return numbers about it for the page."""
        levels, axis = {}, self.card.axis
        if "prior" not in self.card.abilities:  # a page shows the levels of models of noise
            implicit = "ddim" in self.card.abilities
            levels = {"symbol": axis.symbol, "command": not implicit}
        return {
            "gflop": float(f"{self.exported.gflop:.3g}"),
            "channels": self.card.channels,
            **({"labels": list(self.card.labels.names)} if self.card.labels else {}),
            **levels,
        }

    def work(self, models: ModelProvider) -> Iterator[None]:
        """The sampling, a step a turn."""
        sampler = models.sampler(self.name)
        if self.condition is not None:
            sampler = sampler.conditioned(self.condition)
        if "ddim" in self.card.abilities:
            sampler = sampler.ddim(self.card.steps)
        trajectory = sampler.begin(self.seed, self.numbers, self.card.noise_std)
        for images in displayed(trajectory, "mean"):
            self.last[:] = [images]
            yield

    def files(self, ending: str) -> dict[str, Callable[[Path], MediaFile]]:
        """Return functions that write its files into a folder, by the names used in a record."""
        posters = {
            f"poster{ending}": partial(self._poster, f"poster{ending}.avif"),
            f"poster-webp{ending}": partial(self._poster, f"poster{ending}.webp"),
        }
        return {**posters, **model_files(self.name, self.card, self.exported, ending)}

    def _poster(self, name: str, folder: Path) -> MediaFile:
        side = self.card.image_size
        columns = math.ceil(math.sqrt(len(self.numbers)))
        cells = Cells(len(self.numbers), side, side, columns, 0)
        factor = scale_factor(*cells.size)
        pictures = enlarge(to_uint8(self.last[0]), factor, smooth=not self.pixelated)
        return write_still(sheet(pictures, cells.enlarged(factor)), folder / name)
