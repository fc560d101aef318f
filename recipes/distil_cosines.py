"""Distil a large network for the coarse levels of a model into a small one.

python -m recipes.distil_cosines --help. The output of the large network lacks the noise of a
training target, so the small one learns from it in minutes instead of hours.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from recipes.cosines import LowCosines, draw_states, low_cosines
from recipes.muon import RecipeOptions
from recipes.runs import BandRun, Loss, read_net
from recipes.train_cosines import read_model
from sitegen.cli import exits
from sitegen.generative.card.networks import Band, CosineConfig
from sitegen.generative.data.images import read_images
from sitegen.generative.networks.cosines import CosineNet
from sitegen.generative.training.train import mixed_seed

BAND = Band(56, 10, cosines=CosineConfig(width=128, blocks=7, features=96))
TRAINING = RecipeOptions(
    images=25_000_000,
    batch_size=512,
    learning_rate=2e-3,
    warmup_steps=200,
    decay_share=0.6,
    ema_decay=0.998,
)
NOISIER = 1.3
"""Largest factor on the training noise of a state, since a sampler adds more and makes errors."""
POOL = 1 << 17
FRESH = 1024
FRESH_EVERY = 8
"""Steps between two replacements of `FRESH` states of the pool."""


class Lessons:
    """Pool of states (standardized coefficients and levels) with the outputs of a network."""

    def __init__(
        self, cosines: LowCosines, sharp: Tensor, teacher: CosineNet, levels: range, size: int
    ) -> None:
        self.known, self.sharp, self.teacher = cosines, sharp, teacher
        self.levels, self.size = levels, size
        self._pool = self._taught(size, torch.Generator().manual_seed(mixed_seed(0, size)))

    @torch.no_grad()
    def _taught(self, count: int, generator: torch.Generator) -> list[Tensor]:
        drawn = draw_states(self.known, self.sharp, count, self.levels, NOISIER, generator)
        parts = zip(*(torch.split(part, 8192) for part in drawn[1:]), strict=True)
        answers = [self.known.answer(self.teacher, *part) for part in parts]
        return [*drawn[1:], torch.cat(answers)]

    def renew(self, turn: int, generator: torch.Generator) -> None:
        """Replace the oldest lessons by new ones."""
        count = min(FRESH, self.size)
        start = turn * count % (self.size - self.size % count)
        for old, new in zip(self._pool, self._taught(count, generator), strict=True):
            old[start : start + count] = new

    def draw(self, count: int, generator: torch.Generator) -> list[Tensor]:
        """Return states (count, C·side²), their levels, and the wanted outputs."""
        chosen = torch.randint(self.size, (count,), generator=generator)
        return [part[chosen] for part in self._pool]


def distillation_loss(lessons: Lessons, training: RecipeOptions) -> Loss:
    """Return the distance from the teacher's output, as a share of the linear estimate's error."""

    def loss(net: CosineNet, step: int, generator: torch.Generator) -> Tensor:
        if step % FRESH_EVERY == 0:
            lessons.renew(step // FRESH_EVERY, generator)
        states, levels, targets = lessons.draw(training.batch_size, generator)
        return lessons.known.cost(lessons.known.answer(net, states, levels) - targets, levels)

    return loss


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a preconditioned model")
    parser.add_argument(
        "--teacher", type=Path, required=True, help="file written by recipes.train_cosines"
    )
    parser.add_argument("--data", type=Path, required=True, help="the images it learned from")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="file for the state of the run",
    )
    arguments = parser.parse_args()
    model, (_, teacher) = read_model(arguments.model), read_net(arguments.teacher)
    cosines = LowCosines.of(model, teacher.side)
    sharp = low_cosines(torch.as_tensor(read_images(arguments.data)), teacher.side)
    band = replace(BAND, side=teacher.side)
    levels = range(band.lowest_level, cosines.levels + 1)
    lessons = Lessons(cosines, sharp, teacher, levels, POOL)
    loss = distillation_loss(lessons, TRAINING)
    BandRun(band, model.card, loss, TRAINING).to_the_end(arguments.output)


if __name__ == "__main__":
    exits.run(main)
