"""Cards for checkpoints that have none, from the file, the images and the author's answers.

Names and shapes of the weights determine the network, and the images their size. Nothing records
the number of levels, the blur and the noise, or a DDPM's schedule, so the author is asked. The
default number of heads is 1, as in all published configurations.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sitegen.core.diagnostics import quoted
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.card import BlurRange, ModelCard, preset
from sitegen.generative.checkpoints.archive import UNKNOWN_NETWORK
from sitegen.generative.checkpoints.inspection import CheckpointInfo
from sitegen.generative.data.images import image_side
from sitegen.generative.process.ddpm import DiffusionConfig
from sitegen.generative.process.dissipation import (
    NOISE_RATIO,
    HeatDissipation,
    heat_of,
    sampling_noise,
)
from sitegen.generative.process.flow import FLOW_STEPS, FlowConfig
from sitegen.models.registry import is_approximate, measured

HEADS = 1
KNOWN_STEPS = 1000
"""Timesteps that a network is trained for if they are rescaled, whatever the number of levels."""

HEADS_FAULT = (
    "The number of attention heads leaves no trace in a checkpoint; it was taken to be 1, as in "
    "every published configuration."
)


@dataclass(frozen=True)
class AddOptions:
    """Options of `sitegen add` for a checkpoint; None if not given.

    Sizes are in pixels, noise levels in [0, 1] pixel units. `kind` is that of a card;
    `noise_schedule` is a DDPM's. `subject` is the content of the images, in the plural.
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
    subject: str | None = None

    def given(self) -> tuple[str, ...]:
        """Return the options given that describe the network and its training."""
        others = ("checkpoint", "data", "subject")
        return self.among(*(name for name in vars(self) if name not in others))

    def among(self, *names: str) -> tuple[str, ...]:
        """Return the command-line names of those of these fields that are given."""
        return tuple(option(name) for name in names if getattr(self, name) is not None)


@dataclass(frozen=True)
class Question:
    """Question to the author: a field of `AddOptions`, the words, and the default answer."""

    field: str
    words: str
    offer: Any = None


Ask = Callable[[Question], Any]

_DATA = Question(
    "data", "its training images: a folder, an .npz, or files of MNIST or binary CIFAR"
)
_SIZE = Question("image_size", "side of its images in pixels, to which these are scaled")
SUBJECT = Question(
    "subject",
    'what its images show, in the plural, for text alternatives: "cartoon faces"',
    "",
)
_HEADS = Question("heads", "number of attention heads (published: 1)", HEADS)
_OF_HEAT = (
    Question("levels", "K, the number of levels it was trained with (published: 50 to 400)"),
    Question("blur_sigma_min", "blur of level 1 in pixels (published: 0.5)", 0.5),
    Question("blur_sigma_max", "blur of level K in pixels (published: 16 to 128; side/2 to side)"),
    Question("training_noise_std", "standard deviation of the training noise", 0.01),
)
_OF_DDPM = (
    Question("levels", "the number of diffusion steps it was trained with", KNOWN_STEPS),
    Question("noise_schedule", "its noise schedule: linear or cosine", "linear"),
)
_OF_FLOW = (Question("levels", "the number of steps in which to sample it", FLOW_STEPS),)
_HEAT = ("preset", "blur_sigma_min", "blur_sigma_max", "training_noise_std", "sampling_noise_std")


def option(field: str) -> str:
    """Return the command-line option for a field."""
    return f"--{field.replace('_', '-')}"


def new_model(
    options: AddOptions, found: CheckpointInfo, ask: Ask | None
) -> tuple[AddOptions, ModelCard, list[str]]:
    """Return a checkpoint's card without weights and prior, complete in all that affects images.

    Also returns the completed options, and notes on defaults that were assumed. Asks for missing
    values one by one; without `ask`, raises a ConfigError that lists all of them. Raises
    ConfigError, as the card does, for invalid values and for options of the other kind, and
    RefusedError for images or a network that cannot be used.
    """
    form = _FORMS[options.kind or _kind_of(options, found)]
    if options.preset is None and found.architecture is None:
        raise RefusedError(
            f"{options.checkpoint}: not a U-Net that sitegen knows by the names of its weights; "
            f"`sitegen inspect` shows what it is; {UNKNOWN_NETWORK}"
        )
    if alien := options.among(*form.lacks):
        raise ConfigError(f"{form.called} has no {', '.join(alien)}; leave it out")
    answers = _Answers(options, found.presets if form.blurs else (), ask)
    try:
        answers.complete(form)
        options = answers.options
        card = form.card(options, found) if options.preset is None else _from_preset(options)
        card = replace(card, subject=options.subject or "")
    except (ConfigError, RefusedError) as error:
        if not answers.given:
            raise
        again = shlex.join(word for pair in answers.given for word in pair)
        raise type(error)(f"{error}\nyour answers, as options for the next try: {again}") from error
    if not form.blurs:
        return options, card, form.notes(options, card)
    card = measured(card) if options.data is not None else card
    return options, card, _notes(options, card, answers.side())


class _Answers:
    """Options being completed, and the questions that could not be asked."""

    def __init__(self, options: AddOptions, presets: tuple[str, ...], ask: Ask | None) -> None:
        self.options = options
        self._presets = presets
        self._ask = ask
        self.given: list[tuple[str, str]] = []
        self._missing: list[Question] = []
        self._sides: dict[Path | None, int | None] = {}

    def complete(self, form: _Form) -> None:
        """Complete all options that a model of a kind needs. Raises as `new_model` does."""
        if self._presets and self._ask is not None and not self.options.given():
            fits = " or ".join(self._presets)
            words = f"it has the network of {fits}; the preset, if it was trained like that, or "
            answer = self._ask(Question("preset", f"{words}nothing", ""))
            self.options = replace(self.options, preset=answer or None)
        if form.blurs and not _prior_serves(self.options):
            self._get(_DATA)
        if self.options.preset is None:
            if self.options.image_size is None and self.side() is not None:
                self.options = replace(self.options, image_size=self.side())
            if not form.blurs or self.options.data is not None:
                self._get(_SIZE)
            for question in form.questions:
                self._get(question)
        if self._missing:
            rows = [f"  {option(each.field):22} {each.words}" for each in self._missing]
            if fits := " or ".join(f"--preset {name}" for name in self._presets):
                rows.append(f"or, if it was trained like that, {fits}")
            words = "a checkpoint does not record everything that sampling needs; give\n"
            raise ConfigError(f"{self.options.checkpoint}: {words}" + "\n".join(rows))
        if self.options.preset is None and self._ask is not None:
            if form.blurs:
                noise = _noise(self.options)
                self._get(Question("sampling_noise_std", "noise added in sampling", noise))
            self._get(_HEADS)
        written = self.options.preset is None or self.options.data is not None
        if form.blurs and self._ask is not None and written:
            self._get(SUBJECT)

    def side(self) -> int | None:
        """Return the side of the images, read once; None if they have no common size."""
        data = self.options.data
        if data is not None and data not in self._sides:
            self._sides[data] = image_side(data)
        return self._sides.get(data)

    def _get(self, question: Question) -> None:
        """Ask for a field unless it is set; note it as missing in a non-interactive session."""
        if getattr(self.options, question.field) is not None:
            return
        if self._ask is None:
            self._missing.append(question)
        else:
            changes: dict[str, Any] = {question.field: self._ask(question)}
            self.given += [(option(name), str(value)) for name, value in changes.items()]
            self.options = replace(self.options, **changes)


def _noise(options: AddOptions) -> float:
    if options.sampling_noise_std is not None:
        return options.sampling_noise_std
    assert options.training_noise_std is not None
    return sampling_noise(options.training_noise_std)


def _prior_serves(options: AddOptions) -> bool:
    if options.preset is None:
        return False
    card = heat_of(preset(options.preset))
    return options.image_size in (None, card.image_size) and (
        options.blur_sigma_max in (None, _blur(card).sigma_max)
    )


def _notes(options: AddOptions, card: ModelCard, side: int | None) -> list[str]:
    lines = []
    if options.data is not None and side != card.image_size:
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
        lines.append(f"sampling noise: {card.noise_std:g}, {times}")
    return lines


def with_images(options: AddOptions, own: ModelCard, where: Path, ask: Ask | None) -> AddOptions:
    """Return the options for a model that has its `own` card, completed by its images if needed.

    Raises ConfigError for options that the card decides, and if images are missing and `ask` is.
    """
    if options.given():
        said = ", ".join(options.given())
        raise ConfigError(f"{where}: this card decides all of it; leave out {said}")
    if options.subject:
        line = f"subject = {quoted(options.subject)}"
        raise ConfigError(f"{where}: write {line} into this card, above its tables, not --subject")
    if "prior" not in own.abilities and options.data is not None:
        raise ConfigError(f'--data: the kind "{own.kind}" has no prior to make; leave it out')
    if "prior" not in own.abilities or own.prior is not None or options.data is not None:
        return options
    if ask is None:
        raise ConfigError(f"{where}: names no prior to start from; --data: {_DATA.words}")
    return replace(options, data=ask(_DATA))


def _from_preset(options: AddOptions) -> ModelCard:
    assert options.preset is not None
    card = heat_of(preset(options.preset))
    blur, unet = _blur(card), card.finest
    if options.heads is not None:
        unet = replace(unet, num_heads=options.heads, num_head_channels=-1)
    names = ("image_size", "levels", "training_noise_std", "sampling_noise_std")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    low, high = options.blur_sigma_min, options.blur_sigma_max
    sigmas = BlurRange(low or blur.sigma_min, high or blur.sigma_max)
    return replace(card, unet=unet, blur=sigmas, **changes)


def _blur(card: HeatDissipation) -> BlurRange:
    assert isinstance(card.blur, BlurRange)  # those of all presets are
    return card.blur


def _common(options: AddOptions, found: CheckpointInfo) -> dict[str, Any]:
    """Return the values of every card of a network that is read from its file.

    `options` are complete except for heads.
    """
    assert found.architecture is not None
    return {
        "image_size": options.image_size,
        "channels": found.architecture.channels,
        "levels": options.levels,
        "known_faults": (HEADS_FAULT,) if options.heads is None else (),
        "unet": found.architecture.unet(options.heads or HEADS),
    }


def _heat_card(options: AddOptions, found: CheckpointInfo) -> ModelCard:
    values: Any = options
    return ModelCard(
        **_common(options, found),
        blur=BlurRange(values.blur_sigma_min, values.blur_sigma_max),
        training_noise_std=values.training_noise_std,
        sampling_noise_std=_noise(options),
        parameterization="preconditioned" if found.preconditioned else "difference",
    )


def _ddpm_card(options: AddOptions, found: CheckpointInfo) -> ModelCard:
    """Return the card of a DDPM.

    β is that of Ho et al. 2020 for 1000 steps, scaled to others by Nichol and Dhariwal 2021; with
    few steps it stays below 1.
    """
    values: Any = options
    first, last = 1e-4 * KNOWN_STEPS / values.levels, min(0.02 * KNOWN_STEPS / values.levels, 0.999)
    linear = values.noise_schedule == "linear"
    diffusion = DiffusionConfig(
        values.noise_schedule,
        beta_start=first if linear else None,
        beta_end=last if linear else None,
        variance="fixed_small" if found.learned_variance else "fixed_large",
        rescale_timesteps=values.levels != KNOWN_STEPS,
    )
    return ModelCard(**_old_order(options, found), kind="ddpm", diffusion=diffusion)


def _flow_card(options: AddOptions, found: CheckpointInfo) -> ModelCard:
    """Return the card of a flow: data at t = 1, and the network receives t, as in torchcfm."""
    return ModelCard(**_old_order(options, found), kind="flow", flow=FlowConfig())


def _old_order(options: AddOptions, found: CheckpointInfo) -> dict[str, Any]:
    """Return the common values, with the order of attention's channels in older programs."""
    common = _common(options, found)
    return {**common, "unet": replace(common["unet"], use_new_attention_order=False)}


def _kind_of(options: AddOptions, found: CheckpointInfo) -> str:
    """Return the kind that a checkpoint shows."""
    if found.layout == "torchcfm":
        return "flow"
    return "ddpm" if found.learned_variance and not options.preset else "ihdm"


def _ddpm_notes(options: AddOptions, card: ModelCard) -> list[str]:
    assert card.diffusion is not None
    lines = _heads_notes(options)
    if card.diffusion.rescale_timesteps:
        lines.append(
            f"timesteps are scaled to {KNOWN_STEPS} for the network; if it was trained otherwise, "
            "set rescale_timesteps in the card to false"
        )
    return [*lines, f'variance in sampling: "{card.diffusion.variance}", which the card can change']


def _flow_notes(options: AddOptions, card: ModelCard) -> list[str]:
    return [
        *_heads_notes(options),
        "data are taken to be at t = 1, and the network to receive t itself, as in torchcfm; "
        "data_time and time_scale of [flow] in the card can change that",
        f"{card.levels} Euler steps; levels and solver of the card can change that",
    ]


def _heads_notes(options: AddOptions) -> list[str]:
    if options.heads is not None:
        return []
    return ["attention heads: 1; --heads N if it was trained with others"]


@dataclass(frozen=True)
class _Form:
    """What a new card of a kind needs.

    lacks: options that it does not have
    blurs: whether it starts from a prior of blurred images, and has published presets
    """

    called: str
    questions: tuple[Question, ...]
    lacks: tuple[str, ...]
    card: Callable[[AddOptions, CheckpointInfo], ModelCard]
    notes: Callable[[AddOptions, ModelCard], list[str]] = lambda options, card: []
    blurs: bool = False


_FORMS = {
    "ihdm": _Form("an IHDM", _OF_HEAT, ("noise_schedule",), _heat_card, blurs=True),
    "ddpm": _Form("a DDPM", _OF_DDPM, _HEAT, _ddpm_card, _ddpm_notes),
    "flow": _Form("a flow", _OF_FLOW, (*_HEAT, "noise_schedule"), _flow_card, _flow_notes),
}
