"""What a page may ask of samples that begin from one flat state."""

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
class SharedInitialState(Grid):
    """Samples in a grid that all begin from one flat state, and differ by their noise alone."""

    example: ClassVar[str] = '"NAME", count=96, columns=9, show="mean"'

    def describe(self, levels: int, subject: str = "") -> str:
        """Say how many samples grow out of the one state, and over how many steps."""
        many = counted(self.count, self.model, subject)
        return f"{many} forming out of one and the same flat square over {steps(levels)}"
