"""Questions to the author of a checkpoint: what neither its file nor its images say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sitegen.core.errors import ConfigError
from sitegen.generative.card.card import BlurRange, preset
from sitegen.generative.card.tables import PUBLISHED_LEVELS
from sitegen.generative.data.images import image_side
from sitegen.generative.process.dissipation import HeatDissipation, heat_of


@dataclass(frozen=True)
class AddOptions:
    """Options of `sitegen add` for a checkpoint; None if not given.

    Sizes are in pixels, noise levels in [0, 1] pixel units. `kind` is that of a card;
    `noise_schedule` is a DDPM's. `heads` is a number, `head_channels` a width, which takes
    precedence. `sampler_name` is one of `schedulers.SAMPLERS`, `levels` its number of steps if the
    card or the scheduler has the rest, `respacing` a text that chooses them (`resampled`, or the
    `ts` of consistency_models). `objective` is one of `lucidrains.OBJECTIVES`, `labels` are the
    names of classes. `subject` is the content of the images, in the plural.
    """

    checkpoint: Path
    data: Path | None = None
    preset: str | None = None
    image_size: int | None = None
    levels: int | None = None
    blur_sigma_min: float | None = None
    blur_sigma_max: float | None = None
    heads: int | None = None
    head_channels: int | None = None
    training_noise_std: float | None = None
    sampling_noise_std: float | None = None
    kind: str | None = None
    noise_schedule: str | None = None
    sampler_name: str | None = None
    respacing: str | None = None
    objective: str | None = None
    labels: tuple[str, ...] | None = None
    subject: str | None = None

    def of_network(self, *omitted: str) -> list[str]:
        """Return the command-line names of the options given for the network and its training."""
        omitted = ("checkpoint", "data", "subject", *omitted)
        given = {name for name, value in vars(self).items() if value is not None}
        return [option(name) for name in vars(self) if name in given.difference(omitted)]


@dataclass(frozen=True)
class Question:
    """Question to the author: a field of `AddOptions`, the words, and the default answer."""

    field: str
    prompt: str
    offer: Any = None


Ask = Callable[[Question], Any]

DATA = Question("data", "its training images: a folder, an .npz, or files of MNIST or binary CIFAR")
_SIZE = Question("image_size", "side of its images in pixels, to which these are scaled")
SUBJECT = Question(
    "subject",
    'what its images show, in the plural, for text alternatives: "cartoon faces"',
    "",
)
OF_HEAT = (
    Question("levels", "K, the number of levels it was trained with (published: 50 to 400)"),
    Question("blur_sigma_min", "blur of level 1 in pixels (published: 0.5)", 0.5),
    Question("blur_sigma_max", "blur of level K in pixels (published: 16 to 128; side/2 to side)"),
    Question("training_noise_std", "standard deviation of the training noise", 0.01),
)
OF_DDPM = (
    Question("levels", "the number of diffusion steps it was trained with", PUBLISHED_LEVELS),
    Question("noise_schedule", "its noise schedule: linear, cosine or sigmoid", "linear"),
)
OBJECTIVE = Question("objective", "what its network predicts: pred_noise, pred_x0 or pred_v")
COUNT = Question("levels", "the number of steps in which to sample it")


def option(field: str) -> str:
    """Return the command-line option for a field."""
    return f"--{field.replace('_', '-')}"


def completed(
    options: AddOptions,
    kind: str,
    questions: Sequence[Question],
    presets: Sequence[str],
    ask: Ask | None,
) -> tuple[AddOptions, int | None]:
    """Complete all options that a model of a kind needs; also return the side of its images.

    The side is None if they have no common one. Raises as `new_model` does.
    """
    missing, blurs = list[Question](), kind == "ihdm"

    def answer(question: Question) -> Any:
        if (value := getattr(options, question.field)) is not None:
            return value
        if ask is not None:
            return ask(question)
        missing.append(question)
        return None

    if presets and blurs and ask is not None and not options.of_network():
        fits = " or ".join(presets)
        prompt = f"it has the network of {fits}; the preset, if it was trained like that, or "
        options = replace(options, preset=ask(Question("preset", f"{prompt}nothing", "")) or None)
    own_prior = True
    if options.preset is not None:  # whose prior serves if the flattest states are the same
        card, blur = published(options.preset)
        own_prior = options.image_size not in (None, card.image_size)
        own_prior = own_prior or options.blur_sigma_max not in (None, blur.sigma_max)
    if blurs and own_prior:
        options = replace(options, data=answer(DATA))
    side = None if options.data is None else image_side(options.data)
    if options.preset is None:
        options = replace(options, image_size=options.image_size or side)
        size = (_SIZE,) if not blurs or options.data is not None else ()
        for question in (*size, *questions):
            options = replace(options, **{question.field: answer(question)})
    if missing:
        rows = [f"  {option(question.field):22} {question.prompt}" for question in missing]
        if blurs and (fits := " or ".join(f"--preset {name}" for name in presets)):
            rows.append(f"or, if it was trained like that, {fits}")
        heading = "a checkpoint does not record everything that sampling needs; give\n"
        raise ConfigError(f"{options.checkpoint}: {heading}" + "\n".join(rows))
    if blurs and ask is not None:
        options = replace(options, subject=answer(SUBJECT))
    return options, side


def published(name: str) -> tuple[HeatDissipation, BlurRange]:
    """Return the card of a published configuration, and its blur."""
    card = heat_of(preset(name))
    assert isinstance(card.blur, BlurRange)  # those of all presets are
    return card, card.blur
