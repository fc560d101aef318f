"""Tables of cards that are read outside their process: of a DDPM, a recording and a sampler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate, pairwise
from operator import mul
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, Strict, ValidationInfo, field_validator

from sitegen.core.source import odd_character
from sitegen.core.validation import reject_with
from sitegen.generative.card.limits import MOST_LEVELS
from sitegen.generative.card.parts import (
    Count,
    Flag,
    Number,
    Short,
    Word,
    above,
    falls,
    must,
    table,
)
from sitegen.record import MOST_SAMPLES

LARGEST_BETA = 0.999
"""Upper limit of β in the cosine schedule, which keeps the last step from dividing by 0."""
# The logistic function of 3 in float32, as published: ᾱ near level K depends on its rounding.
_SIGMOID_END = 0.9525741338729858
PUBLISHED_LEVELS = 1000
"""Levels of the first DDPM."""
_Beta = Annotated[Number, Field(gt=0, lt=1)]
Prediction = Literal["epsilon", "v_prediction", "sample"]


@table
class DiffusionConfig:
    """Noise process of a DDPM, and its sampler.

    beta_schedule: "linear", from `beta_start` to `beta_end`; "cosine" (Nichol and Dhariwal 2021,
        eq. 17; "squaredcos_cap_v2" of diffusers); "sigmoid" (Jabri et al. 2022, from -3 to 3); or
        "listed"
    alphas_cumprod: ᾱ of the levels 1 … K, of a listed schedule
    variance: "fixed_small", the posterior's; "fixed_large", β; or "learned", between the two on a
        logarithmic scale, at the share that the network predicts (Nichol and Dhariwal 2021, eq. 15)
    clip_sample: whether predicted images are clipped to [-1, 1]
    rescale_timesteps: whether the network's timesteps are scaled to a total of 1000, which is
        the default of improved-diffusion's training
    prediction_type: the network's output: "epsilon", the noise (default), "v_prediction", or
        "sample", the image
    sampler: "ddpm" or "ddim", whose `eta` is 0 for no noise and 1 for the noise of DDPM
    rederive_noise: whether DDIM takes the noise that belongs to the clipped image
    single_precision: whether β, ᾱ and the factors of a step are float32, as in diffusers
    """

    beta_schedule: Literal["linear", "cosine", "sigmoid", "listed"] = Field(
        description='"linear", "cosine", "sigmoid" or "listed"'
    )
    beta_start: _Beta | None = None
    beta_end: _Beta | None = None
    variance: Literal["fixed_small", "fixed_large", "learned"] = "fixed_small"
    clip_sample: Flag = True
    rescale_timesteps: Flag = False
    prediction_type: Prediction | None = None
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    eta: Annotated[Number, Field(ge=0, le=1)] = 0.0
    rederive_noise: Flag | None = None
    single_precision: Flag | None = None
    alphas_cumprod: Annotated[
        tuple[Number, ...] | None,
        must(
            "a falling list of numbers between 0 and 1",
            lambda v: v is None or (falls((1, *v)) and v[-1] > 0),
        ),
        reject_with(
            lambda listed, info: (
                'has its numbers for beta_schedule = "listed" only, which needs them'
                if (listed is None) == (info.data.get("beta_schedule") == "listed")
                else None
            )
        ),
    ] = None

    @field_validator("beta_start", "beta_end")
    @classmethod
    def _fits_schedule(cls, beta: float | None, info: ValidationInfo) -> float | None:
        schedule, start = info.data.get("beta_schedule"), info.data.get("beta_start")
        if schedule == "linear" and beta is None:
            raise ValueError("is missing: the linear schedule needs it")
        if schedule in ("cosine", "sigmoid", "listed") and beta is not None:
            raise ValueError(f"the {schedule} schedule has none")
        if start is not None and beta is not None and start > beta:
            raise ValueError(f"must be at least beta_start, {start}")
        return beta

    @property
    def predicts(self) -> Prediction:
        """The network's output."""
        return self.prediction_type or "epsilon"

    @classmethod
    def of(cls, schedule: str, levels: int, **values: Any) -> Self:
        """Return a config whose linear schedule has the ends of Ho et al. 2020 for 1,000 levels.

        For other numbers they are scaled (Nichol and Dhariwal 2021); with few, β stays below 1.
        """
        if schedule == "linear":
            ends = 1e-4 * PUBLISHED_LEVELS / levels, 0.02 * PUBLISHED_LEVELS / levels
            values |= {"beta_start": ends[0], "beta_end": min(ends[1], LARGEST_BETA)}
        return cls(beta_schedule=cast(Any, schedule), **values)

    def alphas_bar(self, levels: int) -> list[float]:
        """Return ᾱ of the levels 0 … K = `levels`: 1 at level 0, near 0 at level K."""
        if self.alphas_cumprod is not None:
            return [1.0, *self.alphas_cumprod]
        if self.beta_start is not None and self.beta_end is not None:
            if self.single_precision:
                return single_alphas_bar(single_range(self.beta_start, self.beta_end, levels))
            step = (self.beta_end - self.beta_start) / max(levels - 1, 1)
            betas = [self.beta_start + step * level for level in range(levels)]
        else:
            shares = [level / levels for level in range(levels + 1)]
            if self.beta_schedule == "cosine":
                # s = 0.008: with 1,000 levels √β_1 is a little less than 1/127.5, a step of 8 bits.
                angles = ((share + 0.008) / 1.008 for share in shares)
                curve = [math.cos(angle * (math.pi / 2)) ** 2 for angle in angles]
            else:
                curve = [_SIGMOID_END - 1 / (1 + math.exp(3 - 6 * share)) for share in shares]
            betas = [
                min(max(1 - after / before, 0.0), LARGEST_BETA) for before, after in pairwise(curve)
            ]
        if self.single_precision:
            return single_alphas_bar(betas)
        return list(accumulate((1 - beta for beta in betas), mul, initial=1.0))


def single_range(first: float, last: float, count: int) -> Any:
    """Return evenly spaced numbers (count,) as `torch.linspace` rounds them, from both ends."""
    import numpy as np

    low, high = np.float32(first), np.float32(last)
    step = float((high - low) / np.float32(max(count - 1, 1)))
    number = np.arange(count)
    rising, falling = float(low) + step * number, float(high) - step * (count - 1 - number)
    return np.where(number < count // 2, rising, falling).astype(np.float32)


def single_alphas_bar(betas: Any) -> list[float]:
    """Return ᾱ of the levels 0 … K as diffusers (0.42) rounds it, for β (K,)."""
    import numpy as np

    alphas = 1 - np.asarray(betas, np.float32)
    return [1.0, *np.cumprod(alphas, dtype=np.float64).astype(np.float32).tolist()]


Long = Annotated[
    Word,
    must(
        "at most 1000 characters, without control characters",
        lambda v: len(v) <= 1000 and not odd_character(v),
    ),
]
_Level = Annotated[int, Strict(), Field(ge=1, le=MOST_LEVELS)]


Size = Annotated[
    tuple[Count, Count] | None,
    Field(description="height and width of its images, if they are not square"),
]


@table
class RecordingConfig:
    """What was recorded: `count` samples at the `values` of the levels 0 … K.

    `symbol` and `unit` are of the axis. `shows` lists what was recorded in addition to states:
    "mean", "final". `positions` is the number of points of each path, if the samples are paths.
    `points` is the number of points in the plane, if the one sample is the picture of all.
    `splits` are the levels at which all samples split in two, if they are a tree; `one_start` says
    that all came from one state. `captions` are texts of the finished samples. `seed` and
    `made_with` are the author's. `finished` says that the run ended, `clipped` that states were
    stored as bytes, which clip what is beyond black and
    white, and `scaled` that they were multiplied by a factor that depends on the value.
    """

    values: tuple[Number, ...] = Field(description="the value of each level, from 0 to K")
    count: Annotated[int, Strict(), Field(ge=1, le=MOST_SAMPLES)] = Field(
        description="the number of finished samples"
    )
    symbol: Short = "t"
    unit: Short = ""
    shows: tuple[Literal["mean", "final"], ...] = ()
    positions: Annotated[int, Strict(), Field(ge=2, le=1000)] | None = None
    points: Annotated[int, Strict(), Field(ge=1, le=MOST_SAMPLES)] | None = None
    splits: Annotated[tuple[_Level, ...], must("levels that fall", falls)] = ()
    one_start: Flag = False
    captions: Annotated[
        tuple[Short, ...] | None,
        must(f"at most {MOST_SAMPLES} texts", lambda v: len(v or ()) <= MOST_SAMPLES),
    ] = None
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)] | None = None
    made_with: Long = ""
    finished: Flag = True
    clipped: Flag = False
    scaled: Flag = False
    size: Size = None

    def remarks(self, states: bool) -> str:
        """Sentences for the caption of a figure that shows `states`, or predicted images only.

        They are empty for a complete run, stored as it was.
        """
        unfinished = (
            "The recorded run did not end: the last pictures are of the last step that it recorded."
        )
        scaled = "Each recorded state was multiplied by a factor that depends on its step."
        return " ".join((unfinished,) * (not self.finished) + (scaled,) * (states and self.scaled))

    def seed_fault(self, seed: int) -> str:
        """Return why there are no samples of a seed; empty for the recorded one, and for 0."""
        fault = "does not say its seed" if self.seed is None else f"has the seed {self.seed}"
        return "" if seed in (0, self.seed) else fault


@table
class SamplerConfig:
    """Answers of an author's sampler: the `values` of the levels 0 … K, and what it can do.

    name: its class
    symbol, unit: of the axis
    start: the first state in words
    low, high: the numbers for black and white
    random: whether a step depends on its normal numbers
    gaussian: whether the first state is a multiple of its normal numbers
    corrupts, has_between: whether it has the methods `corrupt` and `between`
    predicts: whether a step returns a predicted image
    uses: digests of the files that it names, by path
    """

    values: tuple[Number, ...] = Field(description="the value of each level, from 0 to K")
    low: Number = Field(description="the number for black")
    high: Annotated[Number, above("low")] = Field(description="the number for white")
    name: Short = ""
    symbol: Short = "t"
    unit: Short = ""
    start: Annotated[Long, Field(min_length=1)] = "noise"
    random: Flag = True
    gaussian: Flag = False
    corrupts: Flag = False
    has_between: Flag = False
    predicts: Flag = False
    size: Size = None
    uses: Mapping[str, str] = Field(default_factory=dict)
