"""What a page may ask of independent samples that form in a grid."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import (
    RULES,
    Grid,
    counted,
    steps,
)


@validated(frozen=True, config=RULES)
class Trajectories(Grid):
    """Independent samples in a grid, from their flat initial states to the finished images."""

    example: ClassVar[str] = '"NAME", count=36'

    def describe(self, levels: int, subject: str = "") -> str:
        """Say how many samples form, and over how many steps."""
        many = counted(self.count, self.model, subject)
        flat = "flat squares" if self.count > 1 else "a flat square"
        return f"{many} forming out of {flat} over {steps(levels)}"
