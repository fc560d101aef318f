"""The card of a checkpoint that comes without one: what the file tells, what the images tell, and
what only its author knows.

Names and shapes of the weights tell the network, the images their size. Nothing tells the number
of levels, the blur and the noise: those are asked for. The number of heads is taken to be 1, which
all published configurations have, unless told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.ihdm.card.card import (
    NOISE_RATIO,
    BlurRange,
    DiffusionConfig,
    ModelCard,
    preset,
    sampling_noise,
)
from sitegen.ihdm.checkpoints.inspection import CheckpointInfo
from sitegen.ihdm.data.images import image_side
from sitegen.models.presets import is_approximate, measured

HEADS = 1
HEADS_FAULT = (
    "The number of attention heads leaves no trace in a checkpoint; it was taken to be 1, as in "
    "every published configuration."
)


@dataclass(frozen=True)
class AddOptions:
    """What the author says of a checkpoint; None is what was left open.

    Sizes are in pixels, noise levels in [0, 1] pixel units. `kind` is "ihdm" or "ddpm";
    `noise_schedule` is a DDPM's.
    """

    checkpoint: Path
    data: Path | None = None
    preset: str | None = None
    image_size: int | None = None
    levels: int | None = None
    blur_sigma_min: float | None = None
    blur_sigma_max: float | None = None
    heads: int | None = None
    training_noise_std: float | None = None
    sampling_noise_std: float | None = None
    kind: str | None = None
    noise_schedule: str | None = None

    def given(self) -> tuple[str, ...]:
        """The options, beside the checkpoint and its images, that say something."""
        said = (name for name, value in vars(self).items() if value is not None)
        return tuple(option(name) for name in said if name not in ("checkpoint", "data"))


@dataclass(frozen=True)
class Question:
    """What only the author knows: a field of `AddOptions`, and what to offer on a terminal."""

    field: str
    words: str
    offer: Any = None


Ask = Callable[[Question], Any]

_DATA = Question("data", "its training images: a folder, or files of MNIST's or CIFAR's format")
_SIZE = Question("image_size", "side of its images in pixels, to which these are scaled")
_HEADS = Question("heads", "number of attention heads (published: 1)", HEADS)
_TRAINING = (
    Question("levels", "K, the number of levels it was trained with (published: 50 to 400)"),
    Question("blur_sigma_min", "blur of level 1 in pixels (published: 0.5)", 0.5),
    Question("blur_sigma_max", "blur of level K in pixels (published: 16 to 128; side/2 to side)"),
    Question("training_noise_std", "standard deviation of the training noise", 0.01),
)


def option(field: str) -> str:
    """The command line's name of a field."""
    return f"--{field.replace('_', '-')}"


def complete(options: AddOptions, found: CheckpointInfo, ask: Ask | None) -> AddOptions:
    """The wishes with nothing left open that decides pictures.

    What is missing is asked for one by one, or, where nobody can be asked, told all at once by a
    ConfigError. Raises RefusedError for images or a network that cannot be used.
    """
    if options.preset is None and found.architecture is None:
        raise RefusedError(
            f"{options.checkpoint}: not a U-Net that sitegen knows by the names of its weights; "
            "`sitegen inspect` shows what it is"
        )
    if options.preset is None and found.presets and ask is not None and not options.given():
        fits = " or ".join(found.presets)
        words = f"it has the network of {fits}; the preset, if it was trained like that, or nothing"
        options = replace(options, preset=ask(Question("preset", words, "")) or None)
    answers = Answers(options, found, ask)
    if options.preset is None or not _serves(options):
        answers.get(_DATA)
    if options.preset is None:
        answers.measure_side(_SIZE)
        for question in _TRAINING:
            answers.get(question)
    answers.refuse_missing()
    if options.preset is None and ask is not None:
        answers.get(
            Question("sampling_noise_std", "noise added in sampling", _noise(answers.options))
        )
        answers.get(_HEADS)
    return answers.options


def _noise(options: AddOptions) -> float:
    """The sampling noise: the author's, or in its usual ratio to the training noise."""
    if options.sampling_noise_std is not None:
        return options.sampling_noise_std
    assert options.training_noise_std is not None
    return sampling_noise(options.training_noise_std)


class Answers:
    """Wishes that are being completed, and the questions that nobody could be asked."""

    def __init__(self, options: AddOptions, found: CheckpointInfo, ask: Ask | None) -> None:
        self.options = options
        self.missing: list[Question] = []
        self._found = found
        self._ask = ask

    def get(self, question: Question) -> None:
        """Have a field filled, unless it is already or cannot be."""
        if getattr(self.options, question.field) is not None or question in self.missing:
            return
        if self._ask is None:
            self.missing.append(question)
        else:
            self.options = _with(self.options, question.field, self._ask(question))

    def measure_side(self, question: Question) -> None:
        """Take the size of the images from them, or from the author where they differ."""
        if self.options.image_size is None and self.options.data is not None:
            self.options = replace(self.options, image_size=image_side(self.options.data))
            self.get(question)

    def refuse_missing(self) -> None:
        """Raise a ConfigError that tells every option that is missing."""
        if not self.missing:
            return
        rows = [f"  {option(each.field):22} {each.words}" for each in self.missing]
        if fits := " or ".join(f"--preset {name}" for name in self._found.presets):
            rows.append(f"or, if it was trained like that, {fits}")
        raise ConfigError(
            f"{self.options.checkpoint}: a checkpoint does not say all that sampling takes; give\n"
            + "\n".join(rows)
        )


def _with(options: AddOptions, field: str, value: Any) -> AddOptions:
    changes: dict[str, Any] = {field: value}
    return replace(options, **changes)


def _serves(options: AddOptions) -> bool:
    """Whether the prior that travels with the preset is one for this model."""
    assert options.preset is not None
    card = preset(options.preset)
    return options.image_size in (None, card.image_size) and (
        options.blur_sigma_max in (None, _blur(card).sigma_max)
    )


def notes(options: AddOptions, card: ModelCard) -> list[str]:
    """What was settled without the author's word, to be told to them."""
    lines = []
    if options.data is not None and (side := image_side(options.data)) != card.image_size:
        own = f"are {side}×{side} pixels" if side else "are not squares of one size"
        size = f"{card.image_size}×{card.image_size}"
        lines.append(f"the images {own}: their middle squares, scaled to {size}, were measured")
    if is_approximate(card):
        lines.append("it starts from approximate flat images; --data DIR measures the real ones")
    if options.preset is None and options.heads is None:
        lines.append("attention heads: 1, as published; --heads N if it was trained with others")
    if (options.heads or 1) > 1:
        lines.append("the heads are split as published: use_new_attention_order in the card")
    if options.preset is None and options.sampling_noise_std is None:
        times = f"{NOISE_RATIO} times the training noise"
        lines.append(f"sampling noise: {card.sampling_noise_std:g}, {times}")
    return lines


def with_images(options: AddOptions, own: ModelCard, where: Path, ask: Ask | None) -> AddOptions:
    """The wishes for a model that has its `own` card, which leaves open at most its images.

    Raises ConfigError for what the card says already, and for images that nobody can be asked for.
    """
    if options.given():
        said = ", ".join(options.given())
        raise ConfigError(f"{where}: this card says all of it; leave out {said}")
    if own.kind != "ihdm" or own.prior is not None or options.data is not None:
        return options
    if ask is None:
        raise ConfigError(f"{where}: names no prior to start from; --data: {_DATA.words}")
    return replace(options, data=ask(_DATA))


def new_card(options: AddOptions, found: CheckpointInfo) -> ModelCard:
    """The card that complete wishes make, without weights and prior.

    Raises ConfigError, in the words of the card, for values that cannot be.
    """
    card = _from_preset(options) if options.preset is not None else _from_file(options, found)
    return measured(card) if options.data is not None else card


def _from_preset(options: AddOptions) -> ModelCard:
    assert options.preset is not None
    card = preset(options.preset)
    blur, unet = _blur(card), card.unet
    if options.heads is not None:
        unet = replace(unet, num_heads=options.heads, num_head_channels=-1)
    changes: dict[str, Any] = {
        "image_size": options.image_size,
        "levels": options.levels,
        "training_noise_std": options.training_noise_std,
        "sampling_noise_std": options.sampling_noise_std,
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    low, high = options.blur_sigma_min, options.blur_sigma_max
    sigmas = BlurRange(low or blur.sigma_min, high or blur.sigma_max)
    return replace(card, unet=unet, blur=sigmas, **changes)


def _blur(card: ModelCard) -> BlurRange:
    assert isinstance(card.blur, BlurRange)  # those of all presets are
    return card.blur


def _from_file(options: AddOptions, found: CheckpointInfo) -> ModelCard:
    assert found.architecture is not None
    values: Any = options  # complete, so that only heads and sampling noise may be None
    return ModelCard(
        image_size=values.image_size,
        channels=found.architecture.channels,
        levels=values.levels,
        unet=found.architecture.unet(values.heads or HEADS),
        blur=BlurRange(values.blur_sigma_min, values.blur_sigma_max),
        training_noise_std=values.training_noise_std,
        sampling_noise_std=_noise(options),
        parameterization="preconditioned" if found.preconditioned else "difference",
        known_faults=(HEADS_FAULT,) if values.heads is None else (),
    )


KNOWN_STEPS = 1000
"""The timesteps that a network knows where they are rescaled, whatever their number."""

_BETAS = (1e-4, 0.02)
_HEAT = ("preset", "blur_sigma_min", "blur_sigma_max", "training_noise_std", "sampling_noise_std")
_LEVELS = Question("levels", "the number of diffusion steps it was trained with", KNOWN_STEPS)
_SCHEDULE = Question("noise_schedule", "its noise schedule: linear or cosine", "linear")
_DDPM_SIZE = Question("image_size", "side of its images in pixels")
_DDPM_HEADS = Question("heads", "number of attention heads", HEADS)


def is_ddpm(options: AddOptions, found: CheckpointInfo) -> bool:
    """Whether the checkpoint is a DDPM's, as the author says or as its last layer shows."""
    if options.kind is not None:
        return options.kind == "ddpm"
    return found.learned_variance and options.preset is None


def complete_ddpm(options: AddOptions, found: CheckpointInfo, ask: Ask | None) -> AddOptions:
    """The wishes with nothing left open that decides pictures.

    Raises ConfigError for what only other models have and for what is missing where nobody can be
    asked, RefusedError for a network that is not known or images that cannot be used.
    """
    if found.architecture is None:
        raise RefusedError(
            f"{options.checkpoint}: not a U-Net that sitegen knows by the names of its weights; "
            "`sitegen inspect` shows what it is"
        )
    alien = [option(name) for name in _HEAT if getattr(options, name) is not None]
    if alien:
        raise ConfigError(f"a DDPM has no {', '.join(alien)}; leave that out")
    answers = Answers(options, replace(found, presets=()), ask)  # those are of other models
    answers.measure_side(_DDPM_SIZE)
    answers.get(_DDPM_SIZE)
    answers.get(_LEVELS)
    answers.get(_SCHEDULE)
    answers.refuse_missing()
    if ask is not None:
        answers.get(_DDPM_HEADS)
    return answers.options


def ddpm_card(options: AddOptions, found: CheckpointInfo) -> ModelCard:
    """The card that complete wishes make, without weights."""
    assert found.architecture is not None
    values: Any = options  # complete, so that only the heads may be None
    low, high = _betas(values.levels) if values.noise_schedule == "linear" else (None, None)
    return ModelCard(
        image_size=values.image_size,
        channels=found.architecture.channels,
        levels=values.levels,
        kind="ddpm",
        unet=replace(found.architecture.unet(values.heads or HEADS), use_new_attention_order=False),
        diffusion=DiffusionConfig(
            values.noise_schedule,
            low,
            high,
            variance="fixed_small" if found.learned_variance else "fixed_large",
            rescale_timesteps=values.levels != KNOWN_STEPS,
        ),
        known_faults=(HEADS_FAULT,) if values.heads is None else (),
    )


def _betas(levels: int) -> tuple[float, float]:
    """β of the first and the last step: as Ho et al. 2020 chose for 1000, scaled to others.

    Nichol and Dhariwal 2021 scale so; with few steps β stays below 1.
    """
    low, high = _BETAS
    return low * KNOWN_STEPS / levels, min(high * KNOWN_STEPS / levels, 0.999)


def ddpm_notes(options: AddOptions, card: ModelCard) -> list[str]:
    """What was settled without the author's word, to be told to them."""
    assert card.diffusion is not None
    lines = []
    if options.heads is None:
        lines.append("attention heads: 1; --heads N if it was trained with others")
    if card.diffusion.rescale_timesteps:
        lines.append(
            f"timesteps are told to the network as if there were {KNOWN_STEPS}; where it was "
            "trained otherwise, set rescale_timesteps in the card to false"
        )
    return [*lines, f'variance in sampling: "{card.diffusion.variance}", which the card can change']


def without_ddpm(options: AddOptions) -> AddOptions:
    """The wishes for another kind of model. ConfigError if they have what only a DDPM has."""
    if options.noise_schedule is not None:
        raise ConfigError("--noise-schedule is of a DDPM; leave it out, or give --kind ddpm")
    return replace(options, kind=None)
