"""Trains a small U-Net for a band of a model's levels on that model's own answers.

python -m recipes.distil_unet --help. An answer has none of a target's noise in it, so a small
network learns from it with a tenth of the images. It begins with those layers of the model's U-Net
that have the same place in it. A run that was stopped goes on where it was saved.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from recipes.runs import BandRun, Loss
from recipes.train_cosines import read_model
from sitegen.ihdm.card.networks import Band, UNetConfig
from sitegen.ihdm.data.images import read_images
from sitegen.ihdm.nets.unet import UNet
from sitegen.ihdm.process.heat import dct2, idct2
from sitegen.ihdm.process.model import Model, linear_estimate, shrunken
from sitegen.ihdm.training.loss import draw_levels
from sitegen.ihdm.training.options import TrainingOptions

NOISIER = 1.3
"""How many times the noise of training a state has at most: a sampler adds more, and errs."""
POOL = 1 << 14
RENEWED = 4
"""Of the pool of lessons this part of a batch is new at each step."""
TRAINING = TrainingOptions(
    batch_size=32,
    learning_rate=1e-3,
    optimizer="muon",
    muon_learning_rate=1.5e-3,
    warmup_steps=100,
    decay_share=0.5,
    ema_decay=0.998,
)


@dataclass(frozen=True)
class Plan:
    """A band with the highest level that it learns, and how many states it sees.

    `places` are blocks of the large U-Net that the small one begins with, by the name of its own.
    """

    band: Band
    highest_level: int
    states: int
    places: Mapping[str, str]


PLANS = {
    "middle": Plan(
        Band(38, 14, UNetConfig(32, (2, 4), num_res_blocks=1)),
        57,
        72_000,
        {
            "input_blocks.1": "input_blocks.5",
            "input_blocks.2": "input_blocks.6",
            "input_blocks.3": "input_blocks.7",
            "output_blocks.0": "output_blocks.0",
            "output_blocks.1": "output_blocks.2",
            "output_blocks.2": "output_blocks.3",
            "output_blocks.3": "output_blocks.4",
        },
    ),
    "fine": Plan(
        Band(1, unet=UNetConfig(32, (1, 2, 2), num_res_blocks=1)),
        40,
        38_400,
        {
            "input_blocks.0": "input_blocks.0",
            "input_blocks.1": "input_blocks.1",
            "input_blocks.2": "input_blocks.3",
            "input_blocks.3": "input_blocks.4",
            "input_blocks.4": "input_blocks.6",
            "output_blocks.2": "output_blocks.4",
            "output_blocks.3": "output_blocks.5",
            "output_blocks.4": "output_blocks.6",
            "output_blocks.5": "output_blocks.8",
            "out.0": "out.0",
            "out.2": "out.2",
        },
    ),
}
ANYWHERE = ("time_embed", "middle_block")
"""Parts that are in the same place in both."""


class Lessons:
    """A pool of what a band's network sees (N, C, side, side), its level, and the answer wanted.

    The answers are the model's own r, the lowest cosines of it. The pool fills up batch by batch;
    after that a few new lessons take the place of the oldest at each step.
    """

    def __init__(self, model: Model, images: Tensor, plan: Plan, size: int) -> None:
        assert model.statistics is not None
        self.model, self.images, self.size = model, images, size
        self.side = plan.band.side or model.card.image_size
        self.scale = model.statistics.pixel_scale(self.side)
        levels = torch.arange(1, model.card.levels + 1)
        inside = (levels >= plan.band.lowest_level) & (levels <= plan.highest_level)
        self.density = inside.double()
        self._pool: list[Tensor] = []

    @torch.no_grad()
    def taught(self, count: int, generator: torch.Generator) -> list[Tensor]:
        """New lessons."""
        model, statistics = self.model, self.model.statistics
        assert statistics is not None
        images = self.images[torch.randint(len(self.images), (count,), generator=generator)]
        levels = draw_levels(count, self.density, generator)
        noise = torch.randn(images.shape, generator=generator)
        more = 1 + (NOISIER - 1) * torch.rand(count, 1, 1, 1, generator=generator)
        here = model.attenuation(levels)
        cosines = here * dct2(images.float() / 255)
        state = idct2(cosines) + model.card.training_noise_std * more * noise
        gain, _ = linear_estimate(statistics, here, model.card.training_noise_std)
        estimate = statistics.mean + gain * (dct2(state) - here * statistics.mean)
        answer = model.answer(0, estimate, estimate, levels)
        low = answer[..., : self.side, : self.side]
        return [shrunken(estimate, self.side, *self.scale), levels, low.contiguous()]

    def draw(self, count: int, step: int, generator: torch.Generator) -> list[Tensor]:
        """A batch of the pool, once it has some new ones."""
        filling = not self._pool or len(self._pool[0]) < self.size
        fresh = self.taught(count if filling else count // RENEWED, generator)
        if filling:
            pairs = zip(self._pool or [part[:0] for part in fresh], fresh, strict=True)
            self._pool = [torch.cat(pair) for pair in pairs]
        else:
            new = len(fresh[0])
            start = step * new % (self.size - self.size % new)
            for old, part in zip(self._pool, fresh, strict=True):
                old[start : start + new] = part
        chosen = torch.randint(len(self._pool[0]), (count,), generator=generator)
        return [part[chosen] for part in self._pool]


def distillation_loss(lessons: Lessons, training: TrainingOptions) -> Loss:
    """How far the cosines of r are from the model's, as a share of the linear estimate's error."""
    card, statistics = lessons.model.card, lessons.model.statistics
    assert statistics is not None
    here = lessons.model.attenuation(torch.arange(card.levels + 1))
    _, unknown = linear_estimate(statistics, here, card.training_noise_std)
    low = unknown[1:, :, : lessons.side, : lessons.side]
    cost = here[:-1, :, : lessons.side, : lessons.side] ** 2 * low
    cost = cost / cost.sum((1, 2, 3), keepdim=True)

    def loss(net: UNet, step: int, generator: torch.Generator) -> Tensor:
        seen, levels, wanted = lessons.draw(training.batch_size, step, generator)
        error = dct2(net(seen, levels)) - wanted
        return (cost[levels - 1] * error.square()).sum((1, 2, 3))

    return loss


def shared_layers(large: UNet, plan: Plan) -> dict[str, Tensor]:
    """The layers of a large U-Net under the names of the small one that begins with them."""
    found = {}
    for name, value in large.state_dict().items():
        if name.startswith(ANYWHERE):
            found[name] = value
    for own, theirs in plan.places.items():
        for name, value in large.state_dict().items():
            if name.startswith(f"{theirs}."):
                found[own + name.removeprefix(theirs)] = value
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a preconditioned model")
    parser.add_argument("band", choices=PLANS, help="which band of levels")
    parser.add_argument("--data", type=Path, required=True, help="the images it learned from")
    parser.add_argument("--output", type=Path, required=True, help="file for the state of the run")
    parser.add_argument("--states", type=int, help="how many to see, unless as many as planned")
    arguments = parser.parse_args()
    model, plan = read_model(arguments.model), PLANS[arguments.band]
    images = torch.as_tensor(read_images(arguments.data))
    training = replace(TRAINING, images=arguments.states or plan.states)
    loss = distillation_loss(Lessons(model, images, plan, POOL), training)
    run = BandRun(plan.band, model.card, loss, training)
    large = model.networks[0]
    assert isinstance(large, UNet)
    run.begin_from(shared_layers(large, plan))
    run.to_the_end(arguments.output)


if __name__ == "__main__":
    main()
