"""Train the network of one band of a cascade on images: python -m recipes.train_band --help.

`sitegen train` trains all bands together. One process per band uses all cores, one each, and gives
every band as many images as it needs; `recipes.cascade` combines them. An interrupted run resumes
from its last save.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recipes.cosines import LowCosines, low_cosines, principal_axes
from recipes.muon import RecipeOptions
from recipes.runs import BandRun, Loss
from recipes.states import BandStates
from recipes.train_cosines import cosine_loss, read_model
from sitegen.cli import exits
from sitegen.generative.card.networks import Band
from sitegen.generative.data.images import read_images
from sitegen.generative.maths.heat import dct2
from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import draw_levels

BEYOND = 3
"""Levels of the next band that a network also learns, since its first states come from there."""
TRAINING = RecipeOptions(
    images=400_000,
    batch_size=32,
    learning_rate=1e-3,
    optimizer="muon",
    muon_learning_rate=1.5e-3,
    warmup_steps=200,
    decay_share=0.4,
    ema_decay=0.999,
)
COSINES = RecipeOptions(
    images=30_000_000,
    batch_size=2048,
    learning_rate=3e-3,
    optimizer="muon",
    muon_learning_rate=6e-3,
    decay_share=0.6,
    ema_decay=0.999,
)


def highest_level(model: Model, band: Band) -> int:
    """Return the highest level of the states that a band learns from."""
    above = [other.lowest_level for other in model.card.networks]
    return min([low + BEYOND - 1 for low in above if low > band.lowest_level] + [model.card.levels])


def image_loss(
    model: Model,
    images: Tensor,
    band: Band,
    options: RecipeOptions,
    half: bool,
    order: Tensor | None = None,
    weights: Tensor | None = None,
    lessons: Lessons | None = None,
    teacher: Any = None,
) -> Loss:
    """Return `sitegen.generative.training.loss.heat_loss` on the cosines of a band's output.

    `images` are uint8 (N, C, H, W); networks compute in bfloat16 if `half`. Images are drawn evenly
    from `order`, indices that may name some of them several times; by default each is named once.
    `weights` are those of pixels in `BandStates.loss`. With `lessons`, which are drawn in place of
    `images`, the network gets labels, and states without a label learn the output of `teacher`.
    """
    states = BandStates.of(model, band.side or model.card.image_size)
    levels = torch.arange(1, model.card.levels + 1)
    layout = torch.channels_last if half else torch.contiguous_format  # the faster one
    density = ((levels >= band.lowest_level) & (levels <= highest_level(model, band))).double()

    def loss(net: UNet, _step: int, generator: torch.Generator) -> Tensor:
        if lessons is None:
            count = len(images if order is None else order)
            chosen = torch.randint(count, (options.batch_size,), generator=generator)
            pictures, labels = images[chosen if order is None else order[chosen]], list[Tensor]()
            noisier = torch.ones(len(pictures))
        else:
            pictures, *labels, noisier = lessons.draw(options.batch_size, generator)
        cosines = dct2(pictures.float() / 255)
        drawn = draw_levels(len(cosines), density, generator)
        noise = states.noise_std * torch.randn(cosines.shape, generator=generator)
        estimate = states.estimate(cosines, drawn, noisier.view(-1, 1, 1, 1) * noise)
        seen = states.seen(estimate).to(memory_format=layout)
        target = states.target(cosines, estimate, drawn)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            answer = net(seen, drawn, *labels)
            if lessons is not None:
                dropped = labels[0] == lessons.null
                with torch.no_grad():
                    taught = teacher(seen[dropped], drawn[dropped])
                target[dropped] = dct2(taught.float())
        return states.loss(answer.float(), target, drawn, weights)

    return loss


DROPPED = 0.15
"""Share of the states that learn without a label."""
NOISIER = 1.3
"""Largest factor on the noise of a state without a label, as in the network's own training."""


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


def _sized(band: Band, **sizes: int | None) -> Band:
    """Return the band with other `sizes` of its network, if these are given."""
    changes = {name: size for name, size in sizes.items() if size is not None}
    network: Any = band.unet or band.cosines
    for name in changes:
        if not hasattr(network, name):
            kind = "a U-Net" if band.unet else "an MLP over cosines"
            raise SystemExit(f"--{name.replace('_', '-')}: the network of this band is {kind}")
    changed: dict[str, Any] = {"unet" if band.unet else "cosines": replace(network, **changes)}
    return replace(band, **changed)


def band_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every command that trains a band."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("model", type=Path, help="folder of a preconditioned cascade")
    parser.add_argument("band", type=int, help="its number, 0 for the finest levels")
    parser.add_argument("--data", type=Path, required=True, help="the images to learn from")
    parser.add_argument("--output", type=Path, required=True, help="file for the state of the run")
    parser.add_argument("--images", type=int, help="number of images, counting repetitions")
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    return parser


def main() -> None:
    """Run the command."""
    parser = band_parser(__doc__)
    parser.add_argument("--begin", type=Path, help="a cascade with the band's initial weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, help="another width of an MLP over cosines")
    parser.add_argument("--features", type=int, help="another number of its random frequencies")
    parser.add_argument("--norm-groups", type=int, help="another number of norm groups of a U-Net")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = read_model(arguments.model)
    bands = model.card.networks
    if arguments.band not in range(len(bands)):
        raise SystemExit(f"{arguments.model}: has the bands 0 to {len(bands) - 1}")
    sizes = {name: getattr(arguments, name) for name in ("width", "features", "norm_groups")}
    band = _sized(bands[arguments.band], **sizes)
    half = arguments.precision == "bfloat16"
    options = TRAINING if band.unet else COSINES
    training = replace(options, images=arguments.images or options.images, seed=arguments.seed)
    images = torch.as_tensor(read_images(arguments.data))
    if band.unet:
        loss = image_loss(model, images, band, training, half)
    else:
        side = band.side or model.card.image_size
        sharp = low_cosines(images, side)
        cosines = LowCosines.of(model, side)
        levels = range(band.lowest_level, highest_level(model, band) + 1)
        axes, shares = principal_axes(cosines, sharp, levels)
        loss = cosine_loss(replace(cosines, axes=axes), sharp, training, levels, half)
    run = BandRun(band, model.card, loss, training)
    if band.cosines:
        run.see_along(axes, shares)
    if arguments.begin:
        run.begin_from(read_model(arguments.begin).networks[arguments.band].state_dict())
    run.to_the_end(arguments.output)


if __name__ == "__main__":
    exits.run(main)
