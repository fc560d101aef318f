"""Flows: dx/dt = v(x, t) from noise to data, solved in steps (flow matching, rectified flow).

The state at time t is x_t = α x_1 + (1 − α) x_0 of an image x_1 in [-1, 1] and standard normal
noise x_0, where α is t, or 1 − t if the card's data are at t = 0 (Lipman et al. 2023; Liu et al.
2023). The network predicts v = dx/dt. The predicted image is x + (t_1 − t) v with the time t_1 of
data. A step of length h is one of

- "euler": x + h v(x, t),
- "midpoint": x + h v(x + h/2 v(x, t), t + h/2),
- "heun": x + h/2 (v(x, t) + v(x + h v(x, t), t + h)).

A network of a DDPM is a flow as well, since Gaussian paths differ only by factors of state and time
(Kingma and Gao 2023; Lipman et al. 2023, section 4.1). With a = √ᾱ_k and s = √(1 − ᾱ_k), its state
x_k = a x̂_0 + s ε̂ divided by a + s is the flow's state at t = a / (a + s), and v = x̂_0 − ε̂. Euler
steps of this flow are those of DDIM with η = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sitegen.core.validation import reject_with
from sitegen.generative.card.abilities import DETERMINISTIC
from sitegen.generative.card.parts import Number, Positive, card_kind, falls, must, per_level, table
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.process.base import Draw, Guided, Moved
from sitegen.generative.process.ddpm import PREDICTS

if TYPE_CHECKING:
    from torch import Tensor

    from sitegen.generative.process.model import CardModel

FLOW_STEPS = 50
"""Default number of steps of a flow, whose network is for any time."""


@table
class FlowConfig:
    """Times and solver of a flow.

    solver: "euler", "midpoint" or "heun"; the last two evaluate the network twice a step
    data_time: t of data, 1 or 0; noise is at the other end
    time_scale: factor of the t that the network receives
    times: t of each state, from the first to the finished image; evenly spaced if not given
    """

    solver: Literal["euler", "midpoint", "heun"] = "euler"
    data_time: Literal[0, 1] = 1
    time_scale: Positive = 1.0
    times: Annotated[
        tuple[Number, ...] | None,
        must(
            "a list of times that rise, or fall",
            lambda v: v is None or (len(v) > 1 and (falls(v) or falls(v[::-1]))),
        ),
        reject_with(
            lambda times, info: (
                f"must be from 0 to 1 and end at data_time, {info.data.get('data_time')}"
                if times
                and (times[-1] != info.data.get("data_time") or min(times) < 0 or max(times) > 1)
                else None
            )
        ),
    ] = None


@card_kind
class Flow(Guided):
    """The flow of a model from noise to images; nothing is random after the start.

    With a `[diffusion]` the network is that of a DDPM, and its schedule decides the times.
    """

    kind: Literal["flow"] = "flow"
    diffusion: Annotated[
        DiffusionConfig | None,
        per_level("alphas_cumprod"),
        # The velocity of a predicted image is 0 / 0 at the last time, where Heun's step has one.
        must("of a network that predicts noise or v", lambda v: not v or v.predicts != "sample"),
    ] = None
    flow: Annotated[
        FlowConfig,
        per_level("times", 1),
        reject_with(
            lambda flow, info: next(
                (
                    f"{key} follows from [diffusion]; leave it out"
                    for key in ("times", "data_time", "time_scale")
                    if info.data.get("diffusion")
                    and getattr(flow, key) != getattr(FlowConfig(), key)
                ),
                None,
            )
        ),
    ] = Field(FlowConfig(), kw_only=True)

    label = "Flow"
    abilities = DETERMINISTIC | {"browser"}

    @property
    def evaluations(self) -> int:
        return 1 if self.flow.solver == "euler" else 2

    @property
    def predicts(self) -> str:
        if self.diffusion is None:
            return "velocity, as in a flow"
        return PREDICTS[self.diffusion.predicts]

    @cached_property
    def times(self) -> tuple[float, ...]:
        """Times t of the levels 0 … K."""
        if self.diffusion is not None:
            alphas_bar = self.diffusion.alphas_bar(self.levels)
            roots = [(math.sqrt(a), math.sqrt(1 - a)) for a in alphas_bar]
            return tuple(image / (image + noise) for image, noise in roots)
        if self.flow.times is not None:
            return self.flow.times[::-1]
        shares = [level / self.levels for level in range(self.levels + 1)]
        return tuple(1 - share if self.flow.data_time else share for share in shares)

    def level_values(self) -> tuple[float, ...]:
        return self.times

    def predict(self, model: CardModel, x: Tensor, t: Any, *_: Any) -> Tensor:
        """Return v = dx/dt (N, C, H, W) float32 of states x (N, C, H, W) at t, one or one each.

        It has the card's guidance unless the model is in training.
        """
        import torch

        times = torch.as_tensor(t, dtype=torch.float64, device=x.device).reshape(-1)
        direction = 2.0 * self.flow.data_time - 1
        image = (times if direction > 0 else 1 - times).to(x.dtype).view(-1, 1, 1, 1)
        if self.diffusion is None:
            velocity = model.network(x, (times * self.flow.time_scale).float().expand(len(x)))
        else:
            velocity = self._of_ddpm(model, x, times)
        return model.guided(velocity, x, (image, 1 - image), (direction, -direction))

    def _of_ddpm(self, model: CardModel, x: Tensor, times: Tensor) -> Tensor:
        """Return v by the network of a DDPM, for precise t (1,) or (N,).

        Timesteps between two levels follow the logarithm of the signal-to-noise ratio, that of
        t / (1 − t).
        """
        import numpy as np
        import torch

        assert self.diffusion is not None
        total = (1 - times).square() + times.square()  # of a = t / √total, s = (1 − t) / √total
        image, noise, scale = (
            factor.to(x.dtype).view(-1, 1, 1, 1)
            for factor in (times / total.sqrt(), (1 - times) / total.sqrt(), total.rsqrt())
        )
        of_levels, levels = np.array(self.times[:0:-1]), np.arange(self.levels, 0, -1)
        # The log odds of t = 0 and t = 1 are infinite.
        clipped = times.cpu().numpy().clip(of_levels[0], of_levels[-1])
        odds, asked = (np.log(part) - np.log1p(-part) for part in (of_levels, clipped))
        steps = np.interp(asked, odds, levels) - 1
        steps = steps * (1000 / self.levels if self.diffusion.rescale_timesteps else 1)
        timesteps = torch.from_numpy(steps).to(times.dtype).to(times.device)
        state = scale * x
        answer = model.network(state, timesteps.float().expand(len(x)))
        if self.diffusion.prediction_type == "v_prediction":
            return (image * state - noise * answer) - (image * answer + noise * state)
        return (state - noise * answer) / image - answer

    def start(self, model: Any, seed: int, samples: Sequence[int]) -> Tensor:
        noise = super().start(model, seed, samples)
        if self.diffusion is None:
            return noise
        time = self.times[self.visited_levels[0]]
        return noise * math.hypot(time, 1 - time)

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        t, step = self.times[level], self.times[below] - self.times[level]
        velocity = model(x, t)
        if self.flow.solver == "euler":
            slope = velocity
        elif self.flow.solver == "midpoint":
            slope = model(x + step / 2 * velocity, t + step / 2)
        else:
            slope = (velocity + model(x + step * velocity, self.times[below])) / 2
        state = x + step * slope
        return Moved(state, state, lambda: x + (self.times[0] - t) * velocity)

    def corrupt(self, model: Any, images: Tensor, level: int, draw: Draw) -> Tensor:
        share = 1 - abs(self.times[level] - self.times[0])
        return share * images + (1 - share) * draw(0).to(images)
