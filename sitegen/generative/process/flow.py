"""Flows: dx/dt = v(x, t) from noise to data, solved in steps (flow matching, rectified flow).

The state at time t is x_t = α x_1 + (1 − α) x_0 of an image x_1 in [-1, 1] and standard normal
noise x_0, where α is t, or 1 − t if the card's data are at t = 0. The network predicts v = dx/dt.
The predicted image is x + (t_1 − t) v with the time t_1 of data. A step of length h is one of

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
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.flow import FlowConfig
from sitegen.generative.process.heat import precise
from sitegen.generative.process.model import SingleNetwork
from sitegen.generative.process.protocol import Draw, FromNoise, Moved


def flow_of(card: ModelCard) -> FlowConfig:
    """Return the times and the solver of the card of a flow."""
    return card.flow or FlowConfig()


class FlowModel(SingleNetwork):
    """A network that predicts the velocity of a state."""

    def forward(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return v = dx/dt (N, C, H, W) float32 of states x (N, C, H, W) at t, one or one each.

        It has the card's guidance unless the model is in training.
        """
        times = torch.as_tensor(t, dtype=precise(x.device), device=x.device).reshape(-1)
        flow = flow_of(self.card)
        direction = 2.0 * flow.data_time - 1
        kept = (times if direction > 0 else 1 - times).to(x.dtype).view(-1, 1, 1, 1)
        if self.card.diffusion is None:
            velocity = self.answer(x, times * flow.time_scale)
        else:
            velocity = self._of_noise(x, times)
        return self.guided(velocity, x, (kept, 1 - kept), (direction, -direction))

    def _of_noise(self, x: Tensor, times: Tensor) -> Tensor:
        """Return v by the network of a DDPM, for precise t (1,) or (N,)."""
        assert self.card.diffusion is not None
        left = (1 - times).square() + times.square()  # of a = t / √left, s = (1 − t) / √left
        kept, added, scale = (
            each.to(x.dtype).view(-1, 1, 1, 1)
            for each in (times / left.sqrt(), (1 - times) / left.sqrt(), left.rsqrt())
        )
        state = scale * x
        answer = self.answer(state, self._timesteps(times))
        if self.card.diffusion.prediction_type == "v_prediction":
            return (kept * state - added * answer) - (kept * answer + added * state)
        return (state - added * answer) / kept - answer

    def answer(self, x: Tensor, times: Tensor) -> Tensor:
        """Return the network's raw output; `times` (1,) or (N,) are what it receives."""
        return self.network(x, times.float().expand(len(x)))

    def _timesteps(self, times: Tensor) -> Tensor:
        """Return the timesteps of the DDPM at t; between levels they follow the log of the SNR."""
        card = self.card
        assert card.diffusion is not None
        known = np.array(card.flow_times[:0:-1])  # of levels K … 1
        levels = np.arange(card.levels, 0, -1)
        wanted = times.cpu().numpy().clip(known[0], known[-1])
        found = np.interp(_odds(wanted), _odds(known), levels) - 1
        scale = 1000 / card.levels if card.diffusion.rescale_timesteps else 1
        return torch.from_numpy(found * scale).to(times.dtype).to(times.device)


def _odds(
    times: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return log t / (1 − t), half the logarithm of the signal-to-noise ratio."""
    return np.log(times) - np.log1p(-times)


@dataclass(frozen=True)
class Flow(FromNoise):
    """The flow of a model from noise to images; nothing is random after the start."""

    def start(self, seed: int, samples: Sequence[int]) -> Tensor:
        """Return initial noise (N, C, H, W) of N samples; that of a DDPM is scaled to its time."""
        noise = super().start(seed, samples)
        if self.card.diffusion is None:
            return noise
        time = self.card.flow_times[self.levels[0]]
        return noise * math.hypot(time, 1 - time)

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below, by a step of the ODE."""
        times, flow = self.card.flow_times, flow_of(self.card)
        t, step = times[level], times[below] - times[level]
        velocity = self.model(x, t)
        if flow.solver == "euler":
            slope = velocity
        elif flow.solver == "midpoint":
            slope = self.model(x + step / 2 * velocity, t + step / 2)
        else:
            slope = (velocity + self.model(x + step * velocity, times[below])) / 2
        state = x + step * slope
        return Moved(state, state, lambda: x + (times[0] - t) * velocity)

    def corrupt(self, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return states at a level of images x_1 (N, C, H, W) in [-1, 1]."""
        share = 1 - abs(self.card.flow_times[level] - self.card.flow_times[0])
        return share * images + (1 - share) * draw(0).to(images)
