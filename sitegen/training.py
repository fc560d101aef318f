"""The bridge between the command line and the trainer: wishes become a card, options and a run.

Torch is imported only inside functions.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from sitegen.errors import ConfigError
from sitegen.ihdm.options import TrainingOptions
from sitegen.report import Reporter, duration
from sitegen.stopping import Stop, stop_on_signals
from sitegen.trainview import training_shown
from sitegen.wishes import Wishes

if TYPE_CHECKING:
    from sitegen.ihdm.card import ModelCard
    from sitegen.ihdm.data import Images
    from sitegen.ihdm.model import Precision
    from sitegen.ihdm.recipe import Training
    from sitegen.ihdm.train import Beginning, Run

FEW_IMAGES = 1000
"""With fewer than that, a warning: a model knows them by heart."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def train_model(name: str, wishes: Wishes, report: Reporter) -> None:
    """Train the model that the command line wishes for, or go on with it, and tell about it.

    Returns when the model is written. Raises SystemExit (130 or 143) after Ctrl-C or SIGTERM, once
    the state is saved, and the errors of `sitegen.ihdm.recipe.train`.
    """
    from sitegen.ihdm import recipe

    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name}: a model's name has letters, digits, dots, - and _")
    card, training = prepare(name, wishes)
    if len(training.images) < FEW_IMAGES:
        report.warn(f"only {len(training.images)} images: the model may know them by heart")
    with stop_on_signals() as stop, recipe.opened(card, training) as run:
        done = recipe.finished_card(run)
        if done is not None:
            report.note(_finished(name, training.folder, done))
            return
        for line in _beginning(name, run, training):
            report.note(line)
        steps, terminal = run.options.steps, sys.stderr.isatty()
        quiet = report.quiet
        with training_shown(name, run.step, steps, terminal=terminal, quiet=quiet) as show:
            written = recipe.go_on(run, training, show, stop.asked)
        if written is None:
            _leave(run, training.folder, stop)
    for line in _ending(name, training.folder, written):
        report.note(line)


def prepare(name: str, wishes: Wishes) -> tuple[ModelCard, Training]:
    """Read the images and settle everything that the wishes leave open.

    Raises ConfigError for wishes that cannot be, RefusedError for data that cannot be used,
    PlatformError for a device that is not there.
    """
    from sitegen.actors import require_device
    from sitegen.ihdm.data import read_images, require_enough
    from sitegen.ihdm.recipe import Training, as_ddpm
    from sitegen.plan import resolve_device

    _refuse_heat(wishes)
    base = _preset(wishes)
    kind = _parameterization(wishes, base)
    options = training_options(wishes, kind)
    device = resolve_device(wishes.device)
    require_device(device)
    size, channels = (base.image_size, base.channels) if base else (wishes.image_size, None)
    images = read_images(wishes.data, size, channels)
    require_enough(images, wishes.data)
    card = base or _small_card(wishes, kind, images)
    if wishes.kind == "ddpm":
        card = as_ddpm(card)
    training = Training(
        images=images,
        source=wishes.data.resolve().name,
        folder=wishes.output or Path("runs") / name,
        options=options,
        device=device,
        precision=training_precision(wishes.precision, device),
        beginning=None if wishes.init is None else _weights_of(wishes.init, card),
    )
    return card, training


def _parameterization(wishes: Wishes, base: ModelCard | None) -> str:
    """What the network answers; a DDPM, which has no choice, draws levels as "difference" does."""
    if wishes.kind == "ddpm":
        return "difference"
    return wishes.parameterization or (base.parameterization if base else "preconditioned")


def _refuse_heat(wishes: Wishes) -> None:
    for option in ("blur_sigma_max", "parameterization"):
        if wishes.kind == "ddpm" and getattr(wishes, option) is not None:
            raise ConfigError(f"--{option.replace('_', '-')}: a DDPM has none; leave it out")


def _weights_of(name: str, card: ModelCard) -> Beginning:
    """The weights of the model `name`, a name, folder or file, for the network of `card`.

    Raises RefusedError when there are none, or the networks differ.
    """
    from sitegen.ihdm.recipe import beginning
    from sitegen.models import find_model

    source = find_model(name, None, Path("site.toml"))
    return beginning(source.name, source.weights, source.card, card)


def training_options(wishes: Wishes, parameterization: str) -> TrainingOptions:
    """The options of the run; "difference" draws all levels alike, as published, unless told."""
    names = {item.name for item in fields(TrainingOptions)} & vars(wishes).keys()
    wished = {name: getattr(wishes, name) for name in names}
    if wishes.level_focus is None:
        own = TrainingOptions().level_focus
        wished["level_focus"] = 0.0 if parameterization == "difference" else own
    return TrainingOptions(**wished)


def training_precision(asked: str, device: str) -> Precision:
    """Turn "auto" into bfloat16 where the processor or GPU computes in it fast, else float32."""
    from sitegen.plan import resolve_precision

    if asked != "auto" or device == "cpu":
        return resolve_precision(asked, device)
    import torch

    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def _leave(run: Run, folder: Path, stop: Stop) -> NoReturn:
    click.echo(
        f"stopped after step {run.step:,} of {run.options.steps:,}; the state is saved in "
        f"{folder}: the same command goes on from there",
        err=True,
    )
    raise SystemExit(128 + (stop.signal or 0))


def _preset(wishes: Wishes) -> ModelCard | None:
    """The preset's card without its notes, which are about the published weights."""
    from sitegen.ihdm.card import preset

    if wishes.preset is None:
        return None
    card = replace(preset(wishes.preset), training={}, quality={}, known_faults=())
    changes = {
        "image_size": wishes.image_size,
        "levels": wishes.levels,
        "parameterization": wishes.parameterization,
        "blur": _blur(card, wishes.blur_sigma_max),
    }
    return replace(card, **{key: value for key, value in changes.items() if value is not None})


def _blur(card: ModelCard, sigma_max: float | None) -> Any:
    from sitegen.ihdm.card import BlurRange

    if sigma_max is None:
        return None
    lowest = card.blur.sigma_min if isinstance(card.blur, BlurRange) else 0.5
    return BlurRange(lowest, sigma_max)


def _small_card(wishes: Wishes, parameterization: str, images: Images) -> ModelCard:
    from sitegen.ihdm.recipe import small_card

    _, channels, side, _ = images.shape
    return small_card(
        side,
        channels,
        levels=wishes.levels or 100,
        sigma_max=wishes.blur_sigma_max,
        parameterization=parameterization,
    )


def _beginning(name: str, run: Run, training: Training) -> Iterator[str]:
    card, options = run.model.card, run.options
    parameters = sum(tensor.numel() for tensor in run.parameters.values())
    yield (
        f"{name}: {len(training.images):,} images of {card.image_size}×{card.image_size} in "
        f"{'grey' if card.channels == 1 else 'colour'}; {parameters:,} parameters, "
        f"{card.levels} levels, {'DDPM' if card.kind == 'ddpm' else card.parameterization}"
    )
    if run.step:
        yield f"going on after step {run.step:,} of {options.steps:,}, in {training.folder}"
    yield (
        f"training on {training.device} in {training.precision}, {options.steps:,} steps of "
        f"{options.batch_size} images; Ctrl-C saves the state"
    )
    if run.model.statistics is not None:
        yield "a loss of 1 is what a linear filter reaches"
    if card.kind == "ddpm":
        yield "a loss of 1 is what a network reaches that sees no noise"


def _finished(name: str, folder: Path, card: ModelCard) -> str:
    seen = card.training["images_seen"]
    return (
        f"{name} is finished: the model in {folder} has seen {seen:,} images; "
        "give a larger --images to go on"
    )


def _ending(name: str, folder: Path, card: ModelCard) -> Iterator[str]:
    from sitegen.ihdm.recipe import model_sizes

    sizes = model_sizes(folder)
    parts = ", ".join(f"{file} {size / 1e6:.2f} MB" for file, size in sizes.items())
    yield (
        f"{name}: trained on {card.training['images_seen']:,} images, the last session in "
        f"{duration(card.training['seconds_last_session'])}"
    )
    yield f"{folder}: {sum(sizes.values()) / 1e6:.2f} MB ({parts})"
    yield f"see it: sitegen sample {folder} --count 36 --output {folder}/samples"
