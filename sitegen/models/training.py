"""Front end of training: turns options of the command line into a card and a run."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from signal import SIGINT
from typing import Any, Protocol

import click
import torch

from sitegen.core.compute import Precision, resolve_device, resolve_precision
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import write_atomic
from sitegen.core.progress import Reporter, clock, duration, megabytes
from sitegen.core.signals import Stop, stop_on_signals
from sitegen.core.source import shown
from sitegen.core.urls import slug_fault
from sitegen.generative.card.card import STATE_NAME, BlurRange, ModelCard, preset
from sitegen.generative.card.limits import DEFAULT_LEVELS
from sitegen.generative.data.images import image_side, read_images, require_enough
from sitegen.generative.data.prior import make_prior
from sitegen.generative.process.dissipation import HeatDissipation, Parameterization, heat_of
from sitegen.generative.process.model import Model, require_device
from sitegen.generative.process.noise import independent
from sitegen.generative.process.protocol import process_of
from sitegen.generative.process.protocol import run as run_process
from sitegen.generative.training import recipe
from sitegen.generative.training.duration import SIDES, chosen_for, look_every_s
from sitegen.generative.training.loss import level_density, linear_flow_loss
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.residual import IMAGES, residual_shares
from sitegen.generative.training.train import (
    DRAWN,
    DRAWN_MEASURED,
    SHEET_NAME,
    Looks,
    Progress,
    Run,
    Training,
)
from sitegen.media.contact_sheet import contact_sheet, png
from sitegen.media.frames import to_uint8
from sitegen.models.new_card import SUBJECT, Ask
from sitegen.models.registry import find_model

LEARNED_LITTLE = 0.9
"""Loss, relative to the baseline's, from which a finished run is reported as too short. Trained
models of this repository end between 0.2 and 0.7."""
LONG = 25
"""Minutes that a run of unknown duration is taken to last, which decides how often to draw."""
SHAPES_FROM = 20_000
"""Images of 32 × 32 pixels from which samples show simple shapes."""
EXPECTED = (
    (2_000, "almost nothing, only noise or a blur; give more --minutes"),
    (SHAPES_FROM, "colours and layout, not clear shapes; give more --minutes for those"),
    (300_000, "simple shapes, some with faults; give more --minutes for better ones"),
    (3_000_000, "digits, clothing and cartoon faces become clear; photographs stay blurred"),
    (math.inf, "clear samples of simple subjects; photographs need a GPU and more"),
)
"""What samples look like, by the most images of 32 × 32 pixels that a run has seen."""
BLUR_NEEDS = 5
"""Images that a model of heat dissipation needs for one of a process of noise, roughly."""
_CARD_OPTIONS = (
    *("image_size", "levels", "blur_sigma_max", "preset", "parameterization", "networks"),
)
_BASELINE_IMAGES = 4096
"""Images that the loss of a linear filter is computed from, at most."""
FEW_IMAGES = 1000
"""Number of images below which a warning is printed: the model could memorize them."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of `sitegen train`; None means the value of the preset, the data or the small model.

    kind: kind of the process; None for that of the run, or else a flow with `minutes`, else ihdm
    subject: what the images show, in the plural
    minutes: duration for which to choose the size, the networks and the recipe
    finish: write the model from what a run has learned so far
    recipe: values of fields of `TrainingOptions`
    card: the card of a run that is resumed
    light: whether to take the networks for short runs
    measured: images per level for estimating the residual variance
    ends_at: time on the monotonic clock at which a new run of `minutes` should end
    """

    data: Path
    output: Path | None = None
    kind: str | None = None
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
    minutes: float | None = None
    finish: bool = False
    recipe: Mapping[str, Any] = field(default_factory=dict)
    card: ModelCard | None = None
    light: bool = False
    measured: int = IMAGES
    ends_at: float | None = None

    @property
    def process(self) -> str:
        """Kind of the process of a new run."""
        return self.kind or ("flow" if self.minutes else "ihdm")


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
    name: str,
    wanted: TrainOptions,
    report: TrainingReporter,
    ask: Ask | None = None,
    confirm: Callable[[str], bool] | None = None,
) -> Path:
    """Train the requested model, or resume its training; return the folder of the model.

    `ask` prompts for the subject of the images if `subject` is not given, and `confirm` whether to
    write the model after the first Ctrl-C; None if the session is not interactive. After a signal,
    saves the state and raises SystemExit (130, 143 or 129). Raises the errors of `opened` and
    `go_on` in `sitegen.generative.training.recipe`.
    """
    started = time.monotonic()
    if fault := slug_fault(name):
        raise ConfigError(f"the name {name[:80]} {fault}, as in site.toml")
    begun = (_folder(name, wanted) / STATE_NAME).exists()
    if ask is not None and wanted.subject is None and not _from_noise(wanted) and not begun:
        wanted = replace(wanted, subject=ask(SUBJECT))
    wanted = _within(name, _resumed(name, wanted), report, started)
    report.note(f"reading the images in {shown(wanted.data)}")
    card, training = prepare(name, wanted)
    if len(training.images) < FEW_IMAGES:
        report.warn(f"only {len(training.images)} images: the model may memorize them")
    with stop_on_signals() as stop, recipe.opened(card, training) as run:
        if (done := recipe.finished_card(run)) is not None:
            report.note(
                f"{name} is finished: the model in {training.folder} has seen "
                f"{done.training['images_seen']:,} images; give a larger --images to continue, or "
                "another name to train anew"
            )
            return training.folder
        if wanted.finish:
            run.end_here()
        written = _trained(name, run, wanted, report, stop)
        if written is None and stop.signal == SIGINT and confirm is not None:
            question = f"stopped after step {run.step:,}; write the model now, from what it learned"
            if run.step and confirm(question):
                stop.signal = None
                run.end_here()
                written = _trained(name, run, wanted, report, stop)
    if written is None:
        click.echo(
            f"stopped after step {run.step:,} of {run.options.steps:,}; the state is saved in "
            f"{training.folder}; run the same command to continue, or with --finish to write the "
            "model from what was learned",
            err=True,
        )
        raise SystemExit(128 + (stop.signal or 0))
    for line in _ending(name, training.folder, written):
        report.note(line)
    _warn_of_little(run, report)
    return training.folder


def _trained(
    name: str, run: Run, wanted: TrainOptions, report: TrainingReporter, stop: Stop
) -> ModelCard | None:
    """Take the steps that are left and write the model; None if it was stopped."""
    for line in _beginning(name, run):
        report.note(line)
    if run.step < run.options.steps < (rising := run.options.warmup_steps):
        report.warn(
            f"{run.options.steps:,} steps are fewer than the {rising:,} in which the learning "
            "rate rises: little will be learnt; give more --images, or a lower --warmup-steps"
        )
    draw = partial(draw_sheet, name=name)
    run.measured, run.ends_at = wanted.measured, wanted.ends_at
    run.looks = Looks(run.model.card, look_every_s(60 * (wanted.minutes or LONG)), draw)
    measuring = partial(report.rendering, f"{name}: estimating its residual variance")
    with report.training(name, run.step, run.options.steps) as show:
        return recipe.go_on(run, show, stop.asked, measuring)


def draw_sheet(run: Run, name: str) -> Path:
    """Write samples of the averaged weights of a run into its folder; return the file's path."""
    images, model = run.training.images, run.averaged()
    card, starts = model.card, None
    if isinstance(model, Model):
        if card.estimates_variance:
            shares = residual_shares(model, images, count=DRAWN_MEASURED).to(model.device)
            model.register_buffer("statistics_residual", shares, persistent=False)
        starts = make_prior(images, card, DRAWN).initial_states
    process, numbers = process_of(model, starts), range(DRAWN)
    noise = independent(0, numbers, card.shape)
    state = process.start(0, numbers)
    for step in run_process(process, state, noise):
        state = process.pixels(step.mean, step.level)
    seen = run.step * run.options.batch_size
    sheet = contact_sheet(to_uint8(state.cpu().numpy()), numbers, f"{name}, {seen:,} images seen")
    path = run.training.folder / SHEET_NAME
    write_atomic(path, png(sheet))
    return path


def _warn_of_little(run: Run, report: TrainingReporter) -> None:
    """Warn if the last loss is near that of the baseline."""
    if (baseline := _baseline(run)) is None:
        return
    words, least = baseline
    log = run.log.path.read_text(encoding="utf-8").splitlines() if run.log.path.exists() else []
    told = f"{run.step:,} steps are too few"
    if log:
        loss = json.loads(log[-1])["loss"]
        if loss < LEARNED_LITTLE * least:
            return
        told = f"the last loss is {loss:.3g}, and {least:.3g} is that of {words}"
    more = max(SHAPES_FROM, 2 * run.options.images)
    report.warn(
        f"the model learned almost nothing: {told}. Samples will be noise or a blur; repeat the "
        f"command with --images {more} to continue, or train another name for more --minutes"
    )


def _resumed(name: str, wanted: TrainOptions) -> TrainOptions:
    """Return the options completed by those of the run that is resumed, if there is one.

    Its card is taken unless options for another are given. Raises ConfigError for another kind than
    the run's, RefusedError if there is no run to finish, or its state is damaged.
    """
    folder = _folder(name, wanted)
    saved = recipe.saved_choices(folder)
    if saved is None:
        if wanted.finish:
            raise RefusedError(f"{folder}: no run to finish; train it first, without --finish")
        return wanted
    card, options = saved
    if wanted.kind not in (None, card.kind):
        raise ConfigError(
            f"--kind {wanted.kind}: {name} was begun as {card.kind}; leave --kind out to continue "
            "it, or choose another name"
        )
    same = wanted.minutes is not None or wanted.finish
    if not same and any(getattr(wanted, option) is not None for option in _CARD_OPTIONS):
        return wanted
    return replace(wanted, card=card, kind=card.kind, recipe={**asdict(options), **wanted.recipe})


def _within(
    name: str, wanted: TrainOptions, report: TrainingReporter, started: float
) -> TrainOptions:
    """Choose the card and the recipe of a new run for its duration, if it has one; report them.

    `started` is the start of the command on the monotonic clock.
    """
    if wanted.minutes is None:
        return wanted
    fixed = ("preset", "init", "levels", "networks", "parameterization")
    unfit = [name for name in fixed if getattr(wanted, name) is not None]
    unfit += ["images"] * (wanted.card is None and "images" in wanted.recipe)
    if unfit:
        raise ConfigError(f"--minutes chooses all sizes; leave out --{unfit[0]}")
    if wanted.card is not None:
        if wanted.image_size not in (None, side := wanted.card.image_size):
            raise ConfigError(f"--image-size {wanted.image_size}: the run has {side}; leave it out")
        report.note(
            f"the length of {name} was chosen when it began, and --minutes does not change it; for "
            "a longer run, give a larger --images or another name"
        )
        return wanted
    report.note("measuring training steps on this machine")
    device = resolve_device(wanted.device)
    require_device(device)
    precision = training_precision(wanted.precision, device)
    own = image_side(wanted.data)
    sides = [side for side in SIDES if own is None or side <= own] or [own or SIDES[-1]]
    sides = sides if wanted.image_size is None else [wanted.image_size]
    ends_at = started + 60 * wanted.minutes
    left = ends_at - time.monotonic()
    found = chosen_for(wanted.process, max(left, 1.0), sides, 3, device, precision, wanted.recipe)
    card, options = found.card, found.options
    report.note(
        f"{wanted.minutes:g} min on this machine: {card.image_size}×{card.image_size} pixels, "
        f"{len(card.networks)} network{'s' * (len(card.networks) > 1)}, {options.steps:,} steps of "
        f"{options.batch_size} images ({found.seconds_per_step:.2g} s a step, measured); it ends "
        f"at about {clock(ends_at - time.monotonic())}"
    )
    report.note(expectation(card, options.images))
    size = card.image_size if card.image_size != own else None
    chosen = replace(wanted, image_size=size, levels=card.levels, recipe=asdict(options))
    return replace(chosen, light=True, measured=found.measured, ends_at=ends_at)


def expectation(card: ModelCard, images: int) -> str:
    """Describe what samples of a model will look like after training on so many images."""
    seen = images / max(1, card.image_size / 32) ** 2  # as measured at 32 pixels
    seen /= BLUR_NEEDS if "blur" in card.abilities else 1
    words = next(words for most, words in EXPECTED if seen < most)
    return f"to expect from {images:,} images: {words}"


def prepare(name: str, wanted: TrainOptions) -> tuple[ModelCard, Training]:
    """Read the images and fill in all options that were left open.

    Raises ConfigError for invalid options, RefusedError for unusable data, PlatformError for a
    device that is not available.
    """
    for option in ("blur_sigma_max", "parameterization"):
        if _from_noise(wanted) and getattr(wanted, option) is not None:
            none = f"the kind {wanted.process} has none; leave it out"
            raise ConfigError(f"--{option.replace('_', '-')}: {none}")
    base = wanted.card or _preset(wanted)
    kind = wanted.parameterization or (
        base.parameterization if isinstance(base, HeatDissipation) else "preconditioned"
    )
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
    card = base or recipe.small_card(
        size, channels, levels, sigma_max, kind, cascade=several, light=wanted.light
    )
    if wanted.networks == "cascade" and not (card.bands or _light(wanted, card)):
        raise ConfigError(f"--networks cascade: {_NO_CASCADE}")
    if _from_noise(wanted) and wanted.card is None:
        card = recipe.FROM_NOISE[wanted.process](card, _light(wanted, card))
    card = replace(card, subject=wanted.subject or card.subject)
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
    """Return whether to train a network of about the cost of a cascade's finest one."""
    cascade = wanted.networks == "cascade" and wanted.preset is None
    return _from_noise(wanted) and (cascade or wanted.light) and card.image_size % 4 == 0


def _from_noise(wanted: TrainOptions) -> bool:
    """Return whether the model starts from noise, not from blurred images."""
    return wanted.process in recipe.FROM_NOISE


def _folder(name: str, wanted: TrainOptions) -> Path:
    return wanted.output or Path("runs") / name


def training_options(wanted: TrainOptions, parameterization: str) -> TrainingOptions:
    """Return the options of the run; "difference" draws levels uniformly unless given."""
    published = {"level_focus": 0.0} if parameterization == "difference" else {}
    return TrainingOptions(**{**published, **wanted.recipe})


def training_precision(precision: str, device: str) -> Precision:
    """Turn "auto" into bfloat16 if the CPU or GPU is fast with it, else float32."""
    if precision == "auto" and device.startswith("cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if fast else "float32"
    return resolve_precision(precision, device)


def _preset(wanted: TrainOptions) -> ModelCard | None:
    """Return the preset's card without its notes, which describe the published weights."""
    if wanted.preset is None:
        return None
    published = heat_of(preset(wanted.preset))
    card = replace(published, training={}, quality={}, known_faults=())
    names = ("image_size", "levels", "parameterization")
    changes = {name: getattr(wanted, name) for name in names if getattr(wanted, name) is not None}
    if wanted.blur_sigma_max is not None:
        lowest = card.blur.sigma_min if isinstance(card.blur, BlurRange) else 0.5
        changes["blur"] = BlurRange(lowest, wanted.blur_sigma_max)
    return replace(card, **changes)


def _beginning(name: str, run: Run) -> Iterator[str]:
    card, options, training = run.model.card, run.options, run.training
    parameters = sum(tensor.numel() for tensor in run.parameters.values())
    method = card.parameterization if isinstance(card, HeatDissipation) else card.label
    yield (
        f"{name}: {len(training.images):,} images of {card.image_size}×{card.image_size} in "
        f"{'grey' if card.channels == 1 else 'colour'}; {parameters:,} parameters, "
        f"{card.levels} levels, {method}"
    )
    if run.step >= options.steps:
        yield f"writing the model of step {run.step:,} into {training.folder}"
        return
    if run.step:
        yield f"continuing after step {run.step:,} of {options.steps:,}, in {training.folder}"
    yield (
        f"training on {training.device} in {training.precision}, {options.steps:,} steps of "
        f"{options.batch_size} images; Ctrl-C saves the state. Samples, every few minutes: "
        f"{training.folder / SHEET_NAME}"
    )
    if baseline := _baseline(run):
        yield f"a loss of {baseline[1]:.3g} is the loss of {baseline[0]}"


def _baseline(run: Run) -> tuple[str, float] | None:
    """Return a predictor that learns nothing of an image's content, in words, and its loss."""
    card, options = run.model.card, run.options
    if card.diffusion is not None:
        return "a network that cannot see noise", 1
    if card.kind == "flow":
        images = torch.as_tensor(run.training.images[:_BASELINE_IMAGES])
        density = level_density(card.levels, options.level_focus, options.focus_centre)
        return "a linear filter", linear_flow_loss(images, density)
    return ("a linear filter", 1) if card.has_statistics else None


def _ending(name: str, folder: Path, card: ModelCard) -> Iterator[str]:
    sizes = recipe.model_sizes(folder)
    parts = ", ".join(f"{file} {megabytes(size)}" for file, size in sizes.items())
    yield (
        f"{name}: trained on {card.training['images_seen']:,} images, the last session in "
        f"{duration(card.training['seconds_last_session'])}"
    )
    yield f"{folder}: {megabytes(sum(sizes.values()))} ({parts})"
    yield f"to see samples: sitegen sample {folder} --count 36 --output {folder}/samples"
