"""A trained model as one callable, (u_k, level k) → the mean of u_{k−1}, and the engine it runs on.

Two parameterizations of the network's answer:

- "difference", as published: mean = u + f(u, k).
- "preconditioned": the linear part is computed in closed form, the network does the rest. In the
  cosine basis let m and S be mean and variance of the data's coefficients, A_k the factor of level
  k and σ the training noise. The linear estimate of the sharp image is x̂_0 = m + G_k (u_k − A_k m)
  with G_k = A_k S / (A_k² S + σ²), and leaves the variance R_k = S σ² / (A_k² S + σ²) unknown. The
  network gets x̂_0 standardised and answers r; then û_0 = x̂_0 + √R_k r coefficient by coefficient
  and mean = A_{k−1} û_0, exact because the heat equation is linear. It is the preconditioning of
  Karras et al. 2022 with one factor a frequency.

A preconditioned model may be a cascade: bands of levels, each with a network that gets and predicts
only the lowest cosines, as a smaller image or as coefficients (`cosines.py`). Since û_0 is known,
the model may jump: the mean of u_j is A_j û_0 for any level j < k.

With a guidance w, sampling takes û_0 = x̂_0 + (1 + w) √R_k r: away from a worse model's answer, as
in Karras et al. 2024 ("Guiding a Diffusion Model with a Bad Version of Itself"), where the worse
model is the linear estimate. It costs no time, and restores detail that a small network smooths
away. A w below 0 reduces detail that a network wrongly adds to images unlike its training data.
DDPMs and flows have the same guidance (`CardModel.guided`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from sitegen.core.compute import DEVICE, Precision, has_bfloat16
from sitegen.core.errors import ConfigError, PlatformError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.labels import Condition
from sitegen.generative.maths.heat import (
    Statistics,
    attenuation,
    channel_factor,
    dct2,
    idct2,
    retained,
    ring_of,
)
from sitegen.generative.networks.cosines import CosineNet, lowest
from sitegen.generative.process.base import ProcessCard
from sitegen.generative.process.dissipation import HeatDissipation

SMALLEST_VARIANCE = 1e-12
"""Smallest variance of drawn noise; it keeps a covariance positive definite at a factor of 1."""
Engine = Callable[..., Tensor]
"""Evaluates a network: (N, C, side, side), levels (N,) → (N, C, side, side), all float32.

A network with labels also gets their weights (N, classes).
"""


class CardModel(nn.Module):
    """Base class of all models: networks with their card, one per band of levels.

    `precision` is the number format of U-Nets, and in training of MLPs as well; states and the
    arithmetic around networks stay float32. `engines` evaluate U-Nets in place of torch, by band;
    there are none unless they are chosen.
    """

    def __init__(
        self,
        card: ProcessCard,
        networks: Sequence[nn.Module],
        statistics: Statistics | None = None,
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        for name, tensor in (statistics.tensors() if statistics else {}).items():
            # Not in the state dict, since files have statistics under names of their own.
            self.register_buffer(name.replace(".", "_"), tensor, persistent=False)
        self.statistics_mean: Tensor
        self.statistics_variance: Tensor
        self.statistics_residual: Tensor
        self.card = card
        self.networks = nn.ModuleList(networks)
        self.precision = precision
        self.engines: dict[int, Engine] = {}
        self.labels: Tensor | None = None
        self.label_guidance = 0.0
        fast = has_bfloat16("cpu") or torch.cuda.is_available()
        self._layout = torch.channels_last if fast else torch.contiguous_format  # the faster
        if precision == "bfloat16":
            self.networks.to(memory_format=self._layout)  # type: ignore[call-overload, unused-ignore]

    @property
    def unet(self) -> nn.Module:
        """The network of the finest levels."""
        return self.networks[0]

    @property
    def statistics(self) -> Statistics | None:
        """Statistics of the data, on the device of the weights, where the card has them."""
        if not self.card.has_statistics:
            return None
        residual = getattr(self, "statistics_residual", None)
        return Statistics(self.statistics_mean, self.statistics_variance, residual)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.networks.parameters()).device

    def forward(self, x: Tensor, level: Any, *more: Any) -> Tensor:
        """Return what the network predicts from states, as the card's `predict` defines it."""
        return self.card.predict(self, x, level, *more)

    def levels_of(self, states: Tensor, level: int | Tensor) -> Tensor:
        """Return `level` as a tensor (1,) or (N,). Raises ValueError unless all are 1 … K."""
        levels = torch.as_tensor(level, device=states.device).reshape(-1)
        low, high = levels.aminmax()
        if levels.is_floating_point() or low < 1 or high > self.card.levels:
            raise ValueError(f"level must be an integer from 1 to {self.card.levels}, not {level}")
        return levels

    def conditioned(self, condition: Condition, rows: int) -> Self:
        """Return the model for states with labels, whose embeddings have as many rows.

        With guidance w, the networks' output is (1 + w) times that with the label, less w times
        that without (Ho and Salimans 2022).
        """
        labels = functional.one_hot(torch.tensor(condition.labels), rows).float()
        if condition.others:
            others = functional.one_hot(torch.tensor(condition.others), rows).float()
            labels = torch.lerp(labels, others, torch.tensor(condition.shares)[:, None])
        return self.labelled(labels.to(self.device), condition.guidance)

    def labelled(self, labels: Tensor, guidance: float = 0.0) -> Self:
        """Return the model for states with labels; it shares its networks with this one.

        labels: rows (N,) of the networks' embeddings, or weights (1, rows) or (N, rows) of all
        """
        model = copy.copy(self)
        model.labels, model.label_guidance = labels, guidance
        return model

    def network(self, x: Tensor, levels: Tensor, band: int = 0) -> Tensor:
        """Return the raw output of a band's U-Net, float32, from its engine if it has one."""
        engine = self.engines.get(band) or partial(self.computed, band=band)
        return self._with_labels(band, len(x), partial(engine, x, levels))

    def computed(self, x: Tensor, levels: Tensor, *labels: Tensor, band: int = 0) -> Tensor:
        """Evaluate the network with torch, in the model's precision."""
        unet = self.networks[band]
        if self.precision == "float32":
            answer: Tensor = unet(x, levels, *labels)
            return answer
        x = x.to(memory_format=self._layout)
        with torch.autocast(x.device.type, torch.bfloat16):
            half: Tensor = unet(x, levels, *labels)
        return half.float()

    def _with_labels(self, band: int, count: int, answer: Engine) -> Tensor:
        """Return a network's answer for `count` states with the labels, with their guidance."""
        classes = self.card.networks[band].classes
        if classes is None:
            return answer()
        null = functional.one_hot(torch.tensor([classes - 1]), classes).float()
        null = null.to(self.device).expand(count, -1)
        if self.labels is None:
            return answer(null)
        with_label = answer(self.labels.expand(count, *self.labels.shape[1:]))
        if not self.label_guidance:
            return with_label
        return with_label + self.label_guidance * (with_label - answer(null))

    def guided(
        self, answer: Tensor, x: Tensor, shares: tuple[Tensor, Tensor], parts: tuple[Any, Any]
    ) -> Tensor:
        """Move an answer (N, C, H, W) deviation from the linear estimate's, by the card's guidance.

        `shares` a and s (N, 1, 1, 1) are those of the state `x` = a x_0 + s ε, with images x_0 in
        [-1, 1], and `answer` estimates i x_0 + j ε for the `parts` i and j. The linear estimates
        are x̂_0 = m + a S / (a² S + s²) (x − a m) and ε̂ = s / (a² S + s²) (x − a m), cosine by
        cosine. In training the answer is returned unchanged.
        """
        (weight,), statistics = self.card.guidance, self.statistics
        if self.training or not weight:
            return answer
        assert statistics is not None
        (image_share, noise_share), (image, noise) = shares, parts
        mean, variance = statistics.centred()
        deviation = dct2(x) - image_share * mean
        scaled = deviation / (image_share**2 * variance + noise_share**2)
        linear = idct2(
            image * (mean + image_share * variance * scaled) + noise * noise_share * scaled
        )
        return answer + weight * (answer - linear)


class Model(CardModel):
    """A model that reverses heat dissipation; the only interface that a sampler needs."""

    def __init__(
        self,
        card: HeatDissipation,
        networks: Sequence[nn.Module],
        statistics: Statistics | None = None,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(card, networks, statistics, precision)
        self.card: HeatDissipation
        self.sides = [band.side or card.image_size for band in card.networks]
        self._scales = [statistics.pixel_scale(side) for side in self.sides] if statistics else []
        lowest_levels = [band.lowest_level for band in card.networks]
        self.register_buffer("lowest_levels", torch.tensor(lowest_levels), False)
        self.lowest_levels: Tensor
        self.register_buffer(
            "sigmas", torch.tensor(card.schedule.sigmas, dtype=torch.float64), False
        )
        self.sigmas: Tensor

    def noise_std(self, level: int, below: int, delta: float) -> float | Tensor:
        """The standard deviation of the noise at level j = `below`, reached from level k.

        δ, or of its cosines √(δ² (1 − ρ²) + (A_j − ρ A_k)² V_k) where V_k was estimated, the
        variance of the sharp image that the model leaves unknown at level k, and ρ is 0 unless
        noise is kept (`dissipation.py`): (C, H, W), or (C, C, H, W) with the lower triangular roots
        of covariances between channels.
        """
        statistics = self.statistics
        if statistics is None or statistics.residual is None:
            return delta
        factor_here, factor_below = self.attenuation(
            torch.tensor([level, below], device=self.device)
        )
        _, unknown = linear_estimate(statistics, factor_here, self.card.training_noise_std)
        shares = statistics.residual[level - 1][ring_of(self.card.image_size).to(self.device)]
        fresh: float | Tensor = delta**2
        if self.card.keeps_noise and below > 0:
            blurs = self.card.schedule
            stays = retained(blurs[level], blurs[below], self.card.image_size).to(factor_here)
            factor_below = factor_below - stays * factor_here
            fresh = (delta**2 * (1 - stays**2)).clamp_min(SMALLEST_VARIANCE)
        if shares.dim() == 2:
            std: Tensor = (fresh + factor_below**2 * shares * unknown).sqrt()
            return std
        deviation = factor_below * unknown.sqrt()
        covariance = shares.permute(2, 3, 0, 1) * deviation[:, None] * deviation
        identity = torch.eye(len(covariance), device=self.device)[:, :, None, None]
        return channel_factor(fresh * identity + covariance)

    def forward(self, u: Tensor, level: int | Tensor, below: int | None = None) -> Tensor:
        """Mean of u_j given u_k, where j is `below`, or k − 1 if that is not given.

        `u` (N, C, H, W) float32 in [0, 1] pixel units, unclipped; `level` k from 1 to K, an int or
        integers (N,). Returns (N, C, H, W) float32, with the card's guidance unless the model is in
        training. Raises ValueError for levels outside of 1 … K, and for a jump that is none of this
        model's.
        """
        levels = self.levels_of(u, level).expand(len(u))
        statistics = self.statistics
        if below is not None and not 0 <= below < int(levels.min()):
            raise ValueError(f"there is no way from level {level} to {below}")
        if statistics is None:
            if below is not None and below != int(levels.min()) - 1:
                raise ValueError("only a preconditioned model can jump over levels")
            return u + self.network(u, levels)
        # One factor serves the whole batch when the level is the same for all.
        distinct = levels[:1] if isinstance(level, int) else levels
        factor_below = self.attenuation(
            distinct - 1 if below is None else distinct.new_tensor([below])
        )
        return idct2(
            factor_below * self._sharp(dct2(u), levels, distinct, guided=not self.training)
        )

    def mean_with_noise(self, u: Tensor, level: int, below: int) -> Tensor:
        """Mean of u_j where the noise of u_k stays: A_j û_0 + ρ (u_k − A_k û_0).

        The arguments and the result are those of `forward`; j = `below` is at least 1.
        """
        levels, cosines, size = (
            self.levels_of(u, level).expand(len(u)),
            dct2(u),
            self.card.image_size,
        )
        sharp = self._sharp(cosines, levels, levels[:1], guided=not self.training)
        factor_here, factor_below = attenuation(self.sigmas[[level, below]], size, size)
        blurs = self.card.schedule
        stays = retained(blurs[level], blurs[below], size).to(factor_here)
        of_sharp = (factor_below - stays * factor_here).to(u)
        return idct2(of_sharp * sharp + stays.to(u) * cosines)

    def sharp(self, u: Tensor, level: int) -> Tensor:
        """Return the cosines (N, C, H, W) of û_0 without guidance.

        The arguments are those of `forward`. Only a preconditioned model has these cosines.
        """
        levels = self.levels_of(u, level).expand(len(u))
        return self._sharp(dct2(u), levels, levels[:1], guided=False)

    def sharp_of(self, cosines: Tensor, levels: Tensor) -> Tensor:
        """Return the cosines of û_0 (N, C, H, W) given those of u_k, each at its own level (N,)."""
        return self._sharp(cosines, levels, levels, guided=False)

    def _sharp(self, cosines: Tensor, levels: Tensor, distinct: Tensor, guided: bool) -> Tensor:
        """The cosines of û_0 (N, C, H, W) given those of u_k.

        `distinct` are the levels, or the first if all are equal.
        """
        statistics = self.statistics
        assert statistics is not None
        factor_here = self.attenuation(distinct)
        gain, unknown = linear_estimate(statistics, factor_here, self.card.training_noise_std)
        deviation = cosines - factor_here * statistics.mean
        total = (factor_here**2 * statistics.variance + self.card.training_noise_std**2).sqrt()
        z, estimate = deviation / total, statistics.mean + gain * deviation
        # One for each cosine: with a single scale, the network learned nothing in 750 steps.
        scale = unknown.sqrt()
        scales_of_bands = [1 + weight if guided else 1.0 for weight in self.card.guidance]
        bands = torch.bucketize(distinct, self.lowest_levels, right=True) - 1
        present = sorted({*bands.tolist()})
        if len(present) == 1:
            return self._refined(
                present[0], estimate, scales_of_bands[present[0]] * scale, z, levels
            )
        sharp = torch.empty_like(estimate)
        for band in present:
            rows = bands == band
            parts = (part[rows] for part in (estimate, scales_of_bands[band] * scale, z, levels))
            model = self if self.labels is None else self.labelled(self.labels[rows])
            sharp[rows] = model._refined(band, *parts)
        return sharp

    def _refined(
        self, band: int, estimate: Tensor, scale: Tensor, z: Tensor, levels: Tensor
    ) -> Tensor:
        """x̂_0 + √R_k r: 0 is added to the cosines that the band's network does not see."""
        side = self.sides[band]
        change = scale[..., :side, :side] * self.answer(band, estimate, z, levels)
        more = self.card.image_size - side
        return estimate + nn.functional.pad(change, (0, more, 0, more))

    def answer(self, band: int, estimate: Tensor, z: Tensor, levels: Tensor) -> Tensor:
        """The r (N, C, side, side) of a band's network: its lowest cosines, of unit variance.

        `estimate` x̂_0 and `z`, the standardised state, are cosines (N, C, H, W); levels (N,).
        """
        network, side = self.networks[band], self.sides[band]
        if isinstance(network, CosineNet):
            half = self.training and self.precision == "bfloat16"  # sampling has little of it
            with torch.autocast(z.device.type, torch.bfloat16) if half else nullcontext():
                inputs = lowest(z, side), levels / self.card.levels
                rows = self._with_labels(band, len(z), partial(network, *inputs))
            return rows.float().view(len(rows), -1, side, side)
        image = shrunken(estimate, side, *self._scales[band])
        return dct2(self.network(image, levels, band))

    def attenuation(self, levels: Tensor) -> Tensor:
        """A_k (N, 1, H, W) float32 of levels (N,)."""
        size = self.card.image_size
        return attenuation(self.sigmas[levels], size, size).float()[:, None]


def model_with(
    card: ModelCard,
    networks: Sequence[nn.Module],
    statistics: Statistics | None,
    precision: Precision,
) -> CardModel:
    """Return the model of loaded networks, one for each of the card's `networks`."""
    if isinstance(card, HeatDissipation):
        return Model(card, networks, statistics, precision)
    assert isinstance(card, ProcessCard)  # a recording has no networks
    return CardModel(card, networks, statistics, precision)


def shrunken(estimate: Tensor, side: int, mean: float, std: float) -> Tensor:
    """Return a band's U-Net input for the cosines x̂_0: standardised, `side` pixels a side."""
    image = idct2(estimate[..., :side, :side]) * (side / estimate.shape[-1])
    return (image - mean) / std


def linear_estimate(
    statistics: Statistics, factor_here: Tensor, noise_std: float
) -> tuple[Tensor, Tensor]:
    """Gain G_k and unknown variance R_k (N, C, H, W) where A_k = `factor_here` (N, 1, H, W)."""
    variance = statistics.variance
    total = factor_here**2 * variance + noise_std**2
    return factor_here * variance / total, variance * noise_std**2 / total


def require_device(device: str) -> None:
    """Raise ConfigError unless `device` is one, PlatformError unless torch can compute on it."""
    if not DEVICE.fullmatch(device):
        raise ConfigError(f"device {device}: should be auto, cpu, cuda or cuda:N")
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return
    if not torch.cuda.is_available():
        raise PlatformError(f"device {device}: torch finds no GPU here; use --device cpu")
    if index and int(index) >= torch.cuda.device_count():
        raise PlatformError(f"device {device}: there are only {torch.cuda.device_count()} GPUs")
