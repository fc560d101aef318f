"""Measure the quality lost in each band of a cascade, by samples that start at real states.

    python -m bench.bands models/faces --data .data/faces

The states of training images at the highest level of a band are those of perfect bands above it.
If samples from there are as good as real images, and samples from the next band's highest level
are not, that next band needs more training. A band's loss does not show this: it is a share of the
error of a linear filter, which is small at fine levels. The FID of few samples is uncertain: 500
real faces have 8 to 14, 2,000 have 2.5 to 5; the share that the classifier is sure of is less so.
Prints Markdown; README.md in this folder defines both.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.judging.attributes import as_floats, attributes_for, is_faces, read_faces
from bench.judging.classifier import classifier_for
from bench.judging.metrics import Floats, Images, frechet_distance, take
from bench.judging.mnist import as_floats as as_grey
from bench.judging.mnist import read_dataset
from bench.judging.report import table
from sitegen.cli import exits
from sitegen.generative.card.card import ModelCard
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.process.dissipation import reverse_process
from sitegen.generative.process.heat import dissipate
from sitegen.generative.process.model import Model
from sitegen.generative.process.noise import independent
from sitegen.models.registry import model_source

log = logging.getLogger(__name__)

BATCH = 250


@dataclass(frozen=True)
class Known:
    """Real images (N, C, H, W) in [0, 1], and what a classifier says of such images.

    `judge` returns features (N, F), and a mask (N,) of the images that the classifier is sure of.
    """

    train: Images
    held_out: Images
    judge: Callable[[Images], tuple[Floats, NDArray[np.bool_]]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, draw, measure and print."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    source = model_source(options.model.name, options.model)
    model = load_model(source.weights, source.card, options.device)
    if not isinstance(model, Model):
        raise SystemExit(f"{options.model}: is not a model of heat dissipation")
    known = _known(options.data, options.cache, options.count)
    real, _ = known.judge(known.held_out)
    features, sure = known.judge(known.train)
    floor = frechet_distance(real, features)
    rows = [("real images", f"{floor:.2f}", "1.0", f"{sure.mean():.3f}")]
    for level in highest_levels(model.card):
        log.info("drawing %s samples from level %s", options.count, level)
        drawn = np.concatenate(list(drawn_from(model, known.train, level, options.seed)))
        features, sure = known.judge(drawn)
        found, share = frechet_distance(real, features), f"{sure.mean():.3f}"
        rows.append((f"samples from level {level}", f"{found:.2f}", f"{found / floor:.1f}", share))
    print(table(("measured", "feature FID", "over that of real images", "sure"), rows))


def highest_levels(card: ModelCard) -> list[int]:
    """Return the highest visited level of each band, the finest band first."""
    ends = [band.lowest_level for band in card.networks[1:]] + [card.levels + 1]
    return [max(level for level in card.visited_levels if level < end) for end in ends]


@torch.inference_mode()
def drawn_from(model: Model, images: Images, level: int, seed: int) -> Iterator[Images]:
    """Yield batches of finished images that start at the states of `images` at `level`.

    This holds at level K as well: the bank of a prior contains such states.
    """
    card = model.card
    for first in range(0, len(images), BATCH):
        samples = range(first, min(first + BATCH, len(images)))
        noise = independent(seed, samples, card.shape)
        sharp = torch.from_numpy(images[samples.start : samples.stop])
        state = dissipate(sharp, card.schedule.sigmas[level])
        # Noise of a level above all that are visited: that of the states themselves.
        state = state + card.training_noise_std * noise(card.levels + 1)
        *_, last = reverse_process(model, state, noise, begin=level)
        yield last.mean.cpu().numpy().clip(0, 1)


def _known(folder: Path, cache: Path, count: int) -> Known:
    if is_faces(folder):
        faces = read_faces(folder)
        attributes = attributes_for(faces, cache)
        train = as_floats(faces.train_images[take(count, len(faces.train_images), 0)])
        held_out = as_floats(faces.test_images)

        def judge_face(images: Images) -> tuple[Floats, NDArray[np.bool_]]:
            judged = attributes.judge(images)
            return judged.features, np.asarray(judged.sure.all(1))

        return Known(train, held_out, judge_face)
    data = read_dataset(folder)
    classifier = classifier_for(data, cache)
    train = as_grey(data.train_images[take(count, len(data.train_images), 0)])[:, None]
    held_out = as_grey(data.test_images)[:, None]

    def judge(images: Images) -> tuple[Floats, NDArray[np.bool_]]:
        features, probabilities = classifier.judge(images[:, 0])
        return features, probabilities.max(1) > 0.9

    return Known(train, held_out, judge)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.bands", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", type=Path, help="folder with model.toml and weights")
    add("--data", type=Path, required=True, metavar="DIR", help="idx files, or faces")
    add("--count", type=int, default=2000, help="samples from each level (2000)")
    add("--seed", type=int, default=0, help="seed of the noise (0)")
    add("--device", default="cpu", help="device to sample on (cpu)")
    add("--cache", type=Path, default=Path(".data"), help="folder of the classifier (.data)")
    return parser


if __name__ == "__main__":
    exits.run(main)
