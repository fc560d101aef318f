"""Description of a flow in a model card: an ordinary differential equation from noise to images.

A flow follows dx/dt = v(x, t) from noise to data, along the straight paths of flow matching and
rectified flow: x_t = t x_1 + (1 − t) x_0 with data x_1 (Lipman et al. 2023; Liu et al. 2023). Needs
no torch.
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from operator import mul
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sitegen.generative.card.validation import PART, Incompatibilities, Number, checked, must

if TYPE_CHECKING:
    from sitegen.generative.card.diffusion import DiffusionConfig

FLOW_STEPS = 50
"""Default number of steps of a flow, whose network is for any time."""
LARGEST_BETA = 0.999
"""Upper limit of β in the cosine schedule, which keeps the last step from dividing by 0."""


def _monotonic(values: tuple[float, ...]) -> bool:
    rising = all(one < other for one, other in pairwise(values))
    return len(values) > 1 and (rising or all(one > other for one, other in pairwise(values)))


@checked("flow")
@dataclass(frozen=True, config=PART)
class FlowConfig:
    """Times and solver of a flow.

    solver: "euler", "midpoint" or "heun"; the last two evaluate the network twice a step
    data_time: t of data, 1 or 0; noise is at the other end
    time_scale: factor of the t that the network receives
    times: t of each state, from the first to the finished image; evenly spaced if not given

    With the `[diffusion]` of a card the network is that of a DDPM, and its schedule decides the
    times. Raises ConfigError that names every invalid value.
    """

    solver: Literal["euler", "midpoint", "heun"] = "euler"
    data_time: Literal[0, 1] = 1
    time_scale: Annotated[Number, Field(gt=0)] = 1.0
    times: Annotated[
        tuple[Number, ...] | None,
        must("a list of times that rise, or fall", lambda v: v is None or _monotonic(v)),
    ] = None

    @property
    def evaluations(self) -> int:
        """Number of evaluations of the network in a step."""
        return 1 if self.solver == "euler" else 2

    def incompatibilities(self) -> Incompatibilities:
        """Yield times that do not end at the t of data."""
        times, end = self.times, self.data_time
        if times and (times[-1] != end or not all(0 <= each <= 1 for each in times)):
            yield "times", f"must be from 0 to 1 and end at data_time, {end}"


def alphas_bar(config: DiffusionConfig, levels: int) -> list[float]:
    """Return ᾱ of the levels 0 … K of a DDPM, as `DiffusionSchedule` defines them."""
    if config.beta_start is not None and config.beta_end is not None:
        step = (config.beta_end - config.beta_start) / max(levels - 1, 1)
        betas = [config.beta_start + step * place for place in range(levels)]
    else:
        left = [
            math.cos((place / levels + 0.008) / 1.008 * math.pi / 2) ** 2
            for place in range(levels + 1)
        ]
        betas = [min(1 - after / before, LARGEST_BETA) for before, after in pairwise(left)]
    return list(accumulate((1 - beta for beta in betas), mul, initial=1.0))


def flow_times(
    flow: FlowConfig | None, diffusion: DiffusionConfig | None, levels: int
) -> tuple[float, ...]:
    """Return t of the levels 0 … K of a flow.

    A state of a DDPM is x_k = a x_0 + s ε, with a = √ᾱ_k and s = √(1 − ᾱ_k). Divided by a + s it is
    a state of the flow at t = a / (a + s).
    """
    flow = flow or FlowConfig()
    if diffusion is not None:
        roots = [(math.sqrt(a), math.sqrt(1 - a)) for a in alphas_bar(diffusion, levels)]
        return tuple(kept / (kept + added) for kept, added in roots)
    if flow.times is not None:
        return flow.times[::-1]
    shares = [level / levels for level in range(levels + 1)]
    return tuple(shares) if flow.data_time == 0 else tuple(1 - share for share in shares)
