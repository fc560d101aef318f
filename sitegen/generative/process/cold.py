"""Cold diffusion by blurring (Bansal et al. 2023): the network predicts the sharp image.

D(x, k) is x after the convolutions with the kernels 1 … k; D(x, K) is the mean of that. A step is
x_{k−1} = x_k − D(x̂_0, k) + D(x̂_0, k − 1), the paper's improved sampling (algorithm 2), with the
x̂_0 that the network predicts from x_k and k − 1. Nothing is random after the start. First states
are squares of one colour, normally distributed, with a little noise.

All kernels are Gaussian and share their eigenvectors, so D is a product in the basis of Fourier.
Images that continue as mirrored are first extended to a whole period.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict, ValidationInfo, field_validator

from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.parts import NotNegative, Number, Positive, card_kind, must, table
from sitegen.generative.process.base import Draw, FromNoise, Moved, ProcessCard

if TYPE_CHECKING:
    from torch import Tensor

_Odd = must("an odd number", lambda v: v % 2 == 1)


@table
class ColdConfig:
    """The blur of a cold diffusion: level k is the image after k convolutions.

    kernel_size, kernel_std: side of the Gaussian kernels, and their s, in pixels
    routine: standard deviation of the kernel of level k: "incremental", s k; "constant", s;
        "exponential", exp(s (k − 1)); "special_6", 0.35 + (k − 1) / 100 without s
    start_mean, start_covariance: of the colours of the first states: a number per channel in
        [-1, 1], and a row per channel. Level K is the mean colour of an image
    start_noise: standard deviation of the noise that is added once to the first states
    """

    start_mean: tuple[Number, ...]
    start_covariance: tuple[tuple[Number, ...], ...]
    kernel_size: Annotated[int, Strict(), Field(ge=1, le=1001), _Odd] = 3
    kernel_std: Positive = 0.1
    routine: Literal["incremental", "constant", "exponential", "special_6"] = "incremental"
    padding: Literal["circular", "reflect"] = "circular"
    start_noise: NotNegative = 0.0

    @field_validator("start_covariance")
    @classmethod
    def _is_covariance(cls, rows: tuple[tuple[float, ...], ...], info: ValidationInfo) -> object:
        count = len(info.data.get("start_mean", rows))
        if {len(rows), *map(len, rows)} != {count}:
            raise ValueError(f"must have {count} rows of {count} numbers")
        if cholesky(rows) is None:
            raise ValueError("must be symmetric and positive definite")
        return rows


def cholesky(rows: Sequence[Sequence[float]]) -> list[list[float]] | None:
    """Return the lower triangular L with L Lᵀ = `rows`, or None if it is no covariance."""
    root = [[0.0] * len(rows) for _ in rows]
    for i, row in enumerate(rows):
        for j in range(i + 1):
            remainder = row[j] - sum(root[i][k] * root[j][k] for k in range(j))
            if row[j] != rows[j][i] or (i == j and remainder <= 0):
                return None
            root[i][j] = math.sqrt(remainder) if i == j else remainder / root[j][j]
    return root


@lru_cache(maxsize=4)
def _factors(cold: ColdConfig, levels: int, period: int) -> Tensor:
    """Return the factors of each frequency by the first k convolutions, (K + 1, period) float64.

    They are those of one axis; a kernel is the product of two equal ones.
    """
    import torch

    k, s = torch.arange(levels, dtype=torch.float64)[:, None], cold.kernel_std
    offset = torch.arange(cold.kernel_size, dtype=torch.float64) - cold.kernel_size // 2
    angle = 2 * torch.pi / period * torch.arange(period, dtype=torch.float64)
    stds = {"incremental": s * (k + 1), "constant": s + 0 * k, "exponential": torch.exp(s * k)}
    kernels = torch.exp(-(offset**2) / (2 * stds.get(cold.routine, 0.35 + k / 100) ** 2))
    # Kernels are symmetric, so their eigenvalues are real: sums of cosines.
    factors = (kernels / kernels.sum(1, keepdim=True)) @ torch.cos(angle * offset[:, None])
    return torch.cat([torch.ones_like(factors[:1]), factors.cumprod(0)])


@card_kind
class Cold(FromNoise):
    """Cold diffusion; nothing is random after the start, and `blurred` is D."""

    kind: Literal["cold"] = "cold"
    cold: ColdConfig = Field(description="a table [cold]")

    label, predicts = "Cold diffusion", "sharp images"
    between = ProcessCard.between
    abilities = frozenset[Ability]({"network", "final", "paths"})

    @field_validator("cold")
    @classmethod
    def _fits_images(cls, cold: ColdConfig, info: ValidationInfo) -> ColdConfig:
        channels, size = info.data.get("channels"), info.data.get("image_size")
        if channels and len(cold.start_mean) != channels:
            raise ValueError(f"start_mean must have a number for each of the {channels} channels")
        if size and cold.kernel_size >= 2 * size:
            raise ValueError(f"kernel_size must be below twice the image_size, {size}")
        return cold

    def first_state(self, count: int) -> str:
        return "squares of one colour" if count > 1 else "a square of one colour"

    def blurred(self, images: Tensor, level: int) -> Tensor:
        """Return D(x, level) of images (N, C, H, H) float32."""
        import torch

        side, whole = images.shape[-1], images
        if self.cold.padding == "reflect":
            # The period of an image mirrored without repeating its edge pixels is 2 · side − 2.
            edges = (0, side - 2, 0, side - 2)
            whole = torch.nn.functional.pad(images, edges, mode="reflect")
        factor = _factors(self.cold, self.levels, whole.shape[-1])[level].to(images)
        spectrum = torch.fft.fft2(whole) * (factor[:, None] * factor)
        blurred: Tensor = torch.fft.ifft2(spectrum).real[..., :side, :side]
        flat = level == self.levels
        return blurred.mean((2, 3), keepdim=True).expand_as(images) if flat else blurred

    def start(self, model: Any, seed: int, samples: Sequence[int]) -> Tensor:
        from sitegen.generative.process.noise import Purpose, normal

        numbers = normal(seed, Purpose.INITIAL_STATE, samples, 0, (self.channels,))
        colours = numbers @ numbers.new_tensor(cholesky(self.cold.start_covariance)).T
        flat = (colours + numbers.new_tensor(self.cold.start_mean))[:, :, None, None]
        return flat + self.cold.start_noise * super().start(model, seed, samples)

    def predict(self, model: Any, x: Tensor, level: Any, *_: Any) -> Tensor:
        """Return x̂_0 (N, C, H, W) of states x_k, k from 1 to K; the network receives k − 1."""
        answer: Tensor = model.network(x, (model.levels_of(x, level) - 1).expand(len(x)))
        return answer

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        image = model(x, level)
        state = x - self.blurred(image, level) + self.blurred(image, below)
        return Moved(state, state, lambda: image)

    def corrupt(self, model: Any, images: Tensor, level: int, draw: Draw) -> Tensor:
        return self.blurred(images, level)
