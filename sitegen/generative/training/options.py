"""Options of a training run, and the learning rates that follow from them; without torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict

from sitegen.core.validation import reject_with
from sitegen.generative.card.parts import Number, table

Whole = Annotated[int, Strict()]
Rate = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]


@table
class TrainingOptions:
    """Options of a training run besides its model card; the card records them as the recipe.

    images: images to train on, counting repetitions
    warmup_steps, decay_share: the learning rate rises over the former, stays, and falls linearly
        to 0 over the last `decay_share` of the steps
    ema_decay: decay of the averaged weights per step
    gradient_clip: the largest norm of a gradient
    cosine_states: states that an MLP over cosines sees for each image that the U-Nets see
    level_focus: additional probability density, relative to the uniform one, around the level
        `focus_centre` · K, by default in the middle, where shape is decided; 0 is uniform, as
        published
    save_every_s: seconds between saves of the state

    Raises ConfigError that names every invalid value.
    """

    images: Annotated[Whole, Field(ge=1, le=10**12)] = 1_000_000
    batch_size: Annotated[
        Whole,
        Field(ge=1, le=1_000_000),
        reject_with(
            lambda size, info: (
                f"must be at most images, {info.data['images']}, for one step"
                if size > info.data.get("images", size)
                else None
            )
        ),
    ] = 64
    learning_rate: Rate = 1e-3
    warmup_steps: Annotated[Whole, Field(ge=0, le=10**12)] = 300
    decay_share: Share = 0.3
    ema_decay: Annotated[Number, Field(ge=0, lt=1)] = 0.9995
    gradient_clip: Rate = 1.0
    cosine_states: Annotated[Whole, Field(ge=1, le=1000)] = 8
    level_focus: Annotated[Number, Field(ge=0)] = 1.5
    focus_centre: Share = 0.48
    seed: Annotated[Whole, Field(ge=0, le=2**63 - 1)] = 0
    save_every_s: Annotated[Number, Field(ge=0)] = 120.0

    @property
    def steps(self) -> int:
        """Number of optimizer steps of the run."""
        return self.images // self.batch_size

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, 0 … steps − 1."""
        rise = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        decay_steps = self.decay_share * self.steps
        fall = min(1.0, (self.steps - step) / decay_steps) if decay_steps else 1.0
        return self.learning_rate * rise * fall

    def ema_share(self, step: int) -> float:
        """Return the decay of the averages in a step, 0 …; it is smaller in the first steps."""
        return min(self.ema_decay, (2 + step) / (11 + step))
