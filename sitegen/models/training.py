"""Front end of training: turns options of the command line into a card and a run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import click
import torch

from sitegen.core.compute import VECTOR_UNITS, Precision, resolve_device, resolve_precision
from sitegen.core.errors import ConfigError
from sitegen.core.progress import Reporter, duration
from sitegen.core.signals import stop_on_signals
from sitegen.core.source import shown
from sitegen.core.urls import slug_fault
from sitegen.generative.card.card import BlurRange, ModelCard, Parameterization, preset
from sitegen.generative.card.limits import DEFAULT_LEVELS
from sitegen.generative.data.images import read_images, require_enough
from sitegen.generative.process.model import require_device
from sitegen.generative.training import recipe
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.train import STATE_NAME, Progress, Run, Training
from sitegen.models.new_card import SUBJECT, Ask
from sitegen.models.registry import find_model

LEARNED_LITTLE = 0.9
"""Loss, relative to the baseline's, from which a finished run is reported as too short. Trained
models of this repository end between 0.2 and 0.7."""
FEW_IMAGES = 1000
"""Number of images below which a warning is printed: the model could memorize them."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of `sitegen train`; None means the value of the preset, the data or the small model.

    subject: what the images show, in the plural
    recipe: values of fields of `TrainingOptions`
    """

    data: Path
    output: Path | None = None
    kind: str = "ihdm"
    image_size: int | None = None
    levels: int | None = None
    blur_sigma_max: float | None = None
    preset: str | None = None
    parameterization: Parameterization | None = None
    networks: str | None = None
    init: str | None = None
    device: str = "auto"
    precision: str = "auto"
    subject: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)


_NO_CASCADE = (
    "needs the parameterization preconditioned, no preset, at least 50 levels, and images of at "
    "least 28 pixels a side, a multiple of 4; leave it out"
)


class TrainingReporter(Reporter, Protocol):
    """A reporter that can show a training run."""

    def training(
        self, title: str, first: int, steps: int
    ) -> AbstractContextManager[Callable[[Progress], None]]:
        """Show a run from step `first` to `steps`; the block calls the yielded function."""


def train_model(
    name: str, wanted: TrainOptions, report: TrainingReporter, ask: Ask | None = None
) -> None:
    """Train the requested model, or resume its training, and report progress.

    `ask` prompts for the subject of the images if `subject` is not given; None if the session is
    not interactive. Returns when the model is written. After a signal, saves the state and raises
    SystemExit (130, 143 or 129). Raises the errors of `opened` and `go_on` in
    `sitegen.generative.training.recipe`.
    """
    if fault := slug_fault(name):
        raise ConfigError(f"the name {name[:80]} {fault}, as in site.toml")
    begun = (_folder(name, wanted) / STATE_NAME).exists()
    if ask is not None and wanted.subject is None and not _from_noise(wanted) and not begun:
        wanted = replace(wanted, subject=ask(SUBJECT))
    report.note(f"reading the images in {shown(wanted.data)}")
    card, training = prepare(name, wanted)
    if len(training.images) < FEW_IMAGES:
        report.warn(f"only {len(training.images)} images: the model may memorize them")
    with stop_on_signals() as stop, recipe.opened(card, training) as run:
        if (done := recipe.finished_card(run)) is not None:
            report.note(
                f"{name} is finished: the model in {training.folder} has seen "
                f"{done.training['images_seen']:,} images; give a larger --images to continue"
            )
            return
        for line in _beginning(name, run, training):
            report.note(line)
        if run.options.steps < (rising := run.options.warmup_steps):
            report.warn(
                f"{run.options.steps:,} steps are fewer than the {rising:,} in which the learning "
                "rate rises: little will be learnt; give more --images, or a lower --warmup-steps"
            )
        last: Progress | None = None
        with report.training(name, run.step, run.options.steps) as show:

            def tell(progress: Progress) -> None:
                nonlocal last
                last = progress
                show(progress)

            measuring = partial(report.rendering, f"{name}: estimating its residual variance")
            written = recipe.go_on(run, tell, stop.asked, measuring)
        if written is None:
            click.echo(
                f"stopped after step {run.step:,} of {run.options.steps:,}; the state is saved in "
                f"{training.folder}; run the same command to continue",
                err=True,
            )
            raise SystemExit(128 + (stop.signal or 0))
    for line in _ending(name, training.folder, written):
        report.note(line)
    if last is not None and (baseline := _baseline(run)) and last.loss >= LEARNED_LITTLE:
        report.warn(
            f"the model learned almost nothing: the last loss is {last.loss:.3g}, and 1 is that of "
            f"{baseline}. Samples will be blurry; repeat the command with more --images to continue"
        )


def prepare(name: str, wanted: TrainOptions) -> tuple[ModelCard, Training]:
    """Read the images and fill in all options that were left open.

    Raises ConfigError for invalid options, RefusedError for unusable data, PlatformError for a
    device that is not available.
    """
    for option in ("blur_sigma_max", "parameterization"):
        if _from_noise(wanted) and getattr(wanted, option) is not None:
            none = f"the kind {wanted.kind} has none; leave it out"
            raise ConfigError(f"--{option.replace('_', '-')}: {none}")
    base = _preset(wanted)
    kind = wanted.parameterization or (base.parameterization if base else "preconditioned")
    kind = "difference" if _from_noise(wanted) else kind  # whose distribution of levels it uses
    options = training_options(wanted, kind)
    device = resolve_device(wanted.device)
    require_device(device)
    size, channels = (base.image_size, base.channels) if base else (wanted.image_size, None)
    images = read_images(wanted.data, size, channels)
    require_enough(images, wanted.data)
    _, channels, size, _ = images.shape
    levels, sigma_max = wanted.levels or DEFAULT_LEVELS, wanted.blur_sigma_max
    source = find_model(wanted.init, None, Path("site.toml")) if wanted.init is not None else None
    alone = source is not None and not source.card.bands  # one network, as the initial weights
    several = wanted.networks == "cascade" or (wanted.networks is None and not alone)
    card = base or recipe.small_card(size, channels, levels, sigma_max, kind, cascade=several)
    if wanted.networks == "cascade" and not (card.bands or _light(wanted, card)):
        raise ConfigError(f"--networks cascade: {_NO_CASCADE}")
    if _from_noise(wanted):
        card = recipe.FROM_NOISE[wanted.kind](card, _light(wanted, card))
    card = replace(card, subject=wanted.subject or "")
    start = None
    if source is not None:
        start = recipe.beginning(source.name, source.weights, source.card, card)
    training = Training(
        images=images,
        source=wanted.data.resolve().name,
        folder=_folder(name, wanted),
        options=options,
        device=device,
        precision=training_precision(wanted.precision, device),
        beginning=start,
    )
    return card, training


def _light(wanted: TrainOptions, card: ModelCard) -> bool:
    """Return whether to train the network of a cascade's finest levels for all levels."""
    cascade = wanted.networks == "cascade" and wanted.preset is None
    return _from_noise(wanted) and cascade and card.image_size % 4 == 0


def _from_noise(wanted: TrainOptions) -> bool:
    """Return whether the model starts from noise, not from blurred images."""
    return wanted.kind in recipe.FROM_NOISE


def _folder(name: str, wanted: TrainOptions) -> Path:
    return wanted.output or Path("runs") / name


def training_options(wanted: TrainOptions, parameterization: str) -> TrainingOptions:
    """Return the options of the run; "difference" draws levels uniformly unless given."""
    given = {key: value for key, value in wanted.recipe.items() if value is not None}
    published = {"level_focus": 0.0} if parameterization == "difference" else {}
    return TrainingOptions(**(published | given))


def training_precision(precision: str, device: str) -> Precision:
    """Turn "auto" into bfloat16 if the CPU or GPU is fast with it, else float32."""
    if precision != "auto" or device == "cpu":
        return resolve_precision(precision, device, units=VECTOR_UNITS)
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def _preset(wanted: TrainOptions) -> ModelCard | None:
    """Return the preset's card without its notes, which describe the published weights."""
    if wanted.preset is None:
        return None
    card = replace(preset(wanted.preset), training={}, quality={}, known_faults=())
    names = ("image_size", "levels", "parameterization")
    changes = {name: getattr(wanted, name) for name in names if getattr(wanted, name) is not None}
    if wanted.blur_sigma_max is not None:
        lowest = card.blur.sigma_min if isinstance(card.blur, BlurRange) else 0.5
        changes["blur"] = BlurRange(lowest, wanted.blur_sigma_max)
    return replace(card, **changes)


def _beginning(name: str, run: Run, training: Training) -> Iterator[str]:
    card, options = run.model.card, run.options
    parameters = sum(tensor.numel() for tensor in run.parameters.values())
    method = card.parameterization if "blur" in card.abilities else card.process.label
    yield (
        f"{name}: {len(training.images):,} images of {card.image_size}×{card.image_size} in "
        f"{'grey' if card.channels == 1 else 'colour'}; {parameters:,} parameters, "
        f"{card.levels} levels, {method}"
    )
    if run.step:
        yield f"continuing after step {run.step:,} of {options.steps:,}, in {training.folder}"
    yield (
        f"training on {training.device} in {training.precision}, {options.steps:,} steps of "
        f"{options.batch_size} images; Ctrl-C saves the state"
    )
    if baseline := _baseline(run):
        yield f"a loss of 1 is the loss of {baseline}"


def _baseline(run: Run) -> str | None:
    if run.model.card.diffusion is not None:
        return "a network that cannot see noise"
    return None if run.model.statistics is None else "a linear filter"


def _ending(name: str, folder: Path, card: ModelCard) -> Iterator[str]:
    sizes = recipe.model_sizes(folder)
    parts = ", ".join(f"{file} {size / 1e6:.2f} MB" for file, size in sizes.items())
    yield (
        f"{name}: trained on {card.training['images_seen']:,} images, the last session in "
        f"{duration(card.training['seconds_last_session'])}"
    )
    yield f"{folder}: {sum(sizes.values()) / 1e6:.2f} MB ({parts})"
    yield f"to see samples: sitegen sample {folder} --count 36 --output {folder}/samples"
