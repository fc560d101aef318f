"""The options of a training run and the learning rate that they make; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sitegen.ihdm.card.rules as rules
from sitegen.ihdm.card.rules import Problem, Rule

_COUNT = rules.integer(1, 10**12)
_POSITIVE = rules.number("a finite number above 0", lambda v: v > 0)

OPTIONS: dict[str, Rule] = {
    "images": _COUNT,
    "batch_size": rules.integer(1, 1_000_000),
    "learning_rate": _POSITIVE,
    "optimizer": rules.choice("adam", "muon"),
    "muon_learning_rate": _POSITIVE,
    "warmup_steps": rules.integer(0, 10**12),
    "decay_share": rules.number("a number from 0 to 1", lambda v: 0 <= v <= 1),
    "ema_decay": rules.number("a number from 0 up to, not including, 1", lambda v: 0 <= v < 1),
    "gradient_clip": _POSITIVE,
    "level_focus": rules.number("a finite number, at least 0", lambda v: v >= 0),
    "focus_centre": rules.number("a number from 0 to 1", lambda v: 0 <= v <= 1),
    "seed": rules.integer(0, 2**63 - 1),
    "save_every_s": rules.number("a finite number, at least 0", lambda v: v >= 0),
}
_MAY_CHANGE = ("images", "save_every_s")


@dataclass(frozen=True)
class TrainingOptions:
    """What a run does beside its model card; recorded in the card as the recipe.

    `images` counts the images seen, repetitions included. The learning rate rises over
    `warmup_steps`, stays, and falls linearly to 0 over the last `decay_share` of the steps.
    `optimizer` is "adam", or "muon" for most matrices and Adam for the rest (`optimizers.py`);
    `muon_learning_rate` is for the former.
    `gradient_clip` is the largest norm of a gradient. `level_focus` adds that much probability
    density, relative to the uniform one, around the level `focus_centre` · K, by default in the
    middle, where shape is decided; 0 is uniform as published.

    Raises ConfigError that names every value that is wrong.
    """

    images: int = 1_000_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    muon_learning_rate: float = 1e-3
    warmup_steps: int = 300
    decay_share: float = 0.3
    ema_decay: float = 0.9995
    gradient_clip: float = 1.0
    level_focus: float = 1.5
    focus_centre: float = 0.48
    seed: int = 0
    save_every_s: float = 120.0

    def __post_init__(self) -> None:
        problems = rules.broken(vars(self), OPTIONS, ())
        if not problems and self.images < self.batch_size:
            rule = f"must be at least batch_size, {self.batch_size}, to make one step"
            problems.append(Problem(("images",), rule, self.images))
        rules.refuse(problems, "training options")

    @property
    def steps(self) -> int:
        """How many optimizer steps the run takes."""
        return self.images // self.batch_size

    def rate(self, step: int) -> float:
        """Learning rate of a step, 0 … steps − 1."""
        return self.learning_rate * self._share_of_rate(step)

    def muon_rate(self, step: int) -> float:
        """The same for what Muon trains."""
        return self.muon_learning_rate * self._share_of_rate(step)

    def _share_of_rate(self, step: int) -> float:
        rise = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        decay_steps = self.decay_share * self.steps
        fall = min(1.0, (self.steps - step) / decay_steps) if decay_steps else 1.0
        return rise * fall

    def ema_share(self, step: int) -> float:
        """How much of the averages stays at the end of a step, 0 …: less while they are young."""
        return min(self.ema_decay, (2 + step) / (11 + step))

    def conflicts(self, saved: Mapping[str, Any], step: int) -> list[str]:
        """What makes these other options than those that a run was `saved` with at `step`.

        The images may grow, and once the run has seen all of them they may be any number.
        """
        before = {**asdict(TrainingOptions()), **saved}
        found = [
            f"{name} was {before[name]} and is {value} now"
            for name, value in asdict(self).items()
            if name not in _MAY_CHANGE and value != before[name]
        ]
        unfinished = step < before["images"] // before["batch_size"]
        if unfinished and self.images < before["images"]:
            found.append(
                f"images was {before['images']} and is {self.images} now; it may only grow"
            )
        return found
