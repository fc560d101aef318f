"""From images to a model folder: the card that a run starts from, and the files that it leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sitegen.errors import PlatformError
from sitegen.ihdm.card import CARD_NAME, BlurRange, FileRef, ModelCard, UNetConfig
from sitegen.ihdm.checkpoint import save_weights
from sitegen.ihdm.data import Images
from sitegen.ihdm.inputs import sha256
from sitegen.ihdm.model import Precision
from sitegen.ihdm.prior import make_prior
from sitegen.ihdm.train import Progress, Run, TrainingOptions

WEIGHTS_NAME = "weights.safetensors"
PRIOR_NAME = "prior.safetensors"
PRIOR_IMAGES = 1000


@dataclass(frozen=True)
class Training:
    """A run: what to train on, and where; `source` is the data's name for the card."""

    images: Images
    source: str
    folder: Path
    options: TrainingOptions
    device: str = "cpu"
    precision: Precision = "float32"


def small_card(
    image_size: int,
    channels: int,
    levels: int = 100,
    sigma_max: float | None = None,
    parameterization: str = "preconditioned",
) -> ModelCard:
    """The card of our small models: 3.6 M parameters for 28 × 28 images.

    The flattest level is blurred by 5/7 of the image's side unless told, as published for MNIST:
    8 % of the lowest cosine is left.
    """
    halvings = 0
    while halvings < 2 and image_size % 2 ** (halvings + 1) == 0:
        halvings += 1
    unet = UNetConfig(model_channels=32, channel_mult=(1, 2, 4)[: halvings + 1], num_res_blocks=2)
    sigma_max = image_size * 5 / 7 if sigma_max is None else sigma_max
    return ModelCard(
        image_size=image_size,
        channels=channels,
        levels=levels,
        unet=unet,
        blur=BlurRange(0.5, sigma_max),
        training_noise_std=0.01,
        sampling_noise_std=0.0125,
        parameterization=parameterization,
    )


def train(card: ModelCard, training: Training, report: Callable[[Progress], None]) -> ModelCard:
    """Train, or go on where a killed run stopped, and write weights, prior and card.

    Returns the card as written. Raises TargetError when training diverges, RefusedError when the
    folder holds another run, PlatformError when the disk fails.
    """
    try:
        training.folder.mkdir(parents=True, exist_ok=True)
        run = Run(
            card,
            torch.from_numpy(training.images),
            training.options,
            training.folder,
            training.device,
            training.precision,
        )
        run.restore()
        started = time.monotonic()
        run.advance_to_end(report)
        return write_model(run, training, time.monotonic() - started)
    except OSError as error:
        raise PlatformError(f"{training.folder}: cannot be written: {error}") from error


def write_model(run: Run, training: Training, seconds: float) -> ModelCard:
    """Write the averaged weights, the prior, and last the card that names both."""
    folder, card = training.folder, run.model.card
    save_weights(folder / WEIGHTS_NAME, run.weights(), torch.float16)
    make_prior(training.images, card, PRIOR_IMAGES).write(folder / PRIOR_NAME)
    recipe: dict[str, Any] = {
        "data": training.source,
        "images": len(training.images),
        "images_seen": run.step * training.options.batch_size,
        "steps": run.step,
        "precision": training.precision,
        "device": training.device,
        "seconds_last_session": round(seconds),
        "options": asdict(training.options),
    }
    card = replace(
        card,
        weights=FileRef(WEIGHTS_NAME, sha256(folder / WEIGHTS_NAME)),
        prior=FileRef(PRIOR_NAME, sha256(folder / PRIOR_NAME)),
        training=recipe,
    )
    (folder / CARD_NAME).write_text(card.to_toml(), encoding="utf-8")
    return card
