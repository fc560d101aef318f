"""Options of `sitegen add`: what neither a checkpoint nor its images say, the author gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sitegen.core.errors import ConfigError
from sitegen.generative.data.images import image_side


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


PROMPTS = {
    "data": "its training images: a folder, an .npz, or files of MNIST or binary CIFAR",
    "image_size": "side of its images in pixels, to which these are scaled",
    "levels": "the number of levels or steps that it was trained with (published: 50 to 400 for "
    "heat dissipation, 1000 for DDPMs); of a flow or of EDM, the steps in which to sample it",
    "blur_sigma_min": "blur of level 1 in pixels (published: 0.5)",
    "blur_sigma_max": "blur of level K in pixels (published: 16 to 128; side/2 to side)",
    "training_noise_std": "standard deviation of the training noise (published: 0.01)",
    "noise_schedule": "its noise schedule: linear, cosine or sigmoid",
    "objective": "what its network predicts: pred_noise, pred_x0 or pred_v",
}
"""The options that may be missing, and what each of them says."""


def option(field: str) -> str:
    """Return the command-line option for a field."""
    return f"--{field.replace('_', '-')}"


def completed(
    options: AddOptions, kind: str, needed: Sequence[str], presets: Sequence[str]
) -> tuple[AddOptions, int | None]:
    """Return the options with the size of the images, and the side that these have in common.

    needed: fields of `AddOptions` that a model of the kind needs

    The side is None if they have no common one. Raises ConfigError that lists all missing fields.
    """
    is_heat = kind == "ihdm"
    side = None if options.data is None else image_side(options.data)
    fields = []
    if options.preset is None:  # which has a prior
        fields += ["data"] if is_heat else []
        options = replace(options, image_size=options.image_size or side)
        fields += ["image_size"] if not is_heat or options.data is not None else []
        fields += needed
    if missing := [name for name in fields if getattr(options, name) is None]:
        rows = [f"  {option(name):22} {PROMPTS[name]}" for name in missing]
        if is_heat and (fits := " or ".join(f"--preset {name}" for name in presets)):
            rows.append(f"or, if it was trained like that, {fits}")
        heading = "a checkpoint does not record everything that sampling needs; give\n"
        raise ConfigError(f"{options.checkpoint}: {heading}" + "\n".join(rows))
    return options, side
