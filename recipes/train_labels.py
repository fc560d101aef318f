"""Teach a band of a cascade class labels: python -m recipes.train_labels --help.

The network begins as it is, with a class embedding of 0. Labelled states learn from their images.
States without a label learn the answers of the network as it was, which have less noise than
images, so that the model without labels stays as good. An interrupted run resumes from its last
save; `recipes.cascade` puts the networks into the model.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recipes.cosines import LowCosines, low_cosines
from recipes.muon import RecipeOptions
from recipes.runs import BandRun, Loss
from recipes.states import BandStates
from recipes.train_band import highest_level
from recipes.train_cosines import read_model
from sitegen.cli import exits
from sitegen.generative.card.networks import Band
from sitegen.generative.data.images import read_images
from sitegen.generative.data.labels import read_labels
from sitegen.generative.process.heat import dct2
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import draw_levels

DROPPED = 0.15
"""Share of the states that learn without a label."""
NOISIER = 1.3
"""Largest factor on the noise of a state without a label, as in the network's own training."""
UNET = RecipeOptions(
    images=200_000,
    batch_size=64,
    learning_rate=5e-4,
    optimizer="muon",
    muon_learning_rate=7e-4,
    warmup_steps=50,
    decay_share=0.6,
    ema_decay=0.998,
)
COSINES = RecipeOptions(
    images=24_000_000,
    batch_size=2048,
    learning_rate=1.5e-3,
    warmup_steps=100,
    decay_share=0.6,
    ema_decay=0.998,
)


@dataclass(frozen=True)
class Lessons:
    """Images, uint8 (N, C, H, W) or their low cosines (N, C·side²), with their labels (N,)."""

    images: Tensor
    labels: Tensor
    null: int

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return `count` images, their labels, and factors (count,) of their noise.

        The first `DROPPED` of them have the null label.
        """
        chosen = torch.randint(len(self.images), (count,), generator=generator)
        labels = self.labels[chosen]
        dropped = round(DROPPED * count)
        labels[:dropped] = self.null
        noisier = torch.ones(count)
        noisier[:dropped] += (NOISIER - 1) * torch.rand(dropped, generator=generator)
        return self.images[chosen], labels, noisier


def unet_loss(
    model: Model, number: int, lessons: Lessons, options: RecipeOptions, half: bool
) -> Loss:
    """Return the loss of the U-Net of band `number`; it computes in bfloat16 if `half`."""
    band, before = model.card.networks[number], model.networks[number]
    states = BandStates.of(model, band.side or model.card.image_size)
    levels = torch.arange(1, model.card.levels + 1)
    layout = torch.channels_last if half else torch.contiguous_format
    density = ((levels >= band.lowest_level) & (levels <= highest_level(model, band))).double()

    def loss(net: Any, _step: int, generator: torch.Generator) -> Tensor:
        images, labels, noisier = lessons.draw(options.batch_size, generator)
        cosines, drawn = dct2(images.float() / 255), draw_levels(len(images), density, generator)
        noise = states.noise_std * torch.randn(cosines.shape, generator=generator)
        estimate = states.estimate(cosines, drawn, noisier.view(-1, 1, 1, 1) * noise)
        seen = states.seen(estimate).to(memory_format=layout)
        target, dropped = states.target(cosines, estimate, drawn), labels == lessons.null
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            answer = net(seen, drawn, labels)
            with torch.no_grad():
                earlier = before(seen[dropped], drawn[dropped])
        target[dropped] = dct2(earlier.float())
        return states.loss(answer.float(), target, drawn)

    return loss


def cosine_loss(
    model: Model, number: int, lessons: Lessons, options: RecipeOptions, half: bool
) -> Loss:
    """Return the loss of the MLP over cosines of band `number`."""
    band, before = model.card.networks[number], model.networks[number]
    known = LowCosines.of(model, band.side or model.card.image_size)
    top = highest_level(model, band) + 1

    def loss(net: Any, _step: int, generator: torch.Generator) -> Tensor:
        sharp, labels, noisier = lessons.draw(options.batch_size, generator)
        drawn = torch.randint(band.lowest_level, top, labels.shape, generator=generator)
        noise = known.noise_std * torch.randn(sharp.shape, generator=generator)
        states = known.attenuation[drawn] * sharp + noisier[:, None] * noise
        target = (sharp - known.estimate(states, drawn)) / known.unknown[drawn]
        z, share = known.standardised(states, drawn), drawn / known.levels
        dropped = labels == lessons.null
        with torch.no_grad():
            target[dropped] = before(z[dropped], share[dropped])
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            answer = net(z, share, labels)
        return known.cost(answer.float() - target, drawn)

    return loss


def labelled(band: Band, classes: int) -> Band:
    """Return the band with a network that takes as many labels, or none."""
    if band.unet is not None:
        return replace(band, unet=replace(band.unet, num_classes=classes + 1))
    assert band.cosines is not None
    return replace(band, cosines=replace(band.cosines, num_classes=classes + 1))


def run_of(
    model: Model,
    number: int,
    images: Tensor,
    labels: Tensor,
    count: int | None = None,
    half: bool = True,
) -> BandRun:
    """Return a run of band `number`, with `count` images if that is given."""
    band, classes = model.card.networks[number], int(labels.max()) + 1
    options = UNET if band.unet else COSINES
    options = replace(options, images=count or options.images)
    if band.unet:
        loss = unet_loss(model, number, Lessons(images, labels, classes), options, half)
    else:
        sharp = low_cosines(images, band.side or model.card.image_size)
        loss = cosine_loss(model, number, Lessons(sharp, labels, classes), options, half)
    run = BandRun(labelled(band, classes), model.card, loss, options)
    run.begin_from(model.networks[number].state_dict())
    return run


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a preconditioned cascade")
    parser.add_argument("band", type=int, help="its number, 0 for the finest levels")
    parser.add_argument("--data", type=Path, required=True, help="images with labels")
    parser.add_argument("--output", type=Path, required=True, help="file for the state of the run")
    parser.add_argument("--images", type=int, help="number of images, counting repetitions")
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = torch.as_tensor(read_images(arguments.data))
    labels = torch.as_tensor(read_labels(arguments.data, idx=True).numbers)
    half = arguments.precision == "bfloat16"
    run = run_of(
        read_model(arguments.model), arguments.band, images, labels, arguments.images, half
    )
    run.to_the_end(arguments.output)


if __name__ == "__main__":
    exits.run(main)
