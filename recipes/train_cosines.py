"""Train a network for the coarse levels of a model: python -m recipes.train_cosines --help.

It is larger than a model should contain; `recipes.distil_cosines` makes a small one from it. An
interrupted run resumes from its last save.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from recipes.cosines import LowCosines, draw_states, low_cosines
from recipes.muon import RecipeOptions
from recipes.runs import BandRun, Loss
from sitegen.cli import exits
from sitegen.generative.card.networks import Band, CosineConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.images import read_images
from sitegen.generative.networks.cosines import CosineNet
from sitegen.generative.process.model import Model
from sitegen.models.registry import model_source

SIDE = 10
BAND = Band(54, SIDE, cosines=CosineConfig(width=768, blocks=4, features=384, level_features=32))
TRAINING = RecipeOptions(
    images=12_000_000,
    batch_size=512,
    learning_rate=1.2e-3,
    decay_share=0.6,
    ema_decay=0.999,
)


def cosine_loss(
    cosines: LowCosines,
    sharp: Tensor,
    training: RecipeOptions,
    levels: range,
    half: bool = False,
) -> Loss:
    """Return `sitegen.generative.training.loss.heat_loss` on the lowest cosines only.

    `sharp` (N, C·side²) are those of the data. The network computes in bfloat16 if `half`.
    """

    def loss(net: CosineNet, _step: int, generator: torch.Generator) -> Tensor:
        drawn = draw_states(cosines, sharp, training.batch_size, levels, 1.0, generator)
        return denoising_loss(cosines, net, *drawn, half)

    return loss


def denoising_loss(
    cosines: LowCosines,
    net: CosineNet,
    sharp: Tensor,
    states: Tensor,
    levels: Tensor,
    half: bool = False,
) -> Tensor:
    """Return the squared error (N,) for coefficients of images and their states at `levels`."""
    target = (sharp - cosines.estimate(states, levels)) / cosines.unknown[levels]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        answer = cosines.answer(net, states, levels)
    return cosines.cost(answer.float() - target, levels)


def read_model(folder: Path) -> Model:
    """Return the preconditioned model in a folder. Raises SystemExit for others."""
    source = model_source(folder.name, folder, None)
    model = load_model(source.weights, source.card)
    if not isinstance(model, Model) or model.statistics is None:
        raise SystemExit(f"{folder}: only a preconditioned model that blurs has coarse levels")
    return model


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a preconditioned model")
    parser.add_argument("--data", type=Path, required=True, help="the images it learned from")
    parser.add_argument("--output", type=Path, required=True, help="file for the state of the run")
    parser.add_argument("--states", type=int, help="number of states; 12 million by default")
    arguments = parser.parse_args()
    model = read_model(arguments.model)
    training = replace(TRAINING, images=arguments.states or TRAINING.images)
    sharp = low_cosines(torch.as_tensor(read_images(arguments.data)), SIDE)
    levels = range(BAND.lowest_level, model.card.levels + 1)
    loss = cosine_loss(LowCosines.of(model, SIDE), sharp, training, levels)
    BandRun(BAND, model.card, loss, training).to_the_end(arguments.output)


if __name__ == "__main__":
    exits.run(main)
