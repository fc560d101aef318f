"""Tables of a model card for processes that add noise, or blur, by a schedule. Needs no torch.

- `[edm]`: x_k = x_0 + σ_k z with the σ of Karras et al. 2022, for EDM and for consistency models.
- `[sde]`: the variance-exploding and variance-preserving processes of Song et al. 2021.
- `[cold]`: repeated convolutions with a small kernel (Bansal et al. 2023).
- `[blurring]`: a heat equation with noise, as a diffusion of cosines (Hoogeboom and Salimans 2023).
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from sitegen.generative.card.validation import (
    PART,
    Flag,
    Incompatibilities,
    Number,
    checked,
    must,
)

_Positive = Annotated[Number, Field(gt=0)]
_Not_negative = Annotated[Number, Field(ge=0)]
_Odd = must("an odd number", lambda v: v % 2 == 1)


def _falling(values: tuple[float, ...] | None) -> bool:
    if values is None:
        return True
    return len(values) > 0 and values[-1] > 0 and all(a > b for a, b in pairwise(values))


def _range(part: object, low: str, high: str) -> Incompatibilities:
    """Yield a `high` that is not above `low`."""
    first, last = getattr(part, low), getattr(part, high)
    if first is not None and last is not None and not first < last:
        yield high, f"must be above {low}, {first:g}"


@checked("edm")
@dataclass(frozen=True, config=PART)
class EdmConfig:
    """Noise levels, preconditioning and steps of EDM (Karras et al. 2022, table 1).

    solver: "heun", algorithm 2, or "euler"; a consistency model has none
    sigma_min, sigma_max, rho: the σ of K steps; 0 follows
    sigmas: σ of each state but the last, falling, instead of these
    sigma_data: standard deviation of data in [-1, 1]
    churn, churn_min, churn_max, churn_noise: S_churn, S_tmin, S_tmax (no limit if left out) and
        S_noise of algorithm 2; with a churn of 0 nothing is random after the start
    time_scale: factor of ln σ in the number that the network receives: 0.25, and 250 in the
        published consistency models
    clip: whether predicted images are clipped to [-1, 1]

    Raises ConfigError that names every invalid value.
    """

    solver: Literal["heun", "euler"] = "heun"
    sigma_min: _Positive = 0.002
    sigma_max: _Positive = 80.0
    rho: _Positive = 7.0
    sigma_data: _Positive = 0.5
    churn: _Not_negative = 0.0
    churn_min: _Not_negative = 0.0
    churn_max: _Not_negative | None = None
    churn_noise: _Positive = 1.0
    time_scale: _Positive = 0.25
    clip: Flag = False
    sigmas: Annotated[
        tuple[Number, ...] | None, must("a list of falling numbers above 0", _falling)
    ] = None

    def incompatibilities(self) -> Incompatibilities:
        """Yield ranges without a width."""
        yield from _range(self, "sigma_min", "sigma_max")
        yield from _range(self, "churn_min", "churn_max")


@lru_cache(maxsize=16)
def edm_levels(edm: EdmConfig, count: int) -> tuple[float, ...]:
    """Return σ of the levels 0 … K = `count` (Karras et al. 2022, eq. 5)."""
    if edm.sigmas is not None:
        return (0.0, *edm.sigmas[::-1])
    low, high = (each ** (1 / edm.rho) for each in (edm.sigma_min, edm.sigma_max))
    shares = [place / max(count - 1, 1) for place in range(count)]
    falling = [(high + share * (low - high)) ** edm.rho for share in shares]
    return (0.0, *falling[::-1])


@checked("sde")
@dataclass(frozen=True, config=PART)
class SdeConfig:
    """A stochastic differential equation, and its predictor and corrector (Song et al. 2021).

    family: "ve", from σ_min to σ_max, or "vp", from β_min to β_max
    predictor: "reverse_diffusion", "ancestral" or "euler_maruyama"
    corrector_steps: Langevin steps before each step of the predictor, with signal-to-noise ratio
        `snr`
    end_time: t of the last evaluation, above 0
    centered: whether data are in [-1, 1]; else in [0, 1]

    A "ve" network receives σ and returns the score; a "vp" network receives 999 t and returns the
    score times the negative standard deviation, the noise. Both are trained at any t. Raises
    ConfigError that names every invalid value.
    """

    family: Literal["ve", "vp"]
    predictor: Literal["reverse_diffusion", "ancestral", "euler_maruyama"] = "reverse_diffusion"
    corrector_steps: Annotated[int, Strict(), Field(ge=0, le=100)] = 0
    snr: _Positive = 0.16
    sigma_min: _Positive = 0.01
    sigma_max: _Positive = 50.0
    beta_min: _Positive = 0.1
    beta_max: _Positive = 20.0
    end_time: Annotated[Number, Field(gt=0, lt=1)] = 1e-5
    centered: Flag = True

    def incompatibilities(self) -> Incompatibilities:
        """Yield ranges without a width."""
        yield from _range(self, "sigma_min", "sigma_max")
        yield from _range(self, "beta_min", "beta_max")

    def time(self, level: int, count: int) -> float:
        """Return t of a level k = 1 … K = `count`, from `end_time` to 1; 0 at level 0."""
        share = (count - level) / max(count - 1, 1)
        return 1 + share * (self.end_time - 1) if level else 0.0

    def sigma(self, time: float) -> float:
        """Return σ of the "ve" process at t."""
        return float(self.sigma_min * (self.sigma_max / self.sigma_min) ** time)

    def marginal(self, time: float) -> tuple[float, float]:
        """Return the share of the image and the standard deviation of the noise at t."""
        if self.family == "ve":
            return 1.0, self.sigma(time)
        left = -0.25 * time**2 * (self.beta_max - self.beta_min) - 0.5 * time * self.beta_min
        return math.exp(left), math.sqrt(-math.expm1(2 * left))


@checked("cold")
@dataclass(frozen=True, config=PART)
class ColdConfig:
    """The blur of a cold diffusion: level k is the image after k convolutions.

    kernel_size: side of the Gaussian kernels in pixels
    kernel_std: their s in pixels
    routine: standard deviation of the kernel of level k: "incremental", s k; "constant", s;
        "exponential", exp(s (k − 1)); "special_6", 0.35 + (k − 1) / 100 without s
    padding: "circular" or "reflect"
    start_mean: mean of the first states, a number per channel in [-1, 1]
    start_covariance: covariance of these colours, a row per channel
    start_noise: standard deviation of the noise that is added once to the first states

    The first states are of one colour, the mean colour of an image; level K is that colour. Raises
    ConfigError that names every invalid value.
    """

    start_mean: tuple[Number, ...]
    start_covariance: tuple[tuple[Number, ...], ...]
    kernel_size: Annotated[int, Strict(), Field(ge=1, le=1001), _Odd] = 3
    kernel_std: _Positive = 0.1
    routine: Literal["incremental", "constant", "exponential", "special_6"] = "incremental"
    padding: Literal["circular", "reflect"] = "circular"
    start_noise: _Not_negative = 0.0

    def incompatibilities(self) -> Incompatibilities:
        """Yield a matrix that is not a covariance of the channels."""
        mean, rows = self.start_mean, self.start_covariance
        if mean is None or rows is None:
            return
        if {len(rows), *map(len, rows)} != {len(mean)}:
            yield "start_covariance", f"must have {len(mean)} rows of {len(mean)} numbers"
        elif cholesky(rows) is None:
            yield "start_covariance", "must be symmetric and positive definite"

    def stds(self, count: int) -> list[float]:
        """Return the standard deviations of the kernels of levels 1 … K = `count`."""
        places = range(count)
        if self.routine == "special_6":
            return [0.35 + place / 100 for place in places]
        if self.routine == "exponential":
            return [math.exp(self.kernel_std * place) for place in places]
        return [
            self.kernel_std * (place + 1 if self.routine == "incremental" else 1)
            for place in places
        ]


def cholesky(rows: tuple[tuple[float, ...], ...]) -> list[list[float]] | None:
    """Return the lower triangular L with L Lᵀ = `rows`, or None if it is no covariance."""
    count = len(rows)
    found = [[0.0] * count for _ in range(count)]
    for row in range(count):
        for column in range(row + 1):
            inner = sum(found[row][each] * found[column][each] for each in range(column))
            left = rows[row][column] - inner
            if rows[row][column] != rows[column][row] or (row == column and left <= 0):
                return None
            found[row][column] = math.sqrt(left) if row == column else left / found[column][column]
    return found


@checked("blurring")
@dataclass(frozen=True, config=PART)
class BlurringConfig:
    """Schedule of a blurring diffusion, at t = k / K.

    sigma_max: σ_B at t = 1 in pixels; at t it is σ_max sin²(π t / 2)
    floor: smallest factor of a cosine by the blur
    log_snr_min, log_snr_max: ends of the cosine schedule of the noise, ln (a² / σ²)
    time_scale: factor of the t that the network receives

    Raises ConfigError that names every invalid value.
    """

    sigma_max: _Positive = 20.0
    floor: Annotated[Number, Field(gt=0, lt=1)] = 0.001
    log_snr_min: Number = -10.0
    log_snr_max: Number = 10.0
    time_scale: _Positive = 1.0

    def incompatibilities(self) -> Incompatibilities:
        """Yield ends in the wrong order."""
        yield from _range(self, "log_snr_min", "log_snr_max")

    def blur(self, time: float) -> float:
        """Return σ_B at t in pixels."""
        return self.sigma_max * math.sin(math.pi * time / 2) ** 2

    def noise(self, time: float) -> tuple[float, float]:
        """Return a and σ at t, with a² + σ² = 1."""
        last = math.atan(math.exp(-0.5 * self.log_snr_max))
        first = math.atan(math.exp(-0.5 * self.log_snr_min))
        angle = last + (first - last) * time
        return math.cos(angle), math.sin(angle)
