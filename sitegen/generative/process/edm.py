"""EDM (Karras et al. 2022), with noise levels and preconditioning as in `karras.py`.

A step (algorithm 2) first raises σ to σ̂ = (1 + γ) σ by noise, with γ = min(S_churn / K, √2 − 1)
for σ in [S_tmin, S_tmax] and else 0. It then goes to the next σ along d = (x̂ − D(x̂, σ̂)) / σ̂, by
Euler, or by Heun but for the last step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sitegen.generative.card.abilities import ANY, DETERMINISTIC, Abilities
from sitegen.generative.card.parts import NotNegative, Positive, above, card_kind, per_level, table
from sitegen.generative.process.base import Draw, Moved, add_noise
from sitegen.generative.process.karras import NoiseLevels, Preconditioned

if TYPE_CHECKING:
    from torch import Tensor

MOST_CHURN = math.sqrt(2) - 1
"""Upper limit of γ."""


@table
class EdmConfig(NoiseLevels):
    """Noise levels and steps of EDM.

    solver: "heun", algorithm 2, or "euler"
    churn, churn_min, churn_max, churn_noise: S_churn, S_tmin, S_tmax (no limit if left out) and
        S_noise of algorithm 2; with a churn of 0 nothing is random after the start
    """

    solver: Literal["heun", "euler"] = "heun"
    churn: NotNegative = 0.0
    churn_min: NotNegative = 0.0
    churn_max: Annotated[NotNegative | None, above("churn_min")] = None
    churn_noise: Positive = 1.0


@card_kind
class Edm(Preconditioned):
    """EDM's sampler; nothing is random after the start unless the card has a churn."""

    kind: Literal["edm"] = "edm"
    edm: Annotated[EdmConfig, per_level("sigmas")] = Field(description="a table [edm]")

    label = "EDM"
    predicts = "sharp images, preconditioned as in EDM"

    @property
    def abilities(self) -> Abilities:
        """Abilities of the sampler; with a churn the next state has no mean."""
        return ANY | {"random", "fan"} if self.edm.churn else DETERMINISTIC

    @property
    def evaluations(self) -> int:
        return 2 if self.edm.solver == "heun" else 1

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        sigma, after = self.sigmas[level], self.sigmas[below]
        most = math.inf if self.edm.churn_max is None else self.edm.churn_max
        churned = self.edm.churn_min <= sigma <= most
        gamma = min(self.edm.churn / self.steps, MOST_CHURN) if churned else 0.0
        raised = (1 + gamma) * sigma
        if self.edm.churn:
            std = math.sqrt(raised**2 - sigma**2) * self.edm.churn_noise
            x = add_noise(x, draw(0), std).state
        image = model(x, raised)
        slope = (x - image) / raised
        state = x + (after - raised) * slope
        if self.edm.solver == "heun" and after > 0:
            other = (state - model(state, after)) / after
            state = x + (after - raised) * (slope + other) / 2
        return Moved(state, state, lambda: image)
