"""Train a small U-Net on a model's own outputs, for a band of its levels.

python -m recipes.distil_unet --help. An output lacks the noise of a training target, so a small
network needs only a tenth of the images. It starts with the layers of the model's U-Net that have
the same position. An interrupted run resumes from its last save.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from recipes.muon import RecipeOptions
from recipes.runs import BandRun, Loss
from recipes.states import BandStates
from recipes.train_cosines import read_model
from sitegen.cli import exits
from sitegen.generative.card.networks import Band, UNetConfig
from sitegen.generative.data.images import read_images
from sitegen.generative.maths.heat import dct2
from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import draw_levels

NOISIER = 1.3
"""Largest factor on the training noise of a state, since a sampler adds more and makes errors."""
POOL = 1 << 14
RENEWED = 4
"""Divisor of the batch size that gives the number of new lessons in a step."""
TRAINING = RecipeOptions(
    batch_size=32,
    learning_rate=1e-3,
    optimizer="muon",
    muon_learning_rate=1.5e-3,
    warmup_steps=100,
    decay_share=0.5,
    ema_decay=0.998,
)
LIGHT = UNetConfig(32, (1, 2, 2), num_res_blocks=1)


@dataclass(frozen=True)
class Plan:
    """Plan for a band: the highest level that it learns, and its number of states.

    `places` are blocks of the large U-Net to start from, by the name of the small one's blocks.
    """

    band: Band
    highest_level: int
    states: int
    places: Mapping[str, str] = field(
        default_factory=lambda: {
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
        }
    )


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
    "fine": Plan(Band(1, unet=LIGHT), 40, 38_400),
}
ANYWHERE = ("time_embed", "middle_block")
"""Parts with the same position in both networks."""

Lesson = list[Tensor]
"""Inputs (N, C, side, side), levels (N,), and the wanted outputs."""


class Pool:
    """Pool of lessons, each of which is used several times.

    The pool fills batch by batch. After that, some new lessons replace the oldest at each step.
    """

    def __init__(self, teach: Callable[[int, torch.Generator], Lesson], size: int) -> None:
        self.teach, self.size = teach, size
        self._kept: Lesson = []

    def draw(self, count: int, step: int, generator: torch.Generator) -> Lesson:
        """Add new lessons, and return a batch of the pool."""
        filling = not self._kept or len(self._kept[0]) < self.size
        fresh = self.teach(count if filling else count // RENEWED, generator)
        if filling:
            pairs = zip(self._kept or [part[:0] for part in fresh], fresh, strict=True)
            self._kept = [torch.cat(pair) for pair in pairs]
        else:
            new = len(fresh[0])
            start = step * new % (self.size - self.size % new)
            for old, part in zip(self._kept, fresh, strict=True):
                old[start : start + new] = part
        chosen = torch.randint(len(self._kept[0]), (count,), generator=generator)
        return [part[chosen] for part in self._kept]


def distillation_loss(model: Model, images: Tensor, plan: Plan, training: RecipeOptions) -> Loss:
    """Return the distance (N,) of a network's outputs from the model's, for uint8 `images`.

    It is a share of the linear estimate's error, over the lowest cosines of r.
    """
    levels = torch.arange(1, model.card.levels + 1)
    density = ((levels >= plan.band.lowest_level) & (levels <= plan.highest_level)).double()

    def drawn(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        chosen = torch.randint(len(images), (count,), generator=generator)
        sharp = images[chosen].float() / 255
        noise = torch.randn(sharp.shape, generator=generator)
        return sharp, draw_levels(count, density, generator), noise

    return _cosine_loss(model, drawn, plan.band.side or model.card.image_size, training)


_Drawn = Callable[[int, torch.Generator], tuple[Tensor, Tensor, Tensor]]


def _cosine_loss(model: Model, drawn: _Drawn, side: int, training: RecipeOptions) -> Loss:
    band_states = BandStates.of(model, side)

    @torch.no_grad()
    def teach(count: int, generator: torch.Generator) -> Lesson:
        sharp, levels, noise = drawn(count, generator)
        more = 1 + (NOISIER - 1) * torch.rand(count, 1, 1, 1, generator=generator)
        estimate = band_states.estimate(dct2(sharp), levels, band_states.noise_std * more * noise)
        answer = model.answer(0, estimate, estimate, levels)[..., :side, :side]
        return [band_states.seen(estimate), levels, answer.contiguous()]

    pool = Pool(teach, POOL)

    def loss(net: UNet, step: int, generator: torch.Generator) -> Tensor:
        inputs, levels, targets = pool.draw(training.batch_size, step, generator)
        return band_states.loss(net(inputs, levels), targets, levels)

    return loss


def shared_layers(large: UNet, plan: Plan) -> dict[str, Tensor]:
    """Return layers of a large U-Net under the names in the small one that starts with them."""
    runs = {}
    for name, value in large.state_dict().items():
        if name.startswith(ANYWHERE):
            runs[name] = value
        for prefix, theirs in plan.places.items():
            if name.startswith(f"{theirs}."):
                runs[prefix + name.removeprefix(theirs)] = value
    return runs


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a preconditioned model")
    parser.add_argument("band", choices=PLANS, help="which band of levels")
    parser.add_argument("--data", type=Path, required=True, help="the images it learned from")
    parser.add_argument("--output", type=Path, required=True, help="file for the state of the run")
    parser.add_argument("--states", type=int, help="number of states, by default that of the plan")
    arguments = parser.parse_args()
    plan = PLANS[arguments.band]
    model = read_model(arguments.model)
    if model.card.bands:
        raise SystemExit(f"{arguments.model}: is a cascade; give the model with one U-Net for all")
    images = torch.as_tensor(read_images(arguments.data))
    training = replace(TRAINING, images=arguments.states or plan.states)
    loss = distillation_loss(model, images, plan, training)
    run = BandRun(plan.band, model.card, loss, training)
    large = model.networks[0]
    assert isinstance(large, UNet)
    run.begin_from(shared_layers(large, plan))
    run.to_the_end(arguments.output)


if __name__ == "__main__":
    exits.run(main)
