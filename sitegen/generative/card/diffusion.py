"""Descriptions of a DDPM's noise, and of the levels that a sample visits, in a model card."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sitegen.generative.card.validation import (
    PART,
    Flag,
    Incompatibilities,
    Level,
    Number,
    checked,
    must,
)

_Beta = Annotated[Number | None, Field(gt=0, lt=1)]


@checked("diffusion")
@dataclass(frozen=True, config=PART)
class DiffusionConfig:
    """Noise process of a DDPM, and its default sampling.

    beta_schedule: "linear", from `beta_start` to `beta_end`, or "cosine" (Nichol and Dhariwal
        2021), which has neither
    variance: "fixed_small", the posterior's, or "fixed_large", β
    clip_sample: whether predicted images are clipped to [-1, 1]
    rescale_timesteps: whether the network's timesteps are scaled to a total of 1000, which is
        the default of improved-diffusion's training
    prediction_type: the network's output: "epsilon", the noise (default), or "v_prediction"

    Raises ConfigError that names every invalid value.
    """

    beta_schedule: Literal["linear", "cosine"] = Field(description='"linear" or "cosine"')
    beta_start: _Beta = None
    beta_end: _Beta = None
    variance: Literal["fixed_small", "fixed_large"] = "fixed_small"
    clip_sample: Flag = True
    rescale_timesteps: Flag = False
    prediction_type: Literal["epsilon", "v_prediction"] | None = None

    def incompatibilities(self) -> Incompatibilities:
        """Yield ends that the schedule lacks or does not have, and ends that fall."""
        low, high = self.beta_start, self.beta_end
        for key, value in (("beta_start", low), ("beta_end", high)):
            if self.beta_schedule == "linear" and value is None:
                yield key, "is missing: the linear schedule needs it"
            if self.beta_schedule == "cosine" and value is not None:
                yield key, "the cosine schedule has none"
        if low is not None and high is not None and low > high:
            yield "beta_end", f"must be at least beta_start, {low}"


@checked("sampling")
@dataclass(frozen=True, config=PART)
class SamplingConfig:
    """Sampling of a model: `levels` to visit, from K down, without the final 0.

    levels: all levels if not given
    variance: "estimated" adds the model's residual uncertainty about the sharp image, stored in the
        weights, to the variance of the noise (`sitegen.generative.process`)
    forward: "markov" keeps the part of a state's noise that survives the heat equation, and draws
        only the rest; by default, as published, each state has independent noise
    guidance: scales the network's deviation from the linear estimate by 1 + guidance; negative
        values reduce it. A cascade may have one value for each band, the finest first.

    A DDPM and a flow have `levels` and `guidance` only.

    Raises ConfigError that names every invalid value.
    """

    levels: Annotated[
        tuple[Level, ...] | None,
        must(
            "a list of decreasing levels, from the flattest one on, without 0",
            lambda v: (
                v is None or (len(v) > 0 and all(above > below for above, below in pairwise(v)))
            ),
        ),
    ] = None
    variance: Literal["estimated"] | None = None
    forward: Literal["markov"] | None = None
    guidance: Annotated[
        Number | tuple[Number, ...] | None,
        must(
            "a number from -0.5 to 1, or one for each band, the finest first",
            lambda v: all(-0.5 <= each <= 1 for each in (v if isinstance(v, tuple) else (v or 0,))),
        ),
    ] = None

    def incompatibilities(self) -> Incompatibilities:
        """Yield a Markov chain without the estimated variance that it needs."""
        if self.forward == "markov" and self.variance != "estimated":
            yield "forward", '"markov" needs variance = "estimated"'
