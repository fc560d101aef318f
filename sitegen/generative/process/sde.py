"""Score-based sampling of stochastic differential equations (Song et al. 2021; `marginals.py`).

A step from level k to k − 1 corrects the state by Langevin steps (algorithms 4 and 5), then
predicts the next one; the last step returns its mean. A Langevin step is x + h s + √(2 h) z with
the score s and h = 2 α (snr ‖z‖ / ‖s‖)², where α is 1 − β_k for "vp" and 1 for "ve". The published
code takes both norms as means over a batch. Here they belong to a sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict

from sitegen.core.validation import reject_with
from sitegen.generative.card.abilities import RANDOM
from sitegen.generative.card.parts import Flag, Number, Positive, above, card_kind, table
from sitegen.generative.maths.marginals import Marginals, beta_fault
from sitegen.generative.process.base import Draw, Moved, Noised, add_noise, contrasted, split

if TYPE_CHECKING:
    from torch import Tensor


@table
class SdeConfig:
    """A stochastic differential equation, with a predictor and a corrector.

    Langevin steps precede a predictor's. Data are `centered`, in [-1, 1], or in [0, 1].
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
class ScoreSde(Marginals, Noised):
    """Predictor and corrector of a stochastic differential equation."""

    kind: Literal["sde"] = "sde"
    sde: Annotated[SdeConfig, reject_with(beta_fault)] = Field(description="a table [sde]")

    label, abilities = "Score SDE", RANDOM

    @property
    def evaluations(self) -> int:
        return 1 + self.sde.corrector_steps

    @property
    def symbol(self) -> str:
        return "σ" if self.sde.family == "ve" else "t"

    def level_values(self) -> list[float]:
        return [self.axis_value(level) for level in range(self.levels + 1)]

    def predict(self, model: Any, x: Tensor, level: int, *_: Any) -> Tensor:
        """Return the score (N, C, H, W) of states at a level from 1 to K; both float32."""
        exploding, seen = self.sde.family == "ve", self.axis_value(level)
        answer: Tensor = model.network(x, x.new_full((len(x),), seen if exploding else 999 * seen))
        return answer if exploding else -answer / self.scales(level)[1]

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        last_draw = draw(self.sde.corrector_steps)
        x = split(x, last_draw)
        for number in range(self.sde.corrector_steps):
            z, score = draw(number).to(x), model(x, level)
            z_norm, score_norm = (p.flatten(1).norm(dim=1)[:, None, None, None] for p in (z, score))
            h = 2 * self.alpha(level) * (self.sde.snr * z_norm / score_norm) ** 2
            x = x + h * score + (2 * h).sqrt() * z
        score, (image, noise) = model(x, level), self.scales(level)
        of_state, of_score, std = self.step(level)
        final = (x + noise**2 * score) / image
        mean = of_state * x + of_score * score
        return add_noise(mean, last_draw, std if below else 0.0, lambda: final)

    def pixels(self, states: Tensor, level: int) -> Tensor:
        noise = self.scales(level)[1] if self.sde.family == "ve" else 0.0
        factor, shift = (1, 0) if self.sde.centered else (2, 1)
        return contrasted(factor * states - shift, factor * noise)
