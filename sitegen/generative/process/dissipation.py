"""The reverse of heat dissipation (Rissanen et al. 2023).

The model gives the mean of u_{k−1}; δ is the noise. A model that predicts û_0 may jump, to the mean
A_j û_0 of u_j at any lower level j. Since û_0 is a mean, noise of δ alone loses the variation
around it. A δ above σ compensates for this: too little where levels are coarse or skipped, too much
where they are fine. If the variance V_k of u_0 given u_k was estimated from images, the noise of
each cosine has the variance δ² + A_j² V_k with δ = σ, which is the variance of u_j. This is the
optimal reverse variance of Bao et al. 2022 ("Analytic-DPM"), by frequency. For colour images it is
a covariance of the channels, because the unknown part of an image is mostly of one hue.

As published, the noises of u_k and u_j are independent. The same network serves any other joint law
with the same u_k, as in DDIM. If the noise is added along the way, the forward process is a Markov
chain (Hoogeboom and Salimans 2023, "Blurring Diffusion Models"). The difference of u_k from
A_k u_0 then remains, scaled by the factor ρ = A_k / A_j of each cosine. Then the mean is
A_j û_0 + ρ (u_k − A_k û_0) and the variance δ² (1 − ρ²) + (A_j − ρ A_k)² V_k. As levels get finer,
this tends to the exact reverse of the chain for any u_0: the Gaussian approximation behind V_k
counts less and less. u_0 has no noise, so ρ = 0 in the last step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from sitegen.core.errors import ConfigError
from sitegen.core.validation import reject_if
from sitegen.generative.card.abilities import RANDOM, Abilities
from sitegen.generative.card.blur import BlurRange, BlurSchedule
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.networks import Band, ForeignUNet, Network, require_halving
from sitegen.generative.card.parts import Positive, card_kind, per_level
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.process.base import Draw, Moved, ProcessCard, add_noise

if TYPE_CHECKING:
    from torch import Tensor

TRAINING_NOISE_STD = 0.01
"""Training noise σ of the published models, and the default of sitegen's."""
# By the noise in its videos, the published page used δ = 0.0125 for MNIST and FFHQ and 0.013 for
# CIFAR-10 and AFHQ, with σ = 0.01. At δ = σ the paper's own figure shows washed-out shapes.
NOISE_RATIO = 1.25
"""Default ratio of sampling noise to training noise, δ/σ, as published."""

Parameterization = Literal["difference", "preconditioned"]


def sampling_noise(training_noise_std: float) -> float:
    """Return the default δ of a model trained with noise σ."""
    # 1.25 · 0.011 is 0.013749999999999998 in binary, and cards show the number.
    return round(NOISE_RATIO * training_noise_std, 9)


def _one_form(value: object) -> object:
    if isinstance(value, Mapping) and "schedule" in value and {"sigma_min", "sigma_max"} & {*value}:
        raise ValueError("give sigma_min and sigma_max or a schedule, not both")
    return value


Blur = Annotated[
    Annotated[BlurRange, Tag("<range>")]
    | Annotated[BlurSchedule, per_level("schedule", 1), Tag("<schedule>")],
    Discriminator(
        lambda blur: (
            "<schedule>"
            if isinstance(blur, BlurSchedule) or (isinstance(blur, Mapping) and "schedule" in blur)
            else "<range>"
        )
    ),
    BeforeValidator(_one_form),
]


@card_kind
class HeatDissipation(ProcessCard):
    """The reverse of heat dissipation.

    Noise levels are standard deviations in [0, 1] pixel units; δ is 1.25 σ if it is left out. A
    model has one `unet`, or it is a cascade: `bands` of levels, from level 1 up, each with its
    network. `sampling` lists the levels to visit; the default is all. Cascades and skipped levels
    need the parameterization "preconditioned".
    """

    unet: Annotated[
        Network | None,
        reject_if(
            lambda unet: (
                "a network of another program: only for a model that starts from noise"
                if isinstance(unet, ForeignUNet)
                else None
            )
        ),
    ] = Field(None, kw_only=False)
    blur: Blur = Field(description="the blur of the levels, sigma_min and sigma_max")
    kind: Literal["ihdm"] = "ihdm"
    parameterization: Parameterization = "difference"
    training_noise_std: Positive = TRAINING_NOISE_STD
    sampling_noise_std: Positive = Field(cast(Any, None), kw_only=True)
    bands: tuple[Band, ...] = ()
    sampling: SamplingConfig | None = None

    label = "IHDM"
    symbol = "σ_B"
    unit = "px"
    advice: ClassVar[str] = (
        "check that the card fits the weights, that they are of a trained model, and that "
        "sampling_noise_std is not too large"
    )

    @field_validator("sampling_noise_std", mode="before")
    @classmethod
    def _usual_ratio(cls, value: object, info: ValidationInfo) -> object:
        training: float = info.data.get("training_noise_std", TRAINING_NOISE_STD)
        return sampling_noise(training) if value is None else value

    @field_validator("bands")
    @classmethod
    def _fit(cls, bands: tuple[Band, ...], info: ValidationInfo) -> tuple[Band, ...]:
        size, levels = info.data.get("image_size"), info.data.get("levels")
        if not bands and info.data.get("unet", ...) is None:
            raise ValueError("unet is missing: the network, a table; or a cascade, as [[bands]]")
        if not bands or size is None or levels is None:
            return bands
        if info.data.get("unet") is not None:
            raise ValueError("list all networks; leave unet out")
        if info.data.get("parameterization") == "difference":
            raise ValueError('only for the parameterization "preconditioned"; leave it out')
        lowest = [band.lowest_level for band in bands]
        if lowest[0] != 1 or lowest != sorted(set(lowest)) or lowest[-1] > levels:
            raise ValueError(
                f"each lowest_level must exceed the one before, from 1 to at most levels, {levels}"
            )
        if bands[0].unet is None or bands[0].side not in (None, size):
            raise ValueError(f"the first, of the finest levels, needs a unet for all {size} pixels")
        for band in bands:
            if band.side is not None and band.side > size:
                raise ValueError(f"side = {band.side}: must be at most image_size, {size}")
            if band.side is None and band.unet is not None:
                require_halving("image_size", size, band.unet)
        return bands

    @field_validator("sampling")
    @classmethod
    def _fits_bands(
        cls, sampling: SamplingConfig | None, info: ValidationInfo
    ) -> SamplingConfig | None:
        if sampling is not None and {"levels", "bands"} <= info.data.keys():
            if info.data.get("parameterization") == "difference":
                raise ValueError('only for the parameterization "preconditioned"; leave it out')
            sampling.require_fit(info.data["levels"], len(info.data["bands"]) or 1)
        return sampling

    @cached_property
    def schedule(self) -> BlurSchedule:
        """Blur scales σ_B of levels 0 … K."""
        if isinstance(self.blur, BlurRange):
            return BlurSchedule.log_spaced(self.levels, self.blur.sigma_min, self.blur.sigma_max)
        return self.blur

    @property
    def abilities(self) -> Abilities:
        """Abilities of the process; a model of differences predicts no images."""
        heat: Abilities = RANDOM | {"prior", "blur", "noise_std", "browser"}
        return heat if self.parameterization == "preconditioned" else heat - {"final"}

    def level_values(self) -> tuple[float, ...]:
        return self.schedule.sigmas

    def first_state(self, *, several: bool = False) -> str:
        if several:
            return "flat grey squares" if self.channels == 1 else "flat squares of one colour"
        return "a flat grey square" if self.channels == 1 else "a flat square of one colour"

    @property
    def noise_std(self) -> float:
        return self.sampling_noise_std

    @property
    def has_statistics(self) -> bool:
        """True if the weights hold mean and variance of the data's cosines."""
        return self.parameterization == "preconditioned"

    def with_noise_std(self, noise_std: float | None) -> HeatDissipation:
        """Return the card with another δ, if one is given; it may be 0."""
        if noise_std is None:
            return self
        card = replace(self)  # which would refuse 0, a δ that only figures may ask for
        object.__setattr__(card, "sampling_noise_std", noise_std)
        return card

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        import torch

        delta = self.sampling_noise_std
        std = model.noise_std(level, below, delta) if hasattr(model, "noise_std") else delta
        if self.keeps_noise and below > 0:
            mean = model.mean_with_noise(x, level, below)
        else:
            mean = _mean(model, level, below, x)
        final = None
        if self.parameterization == "preconditioned" or level == 1:
            # It is called after the step, outside of the `no_grad` of `run`.
            final = partial(torch.no_grad()(_mean), model, level, 0, x)
        return add_noise(mean, draw(0), std, final)

    def corrupt(self, model: Any, images: Tensor, level: int, draw: Draw) -> Tensor:
        from sitegen.generative.maths.heat import dissipate

        blurred = dissipate(images, self.schedule[level])
        return blurred + self.training_noise_std * draw(0).to(blurred)


def heat_of(card: ModelCard) -> HeatDissipation:
    """Return the card of a heat dissipation model. Raises ConfigError for another kind."""
    if not isinstance(card, HeatDissipation):
        raise ConfigError(f'a card of kind "{card.kind}" has no blur; an IHDM is needed')
    return card


def _mean(model: Any, level: int, below: int, u: Tensor) -> Tensor:
    """Return the mean of u_j, j = `below`; a model that skips no levels is not given j."""
    mean: Tensor = model(u, level) if below == level - 1 else model(u, level, below)
    return mean
