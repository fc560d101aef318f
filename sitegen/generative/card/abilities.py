"""Vocabulary of processes: what figures can need of one, and the axis of its levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ability = Literal[
    "network",
    "random",
    "mean",
    "final",
    "tree",
    "fan",
    "around",
    "paths",
    "prior",
    "blur",
    "corrupt",
    "noise_std",
    "ddim",
    "browser",
]
Abilities = frozenset[Ability]

ABILITIES: dict[Ability, str] = {
    "random": "randomness after the start",
    "mean": "means of its states",
    "final": "predicted images",
    "tree": "samples that split in two on their way",
    "fan": "several samples from one initial state",
    "around": "Gaussian initial states that may lie at an angle to one of them",
    "paths": "samples along paths from one to another",
    "prior": "initial states that were made of images",
    "blur": "a forward process that blurs",
    "corrupt": "a forward process for images",
    "noise_std": "a sampling noise to choose",
    "ddim": "the noise schedule of a DDPM",
    "browser": "a sampler for browsers",
    "network": "a network",
}
"""Abilities of a process that figures need, in the words of messages."""

ANY: Abilities = frozenset({"network", "final", "tree", "paths", "corrupt"})
"""Abilities of a network that predicts images and whose states can be made of images."""
RANDOM: Abilities = ANY | {"random", "mean", "fan"}
"""Abilities of such a network with noise after the start."""
DETERMINISTIC: Abilities = ANY | {"around"}
"""Abilities of such a network with Gaussian initial states and no noise after the start."""


@dataclass(frozen=True)
class LevelAxis:
    """Axis of the levels for viewers: `symbol`, `unit`, and the `values` of levels 0 … K."""

    symbol: str
    unit: str = ""
    values: tuple[float, ...] = ()

    def text(self, level: int) -> str:
        """Return the value of a level with three significant digits."""
        return f"{float(f'{self.values[level]:.3g}'):.12g}"  # not 1e+03
