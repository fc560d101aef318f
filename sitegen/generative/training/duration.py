"""Choices for a run of a given duration: image size, networks and options, from measured steps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from sitegen.core.compute import Precision
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.limits import DEFAULT_LEVELS
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.recipe import FROM_NOISE, card_of
from sitegen.generative.training.residual import IMAGES, evaluations
from sitegen.generative.training.train import Run, Training

SIDES = (64, 32)
"""Sides in pixels to which larger images, or images of several sizes, may be scaled."""
ENOUGH = 300_000
"""Images that a run must be able to see for a side above the smallest of `SIDES`."""
BATCH = 64
IMAGES_SEEN = 1_000_000
"""Images of a run without a duration, counting repetitions."""
CHOSEN: Mapping[str, Any] = {"batch_size": BATCH, "decay_share": 0.4, "cosine_states": 32}
"""Options that do not depend on the duration."""
LONGER: Mapping[str, Any] = {"cosine_states": 8}
"""Other options of runs without a duration."""
OF_NOISE: Mapping[str, Any] = {"batch_size": 16, "level_focus": 4.0}
"""Options where one network learns all levels of a process of noise.

In minutes, many small steps learn more, and the middle levels decide what a shape is. Of samples
from flows that saw 22,400 coloured shapes, a classifier recognized a share of 0.28 with batches of
32 and a focus of 1.5, of 0.39 with 32 and 5, of 0.43 with 16 and 1.5, and of 0.53 with 16 and 4.
"""
NOISE_LEVELS: Mapping[str, int] = {"ddpm": 32, "flow": 16}
"""Steps of the processes that start from noise; a midpoint step evaluates the network twice."""
_WARMUP, _AVERAGED, _MEASURING = 0.05, 0.1, 0.06  # shares of the steps, and of the time
_LONGEST_WARMUP, _LARGEST_DECAY = 200, 0.999
_MEASURED_S, _MEASURED_STEPS = 3.0, 16
_FEWEST_MEASURED = 16  # images per level for estimating the residual variance


@dataclass(frozen=True)
class Duration:
    """A run that takes a given time: its card without a subject, options, and seconds per step.

    measured: images per level for estimating the residual variance
    """

    card: ModelCard
    options: TrainingOptions
    seconds_per_step: float
    measured: int


def options_for(steps: int, choices: Mapping[str, Any]) -> TrainingOptions:
    """Return the options of a run of `steps` steps; `given` options take precedence."""
    options = TrainingOptions(**{**CHOSEN, **choices})
    return TrainingOptions(
        **{
            **CHOSEN,
            "images": steps * options.batch_size,
            "warmup_steps": min(_LONGEST_WARMUP, round(_WARMUP * steps)),
            "ema_decay": min(_LARGEST_DECAY, max(0.9, 1 - 1 / (_AVERAGED * steps))),
            **choices,
        }
    )


def chosen_for(
    kind: str,
    seconds: float,
    sides: Sequence[int],
    channels: int,
    device: str,
    precision: Precision,
    choices: Mapping[str, Any],
) -> Duration:
    """Choose a run of a kind of model for `seconds`, with the estimate after the last step.

    The side is the first of `sides` at which the run sees enough images, else the last.
    """
    if kind in FROM_NOISE:
        choices = {**OF_NOISE, **choices}
    for side in sides:
        started = time.monotonic()
        levels = NOISE_LEVELS.get(kind, DEFAULT_LEVELS)
        card = card_of(kind, side, channels, levels, light=True)
        per_step = seconds_per_step(card, channels, device, precision, choices)
        seconds -= time.monotonic() - started
        batch = options_for(_MEASURED_STEPS, choices).batch_size
        most = _MEASURING * seconds / per_step * 3 * batch  # evaluations, three of them an image
        measured = min(IMAGES, max(_FEWEST_MEASURED, int(most / card.steps)))
        estimate = evaluations(card, measured) / (3 * batch)  # in steps
        steps = max(1, int(seconds / per_step - estimate))
        if steps * batch >= ENOUGH:
            break
    return Duration(card, options_for(steps, choices), per_step, measured)


def seconds_per_step(
    card: ModelCard, channels: int, device: str, precision: Precision, choices: Mapping[str, Any]
) -> float:
    """Measure the seconds of a training step on random images; writes nothing."""
    shape = (256, channels, card.image_size, card.image_size)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    options = options_for(_MEASURED_STEPS, choices)
    run = Run(card, Training(images, "noise", Path(), options, device, precision))
    run.advance()
    durations: list[float] = []
    while sum(durations) < _MEASURED_S and len(durations) < _MEASURED_STEPS:
        started = time.monotonic()
        _, losses = run.advance()
        losses.cpu()  # a GPU has finished the step then
        durations.append(time.monotonic() - started)
    return median(durations)
