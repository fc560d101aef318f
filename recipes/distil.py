"""Makes a small network for the coarse levels of a model from a large one, and puts it into it.

python -m recipes.distil --help. The answer of the large network has none of a target's noise in
it, so the small one learns from it in minutes what it would need hours for.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from sitegen.ihdm.nets.coarse import CoarseNet
from torch import Tensor

from recipes.coarse import LowCosines, draw_states, low_cosines
from recipes.runs import CoarseRun, Loss, read_net, read_recipe
from recipes.train_coarse import read_model
from sitegen.ihdm.card.card import CARD_NAME, FileRef, ModelCard
from sitegen.ihdm.card.networks import CoarseConfig
from sitegen.ihdm.checkpoints.loading import WEIGHTS_NAME, read_weights
from sitegen.ihdm.checkpoints.weights import COARSE, save_weights
from sitegen.ihdm.data.images import read_images
from sitegen.ihdm.training.options import TrainingOptions
from sitegen.ihdm.training.train import mixed_seed
from sitegen.models.registry import ModelSource, model_source

NETWORK = CoarseConfig(lowest_level=56, side=10, width=128, blocks=7, features=96)
TRAINING = TrainingOptions(
    images=25_000_000,
    batch_size=512,
    learning_rate=2e-3,
    warmup_steps=200,
    decay_share=0.6,
    ema_decay=0.998,
)
NOISIER = 1.3
"""How many times the noise of training a state has at most: a sampler adds more, and errs."""
POOL = 1 << 17
FRESH = 1024
FRESH_EVERY = 8
"""Every so many steps, so many of the pool of states give way to new ones."""


class Lessons:
    """A pool of states (standardised coefficients and levels) with the answers of a network."""

    def __init__(
        self, known: LowCosines, sharp: Tensor, teacher: CoarseNet, lowest_level: int, size: int
    ) -> None:
        self.known, self.sharp, self.teacher = known, sharp, teacher
        self.lowest_level, self.size = lowest_level, size
        self._pool = self._taught(size, torch.Generator().manual_seed(mixed_seed(0, size)))

    @torch.no_grad()
    def _taught(self, count: int, generator: torch.Generator) -> list[Tensor]:
        drawn = draw_states(self.known, self.sharp, count, self.lowest_level, NOISIER, generator)
        parts = zip(*(torch.split(part, 8192) for part in drawn[1:]), strict=True)
        answers = [self.known.answer(self.teacher, *part) for part in parts]
        return [*drawn[1:], torch.cat(answers)]

    def renew(self, turn: int, generator: torch.Generator) -> None:
        """Put new lessons in the place of the oldest."""
        count = min(FRESH, self.size)
        start = turn * count % (self.size - self.size % count)
        for old, new in zip(self._pool, self._taught(count, generator), strict=True):
            old[start : start + count] = new

    def draw(self, count: int, generator: torch.Generator) -> list[Tensor]:
        """States (count, C·side²), their levels, and the answers that are wanted."""
        chosen = torch.randint(self.size, (count,), generator=generator)
        return [part[chosen] for part in self._pool]


def distillation_loss(lessons: Lessons, training: TrainingOptions) -> Loss:
    """How far the answer is from the teacher's, as a share of what the linear estimate leaves."""

    def loss(net: CoarseNet, step: int, generator: torch.Generator) -> Tensor:
        if step % FRESH_EVERY == 0:
            lessons.renew(step // FRESH_EVERY, generator)
        states, levels, wanted = lessons.draw(training.batch_size, generator)
        return lessons.known.cost(lessons.known.answer(net, states, levels) - wanted, levels)

    return loss


def write_model(
    folder: Path, source: ModelSource, net: CoarseNet, recipe: Mapping[str, object]
) -> ModelCard:
    """Put the model of `source` with that network into `folder`; gives its card."""
    own = read_weights(source.weights, source.card)
    weights = {name: value for name, value in own.items() if not name.startswith(COARSE)}
    coarse = {COARSE + name: value for name, value in net.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    digest = save_weights(folder / WEIGHTS_NAME, {**weights, **coarse}, torch.float16, net.config)
    card = replace(
        source.card,
        weights=FileRef(WEIGHTS_NAME, digest),
        coarse=net.config,
        training={**source.card.training, "coarse": recipe},
        quality={},
        known_faults=(),
    )
    for part in (card.prior, card.example):
        if part is not None:
            shutil.copyfile(source.weights.parent / part.file, folder / part.file)
    (folder / CARD_NAME).write_text(card.to_toml(), encoding="utf-8")
    return card


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a preconditioned model")
    parser.add_argument(
        "--teacher", type=Path, required=True, help="what recipes.train_coarse made"
    )
    parser.add_argument("--data", type=Path, required=True, help="the images it learned from")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="folder of the new model; the run is kept beside it, as FOLDER.pt",
    )
    arguments = parser.parse_args()
    if arguments.output.resolve() == arguments.model.resolve():
        raise SystemExit(f"{arguments.output}: is the model itself; give another folder")
    model, teacher = read_model(arguments.model), read_net(arguments.teacher)
    known = LowCosines.of(model, teacher.config.side)
    sharp = low_cosines(torch.as_tensor(read_images(arguments.data)), teacher.config.side)
    network = replace(NETWORK, side=teacher.config.side)
    lessons = Lessons(known, sharp, teacher, network.lowest_level, POOL)
    loss = distillation_loss(lessons, TRAINING)
    run = CoarseRun(network, model.card.channels, loss, TRAINING)
    state = arguments.output.with_name(f"{arguments.output.name}.pt")
    run.to_the_end(state)
    source = model_source(arguments.model.name, arguments.model, None)
    recipe = read_recipe(state)
    recipe["options"] |= {
        "most_noise": NOISIER,
        "pool": POOL,
        "renewed": FRESH,
        "renewed_every_steps": FRESH_EVERY,
    }
    recipe["teacher"] = read_recipe(arguments.teacher)
    write_model(arguments.output, source, run.averaged(), recipe)


if __name__ == "__main__":
    main()
