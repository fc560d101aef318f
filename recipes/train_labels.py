"""Teach a band of a cascade class labels: python -m recipes.train_labels --help.

The network begins as it is, with a class embedding of 0. Labelled states learn from their images.
States without a label learn the answers of the network as it was, which have less noise than
images, so that the model without labels stays as good. An interrupted run resumes from its last
save; `recipes.cascade` puts the networks into the model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from recipes.cosines import LowCosines, low_cosines
from recipes.muon import RecipeOptions
from recipes.runs import BandRun, Loss
from recipes.train_band import Lessons, band_parser, highest_level, image_loss
from recipes.train_cosines import read_model
from sitegen.cli import exits
from sitegen.generative.card.networks import Band
from sitegen.generative.data.images import read_images
from sitegen.generative.data.labels import read_labels
from sitegen.generative.process.model import Model

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
        lessons, before = Lessons(images, labels, classes), model.networks[number]
        loss = image_loss(model, images, band, options, half, lessons=lessons, teacher=before)
    else:
        sharp = low_cosines(images, band.side or model.card.image_size)
        loss = cosine_loss(model, number, Lessons(sharp, labels, classes), options, half)
    run = BandRun(labelled(band, classes), model.card, loss, options)
    run.begin_from(model.networks[number].state_dict())
    return run


def main() -> None:
    """Run the command."""
    arguments = band_parser(__doc__).parse_args()
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
