"""Front end of training: turns options of the command line into a card and a run."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import click
import torch

from sitegen.core.compute import Precision, resolve_device, resolve_precision
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.progress import Reporter, duration, megabytes
from sitegen.core.signals import stop_on_signals
from sitegen.core.source import shown
from sitegen.core.urls import slug_fault
from sitegen.generative.card.card import CARD_NAME, STATE_NAME, ModelCard
from sitegen.generative.card.limits import DEFAULT_LEVELS
from sitegen.generative.data.images import image_side, read_images, require_enough
from sitegen.generative.data.labels import Labels, read_labels
from sitegen.generative.process.model import require_device
from sitegen.generative.training import recipe
from sitegen.generative.training.duration import (
    BATCH,
    IMAGES_SEEN,
    LONGER,
    SIDES,
    chosen_for,
    options_for,
)
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.residual import IMAGES
from sitegen.generative.training.train import (
    Progress,
    Run,
    Training,
    read_state,
)

FEW_IMAGES = 1000
"""Number of images below which a warning is printed: the model could memorize them."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of `sitegen train`; None means the value of the data, the run or the small model.

    kind: kind of the process; None for that of the run, or else a flow with `minutes`, else ihdm
    images: images to train on, counting repetitions
    subject: what the images show, in the plural
    minutes: duration for which to choose the size, the networks and the recipe
    finish: write the model from what a run has learned so far
    labels: "folders" or "idx", where `read_labels` finds the labels of the images
    """

    data: Path
    output: Path | None = None
    kind: str | None = None
    image_size: int | None = None
    levels: int | None = None
    images: int | None = None
    subject: str | None = None
    seed: int | None = None
    minutes: float | None = None
    device: str = "auto"
    precision: str = "auto"
    finish: bool = False
    labels: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A run that can begin or continue.

    measured: images per level for estimating the residual variance
    ends_at: time on the monotonic clock at which a new run of a duration should end
    """

    card: ModelCard
    training: Training
    measured: int = IMAGES
    ends_at: float | None = None


class TrainingReporter(Reporter, Protocol):
    """A reporter that can show a training run."""

    def training(
        self, title: str, first: int, steps: int
    ) -> AbstractContextManager[Callable[[Progress], None]]:
        """Show a run from step `first` to `steps`; the block calls the yielded function."""


def train_model(name: str, options: TrainOptions, report: TrainingReporter) -> Path:
    """Train the requested model, or resume its training; return the folder of the model.

    After a signal, saves the state and raises SystemExit (130, 143 or 129). Raises
    the errors of `opened` and `go_on` in `sitegen.generative.training.recipe`.
    """
    started = time.monotonic()
    if fault := slug_fault(name):
        raise ConfigError(f"the name {name[:80]} {fault}, as in site.toml")
    folder = options.output or Path("runs") / name
    prepared = prepare(name, options, report, started)
    training = prepared.training
    if len(training.images) < FEW_IMAGES:
        report.warn(f"only {len(training.images)} images: the model may memorize them")
    with stop_on_signals() as stop, recipe.opened(prepared.card, training) as run:
        if (finished := recipe.finished_card(run)) is not None:
            report.note(
                f"{name} is finished: the model in {folder} has seen "
                f"{finished.training['images_seen']:,} images; give a larger --images to continue, "
                "or another name to train a new one"
            )
            return folder
        if options.finish:
            run.end_here()
        run.measured, run.ends_at = prepared.measured, prepared.ends_at
        for line in _beginning(name, run):
            report.note(line)
        measuring = partial(report.rendering, f"{name}: estimating its residual variance")
        with report.training(name, run.step, run.options.steps) as show:
            written = recipe.go_on(run, show, stop.asked, measuring)
    if written is None:
        click.echo(
            f"stopped after step {run.step:,} of {run.options.steps:,}; the state is saved in "
            f"{folder}; run the same command to continue, or with --finish to write the model from "
            "what was learned",
            err=True,
        )
        raise SystemExit(128 + (stop.signal or 0))
    files = (written.weights, written.prior, written.example)
    names = [*(part.file for part in files if part), CARD_NAME]
    sizes = {file: (folder / file).stat().st_size for file in names}
    parts = ", ".join(f"{file} {megabytes(size)}" for file, size in sizes.items())
    report.note(
        f"{name}: trained on {written.training['images_seen']:,} images, the last session in "
        f"{duration(written.training['seconds_last_session'])}"
    )
    report.note(f"{folder}: {megabytes(sum(sizes.values()))} ({parts})")
    report.note(f"to see samples: sitegen sample {folder} --count 36 --output {folder}/samples")
    return folder


def prepare(name: str, options: TrainOptions, report: TrainingReporter, started: float) -> Prepared:
    """Read the images and choose the card and the recipe, or take those of the run's state.

    `started` is the start of the command on the monotonic clock. Raises ConfigError for options
    that do not fit together or the run, RefusedError for unusable data, a damaged state, and if
    there is no run to finish; PlatformError for a device that is not available.
    """
    folder = options.output or Path("runs") / name
    device = resolve_device(options.device)
    require_device(device)
    precision = training_precision(options.precision, device)
    changes: dict[str, Any] = {"images": options.images, "seed": options.seed}
    changes = {key: value for key, value in changes.items() if value is not None}
    saved = read_state(folder / STATE_NAME, torch.device("cpu"))
    labels = read_labels(options.data, options.labels == "idx") if options.labels else None
    measured, ends_at = IMAGES, None
    if saved is not None:
        card = ModelCard.from_toml(saved["toml"], str(folder / STATE_NAME))
        _require_same(name, options, card, labels)
        choices = TrainingOptions(**{**saved["options"], **changes})
        if options.minutes is not None:
            report.note(
                f"the length of {name} was chosen when it began, and --minutes does not change it; "
                "for a longer run, give a larger --images or another name"
            )
        report.note(f"reading the images in {shown(options.data)}")
        images = read_images(options.data, card.image_size, card.channels)
    elif options.finish:
        raise RefusedError(f"{folder}: no run to finish; train it first, without --finish")
    else:
        kind = options.kind or ("flow" if options.minutes else "ihdm")
        side, levels = options.image_size, options.levels or DEFAULT_LEVELS
        if options.minutes is None:
            choices = options_for((options.images or IMAGES_SEEN) // BATCH, {**LONGER, **changes})
            if kind in recipe.FROM_NOISE:
                choices = replace(choices, level_focus=0.0)
        else:
            if unfit := [key for key in ("images", "levels") if getattr(options, key) is not None]:
                raise ConfigError(f"--minutes chooses all sizes; leave out --{unfit[0]}")
            report.note("measuring training steps on this machine")
            data_side = image_side(options.data)
            sides = [size for size in SIDES if data_side is None or size <= data_side] or [
                data_side or SIDES[-1]
            ]
            sides = sides if side is None else [side]
            ends_at = started + 60 * options.minutes
            seconds = max(ends_at - time.monotonic(), 1.0)
            run = chosen_for(kind, seconds, sides, 3, device, precision, changes)
            choices, measured, levels = run.options, run.measured, run.card.levels
            side = run.card.image_size if run.card.image_size != data_side else None
            networks = len(run.card.networks)
            end_time = time.localtime(time.time() + ends_at - time.monotonic())
            end = time.strftime("%H:%M on %d %B", end_time)
            report.note(
                f"{options.minutes:g} min on this machine: {run.card.image_size}×"
                f"{run.card.image_size} pixels, {networks} network{'s' * (networks > 1)}, "
                f"{choices.steps:,} steps of {choices.batch_size} images "
                f"({run.seconds_per_step:.2g} s a step, measured); it ends at about {end}"
            )
        report.note(f"reading the images in {shown(options.data)}")
        images = read_images(options.data, side, None)
        _, channels, side, _ = images.shape
        card = recipe.card_of(kind, side, channels, levels, light=options.minutes is not None)
        if labels is not None:
            card = recipe.with_labels(card, labels.names)
    require_enough(images, options.data)
    if labels is not None and len(labels.numbers) != len(images):
        counts = f"{len(labels.numbers)} labels for {len(images)} images"
        raise RefusedError(f"{shown(options.data)}: has {counts}")
    card = replace(card, subject=options.subject or card.subject)
    source = options.data.resolve().name
    numbers = None if labels is None else labels.numbers
    training = Training(images, source, folder, choices, device, precision, numbers)
    return Prepared(card, training, measured, ends_at)


def _require_same(name: str, options: TrainOptions, card: ModelCard, labels: Labels | None) -> None:
    """Raise ConfigError for an option of another model than that of the run's `card`."""
    names = card.labels.names if card.labels else ()
    if names != (labels.names if labels else ()):
        begun = f"with the labels {card.labels.listed}" if card.labels else "without labels"
        raise ConfigError(f"--labels: the run of {name} began {begun}; continue it as it began")
    for option in ("kind", "image_size", "levels"):
        requested, current = getattr(options, option), getattr(card, option)
        if requested not in (None, current):
            raise ConfigError(
                f"--{option.replace('_', '-')} {requested}: the run of {name} has {current}; leave "
                "it out to continue, or choose another name"
            )


def training_precision(precision: str, device: str) -> Precision:
    """Turn "auto" into bfloat16 if the CPU or GPU is fast with it, else float32."""
    if precision == "auto" and device.startswith("cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if fast else "float32"
    return resolve_precision(precision, device)


def _beginning(name: str, run: Run) -> Iterator[str]:
    card, options, training = run.model.card, run.options, run.training
    parameters = sum(tensor.numel() for tensor in run.parameters.values())
    yield (
        f"{name}: {len(training.images):,} images of {card.image_size}×{card.image_size} in "
        f"{'grey' if card.channels == 1 else 'colour'}; {parameters:,} parameters, "
        f"{card.levels} levels, {card.label}"
    )
    if run.step >= options.steps:
        yield f"writing the model of step {run.step:,} into {training.folder}"
        return
    if run.step:
        yield f"continuing after step {run.step:,} of {options.steps:,}, in {training.folder}"
    yield (
        f"training on {training.device} in {training.precision}, {options.steps:,} steps of "
        f"{options.batch_size} images; Ctrl-C saves the state"
    )
