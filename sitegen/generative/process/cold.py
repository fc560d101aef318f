"""Cold diffusion by blurring (Bansal et al. 2023): the network predicts the sharp image.

D(x, k) is x after the convolutions with the kernels 1 … k; D(x, K) is the mean of that. A step is
x_{k−1} = x_k − D(x̂_0, k) + D(x̂_0, k − 1), the paper's improved sampling (algorithm 2), with the
x̂_0 that the network predicts from x_k and k − 1. Nothing is random after the start. First states
are squares of one colour, normally distributed, with a little noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict

from sitegen.core.errors import ConfigError
from sitegen.core.validation import reject_with
from sitegen.generative.card.parts import NotNegative, Number, Positive, card_kind, table
from sitegen.generative.maths.convolutions import axis_blurs, colour_root, size_fault
from sitegen.generative.process.base import Draw, FromNoise, Moved, ProcessCard

if TYPE_CHECKING:
    from torch import Tensor


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
    kernel_size: Annotated[int, Strict(), Field(ge=1, le=1001)] = 3
    kernel_std: Positive = 0.1
    routine: Literal["incremental", "constant", "exponential", "special_6"] = "incremental"
    padding: Literal["circular", "reflect"] = "circular"
    start_noise: NotNegative = 0.0


@card_kind
class Cold(FromNoise):
    """Cold diffusion; nothing is random after the start, and `blurred` is D."""

    kind: Literal["cold"] = "cold"
    cold: Annotated[ColdConfig, reject_with(size_fault)] = Field(description="a table [cold]")

    label, predicts = "Cold diffusion", "sharp images"
    between = ProcessCard.between
    abilities = frozenset({"network", "final", "paths", "corrupt"})

    def first_state(self, *, several: bool = False) -> str:
        return "squares of one colour" if several else "a square of one colour"

    def blurred(self, images: Tensor, level: int) -> Tensor:
        """Return D(x, level) of images (N, C, H, H) float32."""
        # A Gaussian kernel is the product of two equal ones, of rows and of columns.
        axis = axis_blurs(self.cold, self.levels, images.shape[-1])[level].to(images)
        blurred: Tensor = axis.T @ images @ axis
        return blurred if level < self.levels else blurred.mean((2, 3), True).expand_as(images)

    def start(self, model: Any, seed: int, samples: Any) -> Tensor:
        from sitegen.generative.maths.noise import Purpose, normal

        root = colour_root(self.cold)
        if root is None:
            raise ConfigError("cold.start_covariance: must be symmetric and positive definite")
        numbers = normal(seed, Purpose.INITIAL_STATE, samples, 0, (self.channels,))
        colours = numbers @ root.to(numbers).T + numbers.new_tensor(self.cold.start_mean)
        noise: Tensor = self.cold.start_noise * super().start(model, seed, samples)
        return colours[:, :, None, None] + noise

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
