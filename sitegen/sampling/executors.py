"""Run samples in this process: shards one step after the other, networks a few images at a time.

What computes elsewhere, such as `cluster/place.py`, is another executor.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sitegen.generative.card.card import ModelCard
from sitegen.generative.engines.choice import bytes_of
from sitegen.generative.engines.chunks import CORES, each_on_one_thread, on_one_thread
from sitegen.generative.engines.memory import memory_errors
from sitegen.generative.process.dissipation import KnowsVariance
from sitegen.generative.process.model import CardModel
from sitegen.sampling.batches import SampleBatch, Selection, Visible, joined

PIXELS_AT_ONCE = 40 * 28 * 28
"""Pixels that a model processes at a time; its engines may process fewer."""
FEWEST = 8
"""Minimum number of images at a time, however large, so that several cores have work."""


def run_here(shards: Sequence[SampleBatch], selection: Selection) -> Iterator[Visible]:
    """Run shards in this process, all of them step by step."""
    process = shards[0].process
    if isinstance(process.model, CardModel):
        process = replace(process, model=in_chunks(process.model))
    runs = zip(*(replace(shard, process=process).run() for shard in shards), strict=True)
    for steps in each_on_one_thread(runs):
        outputs = [shard.select(step, selection) for shard, step in zip(shards, steps, strict=True)]
        yield steps[0].level, joined(outputs)


def in_chunks(model: Any) -> ChunkedModel:
    """Return a model that sees a fixed number of pixels at a time."""
    return ChunkedModel(model, chunk(model.card.shape), _needed(model.card))


def chunk(shape: tuple[int, ...]) -> int:
    """Return how many images of a shape (C, H, W) the network sees at a time."""
    return max(FEWEST, PIXELS_AT_ONCE // (shape[1] * shape[2]))


def _needed(card: ModelCard) -> str:
    """Return text on the memory that one image needs; empty if it is unknown for the networks."""
    whole = card.image_size
    found = [bytes_of(band.unet, band.side or whole) for band in card.networks if band.unet]
    return f" (an image of {whole} pixels needs about {max(found) / 1e6:.3g} MB)" if found else ""


@dataclass(frozen=True)
class ChunkedModel:
    """A model that sees at most `size` images at a time."""

    model: Any
    size: int
    needed: str

    @property
    def card(self) -> ModelCard:
        """The card of the model."""
        card: ModelCard = self.model.card
        return card

    def noise_std(self, level: int, below: int, delta: float) -> float | Tensor:
        """Return the model's noise standard deviation if it knows one; else `delta`."""
        known = isinstance(self.model, KnowsVariance)
        found: float | Tensor = self.model.noise_std(level, below, delta) if known else delta
        return found

    def __call__(self, u: Tensor, *levels: int | None) -> Tensor:
        """Evaluate the model with its own arguments."""
        with memory_errors(f"computing level {levels[0]}{self.needed}"), on_one_thread():
            return torch.cat([self.model(part, *levels) for part in torch.split(u, self.size)])


def seconds_an_image(model: CardModel) -> float:
    """Return the networks' seconds per image at one level, averaged over the levels.

    Measured with as many images as rendering processes at a time; with one per core if they are
    large.
    """
    left, lowest = (
        model.card.visited_levels[:-1],
        [band.lowest_level for band in model.card.networks],
    )
    bands = [bisect_right(lowest, level) for level in left]
    seconds = {band: _seconds_at(model, left[bands.index(band)]) for band in {*bands}}
    return sum(seconds[band] for band in bands) / len(bands)


@torch.inference_mode()
def _seconds_at(model: CardModel, level: int) -> float:
    _, height, width = model.card.shape
    size = max(CORES, PIXELS_AT_ONCE // (height * width))  # fewer than `FEWEST` would be, if large
    states = torch.zeros(size, *model.card.shape, device=model.device)
    seconds = math.inf
    for _ in range(3):
        started = time.perf_counter()
        model(states, level).cpu()  # which waits for the device
        seconds = min(seconds, time.perf_counter() - started)
    return seconds / size
