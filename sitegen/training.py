"""The bridge between the command line and the trainer: wishes become a card, options and a run.

Torch is imported only inside functions, because the command line needs the options here for help.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from sitegen.errors import ConfigError
from sitegen.ihdm.options import TrainingOptions
from sitegen.report import Reporter, duration
from sitegen.stopping import Stop, stop_on_signals
from sitegen.trainview import training_shown

if TYPE_CHECKING:
    from sitegen.ihdm.card import ModelCard
    from sitegen.ihdm.data import Images
    from sitegen.ihdm.model import Precision
    from sitegen.ihdm.recipe import Training
    from sitegen.ihdm.train import Run

F = TypeVar("F", bound=Callable[..., Any])

FEW_IMAGES = 1000
"""With fewer than that, a warning: a model knows them by heart."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DEFAULTS = TrainingOptions()
_BFLOAT16 = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True)
class Wishes:
    """What the command line says; None is what the preset, the data or our small model has."""

    data: Path
    output: Path | None = None
    image_size: int | None = None
    levels: int | None = None
    blur_sigma_max: float | None = None
    preset: str | None = None
    parameterization: str | None = None
    images: int = _DEFAULTS.images
    batch_size: int = _DEFAULTS.batch_size
    learning_rate: float = _DEFAULTS.learning_rate
    warmup_steps: int = _DEFAULTS.warmup_steps
    decay_share: float = _DEFAULTS.decay_share
    ema_decay: float = _DEFAULTS.ema_decay
    gradient_clip: float = _DEFAULTS.gradient_clip
    seed: int = _DEFAULTS.seed
    device: str = "auto"
    precision: str = "auto"


def train_options(command: F) -> F:
    """Add the options of `sitegen train`, one for each field of `Wishes`."""
    options = (_option(*row) for row in reversed(_OPTIONS))
    return reduce(lambda wrapped, option: option(wrapped), options, command)


_PATH = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(0, min_open=True)
_SHARE = click.FloatRange(0, 1)
_OPTIONS: tuple[tuple[str, click.ParamType[Any] | type, str], ...] = (
    ("data", _PATH, "A folder of pictures, or a file or folder of MNIST's or CIFAR's format."),
    ("output", _PATH, "The model's folder.  [default: runs/NAME]"),
    ("image-size", click.IntRange(4, 4096), "Scale the images to N pixels a side."),
    ("levels", click.IntRange(1, 100_000), "K, the steps from flat to sharp.  [default: 100]"),
    ("blur-sigma-max", _POSITIVE, "Blur of level K in pixels.  [default: 5/7 of the side]"),
    ("preset", str, "A published network instead of our small one."),
    (
        "parameterization",
        click.Choice(["difference", "preconditioned"]),
        "What the network answers.  [default: preconditioned; a preset's own]",
    ),
    ("images", click.IntRange(1), "How many images to see, each again and again."),
    ("batch-size", click.IntRange(1), "Images a step."),
    ("learning-rate", _POSITIVE, "The highest learning rate."),
    ("warmup-steps", click.IntRange(0), "Steps that the learning rate takes to rise."),
    ("decay-share", _SHARE, "Share of the steps, the last, in which it falls to 0."),
    ("ema-decay", click.FloatRange(0, 1, max_open=True), "Of the averaged weights, a step."),
    ("gradient-clip", _POSITIVE, "The largest norm of a gradient."),
    (
        "seed",
        click.IntRange(0, 2**63 - 1),
        "Decides the first weights, and what is drawn in each step.",
    ),
    ("device", str, "Where to train: auto, cpu, cuda or cuda:N."),
    (
        "precision",
        click.Choice(["auto", "float32", "bfloat16"]),
        "What the network computes in; auto is bfloat16 where the processor has it.",
    ),
)


def _option(name: str, kind: click.ParamType[Any] | type, words: str) -> Callable[[F], F]:
    default = getattr(Wishes, name.replace("-", "_"), None)
    known = {} if default is None else {"default": default, "show_default": True}
    return click.option(f"--{name}", type=kind, help=words, required=name == "data", **known)


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
    from sitegen.ihdm.data import read_images, require_enough
    from sitegen.ihdm.recipe import Training
    from sitegen.plan import resolve_device
    from sitegen.studio import require_device

    base = _preset(wishes)
    kind = wishes.parameterization or (base.parameterization if base else "preconditioned")
    options = training_options(wishes, kind)
    device = resolve_device(wishes.device)
    require_device(device)
    size, channels = (base.image_size, base.channels) if base else (wishes.image_size, None)
    images = read_images(wishes.data, size, channels)
    require_enough(images, wishes.data)
    training = Training(
        images=images,
        source=wishes.data.resolve().name,
        folder=wishes.output or Path("runs") / name,
        options=options,
        device=device,
        precision=training_precision(wishes.precision, device),
    )
    return base or _small_card(wishes, kind, images), training


def training_options(wishes: Wishes, parameterization: str) -> TrainingOptions:
    """The options of the run; for "difference" all levels are drawn equally often, as published."""
    names = {item.name for item in fields(TrainingOptions)} & vars(wishes).keys()
    options = TrainingOptions(**{name: getattr(wishes, name) for name in names})
    return replace(options, level_focus=0.0) if parameterization == "difference" else options


def training_precision(asked: str, device: str) -> Precision:
    """Turn "auto" into bfloat16 where the processor or GPU computes in it, else float32."""
    if asked != "auto":
        return "bfloat16" if asked == "bfloat16" else "float32"
    import torch

    if device != "cpu":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Older versions of torch cannot tell.
        able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        has = any(able.get(name, False) for name in _BFLOAT16)
    return "bfloat16" if has else "float32"


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
        f"{card.levels} levels, {card.parameterization}"
    )
    if run.step:
        yield f"going on after step {run.step:,} of {options.steps:,}, in {training.folder}"
    yield (
        f"training on {training.device} in {training.precision}, {options.steps:,} steps of "
        f"{options.batch_size} images; Ctrl-C saves the state"
    )
    if run.model.statistics is not None:
        yield "a loss of 1 is what a linear filter reaches"


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
