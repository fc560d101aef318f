"""Score-based sampling of stochastic differential equations (Song et al. 2021).

A step from level k to k − 1 corrects the state by Langevin steps (algorithms 4 and 5), then
predicts the next one: x_{k−1} = a x_k + b s + c z with the score s at t_k, which falls evenly from
1 to `end_time`. A Langevin step is x + h s + √(2 h) z with h = 2 α (snr ‖z‖ / ‖s‖)², where α is
1 − β_k for "vp" and 1 for "ve". The published code takes both norms as means over a batch. Here
they belong to a sample, which then does not depend on the others; a batch of one sample is the
same. The last step returns its mean.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict

from sitegen.core.validation import reject_with
from sitegen.generative.card.abilities import RANDOM
from sitegen.generative.card.parts import Flag, Number, Positive, above, card_kind, table
from sitegen.generative.process.base import Draw, Moved, Noised, add_noise, contrasted, split

if TYPE_CHECKING:
    from torch import Tensor


@table
class SdeConfig:
    """A stochastic differential equation, with a predictor and a corrector.

    A "ve" network receives σ and returns the score; a "vp" network receives 999 t and returns the
    score times the negative standard deviation, the noise. `corrector_steps` Langevin steps precede
    a predictor's. Data are `centered`, in [-1, 1], or in [0, 1].
    """

    family: Literal["ve", "vp"]
    predictor: Literal["reverse_diffusion", "ancestral", "euler_maruyama"] = "reverse_diffusion"
    corrector_steps: Annotated[int, Strict(), Field(ge=0, le=100)] = 0
    snr: Positive = 0.16
    sigma_min: Positive = 0.01
    sigma_max: Annotated[Positive, above("sigma_min")] = 50.0
    beta_min: Positive = 0.1
    beta_max: Annotated[Positive, above("beta_min")] = 20.0
    end_time: Annotated[Number, Field(gt=0, lt=1)] = 1e-5
    centered: Flag = True


@card_kind
class ScoreSde(Noised):
    """Predictor and corrector of a stochastic differential equation."""

    kind: Literal["sde"] = "sde"
    sde: Annotated[
        SdeConfig,
        reject_with(
            lambda sde, info: (
                f"beta_max = {sde.beta_max:g}: must be below levels, {info.data['levels']}"
                if sde.family == "vp"
                and sde.predictor != "euler_maruyama"
                and sde.beta_max >= info.data.get("levels", math.inf)
                else None
            )
        ),
    ] = Field(description="a table [sde]")

    label, abilities = "Score SDE", RANDOM

    @property
    def evaluations(self) -> int:
        return 1 + self.sde.corrector_steps

    @property
    def symbol(self) -> str:
        return "σ" if self.sde.family == "ve" else "t"

    def level_values(self) -> list[float]:
        sde, levels = self.sde, range(self.levels + 1)
        return [self.scales(k)[1] if sde.family == "ve" else self.time(k) for k in levels]

    def time(self, level: int) -> float:
        """Return t of a level from 1 to K, from `end_time` to 1; 0 at level 0."""
        share = (self.levels - level) / max(self.levels - 1, 1)
        return 1 + share * (self.sde.end_time - 1) if level else 0.0

    def scales(self, level: int) -> tuple[float, float]:
        time, low = self.time(level), self.sde.beta_min
        if level == 0 or self.sde.family == "ve":
            return 1.0, self.sigma(time) if level else 0.0
        log = -0.25 * time**2 * (self.sde.beta_max - low) - 0.5 * time * low
        # `expm1`, since 1 − exp(2 log) cancels at small t.
        return math.exp(log), math.sqrt(-math.expm1(2 * log))

    def sigma(self, time: float) -> float:
        """Return σ(t) of "ve"."""
        return float(self.sde.sigma_min * (self.sde.sigma_max / self.sde.sigma_min) ** time)

    def predict(self, model: Any, x: Tensor, level: int, *_: Any) -> Tensor:
        """Return the score (N, C, H, W) of states at a level from 1 to K; both float32."""
        noise, exploding = self.scales(level)[1], self.sde.family == "ve"
        time = noise if exploding else 999.0 * self.time(level)
        answer: Tensor = model.network(x, x.new_full((len(x),), time))
        return answer if exploding else -answer / noise

    def beta(self, time: float) -> float:
        """Return β(t) / K of "vp"."""
        return (self.sde.beta_min + time * (self.sde.beta_max - self.sde.beta_min)) / self.levels

    def predictor_step(self, level: int) -> tuple[float, float, float]:
        """Return a, b and c of the step that leaves a level, at least 1."""
        sde, time, last = self.sde, self.time(level), max(self.levels - 1, 1)
        if sde.family == "ve":
            sigma, after = self.sigma((level - 1) / last), self.sigma((level - 2) / last)
            step = sigma**2 - (after**2 if level > 1 else 0.0)
            if sde.predictor == "euler_maruyama":
                step = 2 * self.sigma(time) ** 2 * math.log(sde.sigma_max / sde.sigma_min)
                step /= self.levels
            return (
                1.0,
                step,
                math.sqrt(step) * (after / sigma if sde.predictor == "ancestral" else 1),
            )
        if sde.predictor == "euler_maruyama":
            beta = self.beta(time)
            return 1 + beta / 2, beta, math.sqrt(beta)
        beta = self.beta((level - 1) / last)
        if sde.predictor == "ancestral":
            return (1 - beta) ** -0.5, beta * (1 - beta) ** -0.5, math.sqrt(beta)
        return 2 - math.sqrt(1 - beta), beta, math.sqrt(beta)

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        last_draw = draw(self.sde.corrector_steps)
        x = split(x, last_draw)
        alpha = 1 - self.beta((level - 1) / max(self.levels - 1, 1))
        for number in range(self.sde.corrector_steps):
            z, score = draw(number).to(x), model(x, level)
            z_norm, score_norm = (part.flatten(1).norm(dim=1) for part in (z, score))
            h = 2 * (self.sde.snr * z_norm / score_norm).square().view(-1, 1, 1, 1)
            h = h if self.sde.family == "ve" else alpha * h
            x = x + h * score + (2 * h).sqrt() * z
        score, (of_state, of_score, std) = model(x, level), self.predictor_step(level)
        image, noise = self.scales(level)
        final = (x + noise**2 * score) / image
        mean = of_state * x + of_score * score
        return add_noise(mean, last_draw, std if below else 0.0, lambda: final)

    def pixels(self, states: Tensor, level: int) -> Tensor:
        centered = self.sde.centered
        noise = self.scales(level)[1] * (1 if centered else 2) if self.sde.family == "ve" else 0.0
        return contrasted(states if centered else 2 * states - 1, noise)
