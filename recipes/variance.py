"""Estimate a model's residual variance, and write the model with it: python -m recipes.variance.

`sitegen train` does this for its models. Older, distilled and combined models have noise of a
single δ; this recipe gives them the noise of `sitegen.generative.process`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recipes.cascade import write_model
from recipes.train_cosines import read_model
from sitegen.cli import exits
from sitegen.generative.card.card import CARD_NAME, FileRef, ModelCard
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.checkpoints.archive import open_checkpoint
from sitegen.generative.checkpoints.weights import RESIDUAL, scales_of
from sitegen.generative.data.images import read_images
from sitegen.generative.data.labels import read_labels
from sitegen.generative.data.prior import make_prior, read_prior
from sitegen.generative.process.dissipation import heat_of
from sitegen.generative.training.residual import residual_shares
from sitegen.models.registry import model_source


def _make_prior(
    folder: Path,
    card: ModelCard,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    count: int | None,
) -> None:
    """Replace the prior by a bank of `count` of the images, by default of as many as now."""
    assert card.prior is not None
    path = folder / card.prior.file
    prior = read_prior(path, card)
    bank = make_prior(images, card, count or len(prior), prior.data, labels)
    card = replace(card, prior=FileRef(path.name, bank.write(path)))
    (folder / CARD_NAME).write_text(card.to_toml(), encoding="utf-8")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a preconditioned model")
    parser.add_argument("--data", type=Path, required=True, help="the images it learned from")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new model")
    parser.add_argument(
        "--markov", action="store_true", help="keep the part of a state's noise that heat leaves"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        nargs="+",
        help="guidance: one number, or one for each band, the finest first",
    )
    parser.add_argument("--starts", type=int, help="make a new prior of this many images")
    arguments = parser.parse_args()
    if arguments.output.resolve() == arguments.model.resolve():
        raise SystemExit(f"{arguments.output}: is the model itself; give another folder")
    source, model = (
        model_source(arguments.model.name, arguments.model, None),
        read_model(arguments.model),
    )
    assert model.statistics is not None
    card, guidance = heat_of(source.card), arguments.guidance or []
    forward: Literal["markov"] | None = "markov" if arguments.markov else None
    sampling = replace(
        card.sampling or SamplingConfig(),
        variance="estimated",
        forward=forward,
        guidance=tuple(guidance) if len(guidance) > 1 else next(iter(guidance), None),
    )
    card = replace(card, sampling=sampling, sampling_noise_std=card.training_noise_std)
    images = read_images(arguments.data)
    tensors = model.statistics.tensors() | {RESIDUAL: residual_shares(model, images)}
    small = scales_of(source.weights, open_checkpoint(source.weights).weights)  # these stay bytes
    card = heat_of(
        write_model(arguments.output, source, card, tensors, list(model.networks), small)
    )
    labels = read_labels(arguments.data, idx=True).numbers if card.labels else None
    # With a Markov chain the initial states have noise, too.
    if arguments.starts or card.keeps_noise or labels is not None:
        _make_prior(arguments.output, card, images, labels, arguments.starts)


if __name__ == "__main__":
    exits.run(main)
