"""The network of a DDPM, sampled by a solver of its ODE in steps that the card lists.

With a = √ᾱ and s = √(1 − ᾱ) of a timestep (`ddpm.py`), σ = s / a. The network receives the timestep
and a x_0 + s ε, and its output gives the predicted image x̂. As in diffusers, the states are

- x_0 + σ ε for "euler" and "heun" (Karras et al. 2022, algorithm 2 without churn), whose step from
  σ to σ' is x + (σ' − σ) d with d = (x − x̂) / σ, for Heun the mean of d at both ends;
- a x_0 + s ε for "dpmpp" and "dpmpp2m" (Lu et al. 2022, multistep DPM-Solver++ of order 1 and 2),
  whose step is (s' / s) x + a' (1 − σ' / σ) D, where D is x̂ or, from the second step to the last
  but one, x̂ + (x̂ − x̂_before) ln(σ / σ') / (2 ln(σ_before / σ)).

The last step of each ends at σ = 0 and is one of order 1.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sitegen.core.validation import reject_with
from sitegen.generative.card.abilities import DETERMINISTIC, Abilities
from sitegen.generative.card.parts import (
    Flag,
    NotNegative,
    Positive,
    card_kind,
    falls,
    must,
    per_level,
    table,
)
from sitegen.generative.card.tables import Prediction
from sitegen.generative.process.base import Draw, Moved, Noised
from sitegen.generative.process.ddpm import PREDICTS

if TYPE_CHECKING:
    from torch import Tensor

    from sitegen.generative.process.model import CardModel

Method = Literal["euler", "heun", "dpmpp", "dpmpp2m"]


@table
class SolverConfig:
    """Steps of a solver.

    timesteps: the number that the network receives at each state but the last
    sigmas: σ of the same states, falling; 0 follows
    start_std: standard deviation of the first states
    prediction_type: the network's output
    clip_sample: whether predicted images are clipped to [-1, 1]
    """

    method: Method
    timesteps: tuple[NotNegative, ...]
    sigmas: Annotated[
        tuple[Positive, ...],
        must("falling numbers", falls),
        reject_with(
            lambda sigmas, info: (
                f"has {len(sigmas)} numbers for {len(info.data['timesteps'])} timesteps"
                if len(sigmas) != len(info.data.get("timesteps", sigmas))
                else None
            )
        ),
    ]
    start_std: Positive = 1.0
    prediction_type: Prediction = "epsilon"
    clip_sample: Flag = False


@card_kind
class Solved(Noised):
    """A DDPM's network with a solver of its ODE; nothing is random after the start."""

    kind: Literal["solver"] = "solver"
    solver: Annotated[SolverConfig, per_level("sigmas")] = Field(description="a table [solver]")

    symbol = "σ"

    @property
    def label(self) -> str:
        """Name of the method."""
        names = {"euler": "Euler", "heun": "Heun"}
        return names.get(self.solver.method, "DPM-Solver++")

    @property
    def abilities(self) -> Abilities:
        """Abilities of the solver; one that remembers a step cannot begin in the middle."""
        return DETERMINISTIC - {"tree"} if self.solver.method == "dpmpp2m" else DETERMINISTIC

    @property
    def evaluations(self) -> int:
        """Evaluations of the network in a step."""
        return 2 if self.solver.method == "heun" else 1

    @property
    def predicts(self) -> str:
        """Output of the network."""
        return PREDICTS[self.solver.prediction_type]

    @cached_property
    def sigmas(self) -> tuple[float, ...]:
        """σ of the levels 0 … K."""
        return (0.0, *self.solver.sigmas[::-1])

    @property
    def keeps_variance(self) -> bool:
        """True if states are a x_0 + s ε."""
        return self.solver.method.startswith("dpmpp")

    @property
    def largest(self) -> float:
        """Largest absolute value of a state, or of an image that a poor network predicts of it."""
        return max(1.0, self.sigmas[-1])

    def level_values(self) -> tuple[float, ...]:
        """Return σ of the levels 0 … K."""
        return self.sigmas

    def scales(self, level: int) -> tuple[float, float]:
        """Return the factors of image and noise in the states of a level."""
        sigma = self.sigmas[level]
        image = 1 / math.hypot(1, sigma) if self.keeps_variance else 1.0
        return image, image * sigma

    def start(self, model: Any, seed: int, samples: Any) -> Tensor:
        """Return initial noise (N, C, H, W) of N samples, scaled as diffusers does."""
        from sitegen.generative.maths.noise import initial_noise

        return self.solver.start_std * initial_noise(seed, samples, self.shape)

    def predict(self, model: CardModel, x: Tensor, level: int, *_: Any) -> Tensor:
        """Return the predicted images (N, C, H, W) of states at a level."""
        import torch

        # In the order of diffusers, and in float32: Heun divides what rounding changes by a small
        # σ, which moved last images by 1e-3.
        sigma = torch.tensor(self.sigmas[level])
        square = sigma**2 + 1
        state = x / self.scales(level)[0]  # x_0 + σ ε
        timestep = x.new_full((len(x),), self.solver.timesteps[self.levels - level])
        answer = model.network(state / square**0.5, timestep)
        if self.solver.prediction_type == "v_prediction":
            predicted = answer * (-sigma / square**0.5) + state / square
        elif self.solver.prediction_type == "sample":
            predicted = answer
        else:
            predicted = state - sigma * answer
        return predicted.clamp(-1, 1) if self.solver.clip_sample else predicted

    def move(
        self, model: Any, level: int, below: int, x: Tensor, draw: Draw, memory: Any = None
    ) -> Moved:
        """Return the states below; `memory` is the image that the step before predicted."""
        sigma, after, image = self.sigmas[level], self.sigmas[below], model(x, level)
        if self.keeps_variance:
            direction = image
            if self.solver.method == "dpmpp2m" and memory is not None and after:
                before = self.sigmas[level + 1]
                ratio = math.log(sigma / after) / math.log(before / sigma)
                direction = image + ratio / 2 * (image - memory)
            scale, noise = self.scales(below)
            state = noise / self.scales(level)[1] * x + scale * (1 - after / sigma) * direction
            return Moved(state, state, lambda: image, memory=image)
        slope = (x - image) / sigma
        state = x + (after - sigma) * slope
        if self.solver.method == "heun" and after:
            slope = (slope + (state - model(state, below)) / after) / 2
            state = x + (after - sigma) * slope
        return Moved(state, state, lambda: image)
