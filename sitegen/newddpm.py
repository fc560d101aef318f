"""The card of a DDPM whose checkpoint comes without one: plain state dicts of DDPM programs.

Names and shapes tell the network, as they do for the models of `newcard`. That the weights are of a
DDPM shows only where it learned its variance, too; else the author says so. How many steps and
which noise schedule it was trained with, nothing tells.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sitegen.errors import ConfigError, RefusedError
from sitegen.ihdm.card import DiffusionConfig, ModelCard
from sitegen.ihdm.inspection import CheckpointInfo
from sitegen.newcard import HEADS, HEADS_FAULT, Answers, Ask, Question, Wishes, option

KNOWN_STEPS = 1000
"""The timesteps that a network knows where they are rescaled, whatever their number."""

_BETAS = (1e-4, 0.02)
_HEAT = ("preset", "blur_sigma_min", "blur_sigma_max", "training_noise_std", "sampling_noise_std")
_LEVELS = Question("levels", "the number of diffusion steps it was trained with", KNOWN_STEPS)
_SCHEDULE = Question("noise_schedule", "its noise schedule: linear or cosine", "linear")
_SIZE = Question("image_size", "side of its images in pixels")
_HEADS = Question("heads", "number of attention heads", HEADS)


def is_ddpm(wishes: Wishes, found: CheckpointInfo) -> bool:
    """Whether the checkpoint is a DDPM's, as the author says or as its last layer shows."""
    if wishes.kind is not None:
        return wishes.kind == "ddpm"
    return found.learned_variance and wishes.preset is None


def complete_ddpm(wishes: Wishes, found: CheckpointInfo, ask: Ask | None) -> Wishes:
    """The wishes with nothing left open that decides pictures.

    Raises ConfigError for what only other models have and for what is missing where nobody can be
    asked, RefusedError for a network that is not known or images that cannot be used.
    """
    if found.architecture is None:
        raise RefusedError(
            f"{wishes.checkpoint}: not a U-Net that sitegen knows by the names of its weights; "
            "`sitegen inspect` shows what it is"
        )
    alien = [option(name) for name in _HEAT if getattr(wishes, name) is not None]
    if alien:
        raise ConfigError(f"a DDPM has no {', '.join(alien)}; leave that out")
    answers = Answers(wishes, replace(found, presets=()), ask)  # those are of other models
    answers.measure_side(_SIZE)
    answers.get(_SIZE)
    answers.get(_LEVELS)
    answers.get(_SCHEDULE)
    answers.refuse_missing()
    if ask is not None:
        answers.get(_HEADS)
    return answers.wishes


def ddpm_card(wishes: Wishes, found: CheckpointInfo) -> ModelCard:
    """The card that complete wishes make, without weights."""
    assert found.architecture is not None
    values: Any = wishes  # complete, so that only the heads may be None
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


def ddpm_notes(wishes: Wishes, card: ModelCard) -> list[str]:
    """What was settled without the author's word, to be told to them."""
    assert card.diffusion is not None
    lines = []
    if wishes.heads is None:
        lines.append("attention heads: 1; --heads N if it was trained with others")
    if card.diffusion.rescale_timesteps:
        lines.append(
            f"timesteps are told to the network as if there were {KNOWN_STEPS}; where it was "
            "trained otherwise, set rescale_timesteps in the card to false"
        )
    return [*lines, f'variance in sampling: "{card.diffusion.variance}", which the card can change']


def without_ddpm(wishes: Wishes) -> Wishes:
    """The wishes for another kind of model. ConfigError if they have what only a DDPM has."""
    if wishes.noise_schedule is not None:
        raise ConfigError("--noise-schedule is of a DDPM; leave it out, or give --kind ddpm")
    return replace(wishes, kind=None)
