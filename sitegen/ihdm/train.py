"""The trainer: from images to weights, resumable after a kill, with averaged weights.

Everything random of a step comes from (seed, step), so a resumed run makes the same weights as one
that was never stopped.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sitegen.errors import ConfigError, RefusedError, TargetError
from sitegen.ihdm.card import ModelCard
from sitegen.ihdm.heat import dct2, dissipate
from sitegen.ihdm.model import Model, Precision, Statistics, linear_estimate
from sitegen.ihdm.unet import UNet

STATE_NAME = "training.pt"
LOG_NAME = "log.jsonl"
LOG_EVERY = 50


@dataclass(frozen=True)
class TrainingOptions:
    """What a run does beside its model card; recorded in the card as the recipe.

    The learning rate rises over `warmup_steps`, stays, and falls linearly to 0 over the last
    `decay_share` of the steps. `level_focus` adds that much probability density, relative to the
    uniform one, around the middle levels, where shape is decided; 0 is uniform as published.
    """

    images: int = 1_000_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 300
    decay_share: float = 0.3
    ema_decay: float = 0.9995
    gradient_clip: float = 1.0
    level_focus: float = 1.0
    seed: int = 0
    save_every_s: float = 120.0

    def __post_init__(self) -> None:
        if self.images < self.batch_size or self.batch_size < 1:
            raise ConfigError(
                f"training: {self.images} images in batches of {self.batch_size} make no step"
            )
        if not 0 <= self.decay_share <= 1 or not 0 <= self.ema_decay < 1:
            raise ConfigError("training: decay_share and ema_decay must lie between 0 and 1")

    @property
    def steps(self) -> int:
        """How many optimizer steps the run takes."""
        return self.images // self.batch_size

    def rate(self, step: int) -> float:
        """Learning rate of a step, 0 … steps − 1."""
        rise = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        decay_steps = self.decay_share * self.steps
        fall = min(1.0, (self.steps - step) / decay_steps) if decay_steps else 1.0
        return self.learning_rate * rise * fall


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for whoever shows it."""

    step: int
    steps: int
    loss: float
    images_per_second: float

    @property
    def seconds_left(self) -> float:
        """From the speed of this session."""
        return (self.steps - self.step) / max(self.images_per_second, 1e-9)


def image_statistics(images: Tensor, chunk: int = 4096) -> Statistics:
    """Mean and variance (C, H, W) of the cosine coefficients of uint8 images (N, C, H, W)."""
    total = torch.zeros(images.shape[1:], dtype=torch.float64)
    square = torch.zeros_like(total)
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        coefficients = dct2(part.double() / 255)
        total += coefficients.sum(0)
        square += coefficients.square().sum(0)
    mean = total / len(images)
    variance = (square / len(images) - mean.square()).clamp_min(1e-10)
    return Statistics(mean.float(), variance.float())


def draw_levels(count: int, levels: int, focus: float, generator: torch.Generator) -> Tensor:
    """Levels (count,) from 1 … K inclusive, stratified: each batch covers the whole range."""
    k = torch.arange(1, levels + 1, dtype=torch.float64)
    bump = torch.exp(-0.5 * ((k / levels - 0.48) / 0.18) ** 2)
    cumulative = (1 + focus * bump).cumsum(0)
    places = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    drawn = torch.searchsorted(cumulative, places.double() * cumulative[-1], right=True) + 1
    return drawn.clamp_max(levels)[torch.randperm(count, generator=generator)]


def loss_per_image(model: Model, images: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
    """Squared error (N,) of the predicted mean of u_{k−1}, summed over pixels.

    `images` (N, C, H, W) in [0, 1], `levels` k (N,), `noise` standard normal. As published for the
    "difference" parameterization; for "preconditioned" divided by Σ A_{k−1}² R_k, the error of the
    linear estimate, so that every level counts the same.
    """
    card = model.card
    u = dissipate(images, model.sigmas[levels]) + card.training_noise_std * noise
    target = dissipate(images, model.sigmas[levels - 1])
    error: Tensor = (model(u, levels) - target).square().sum((1, 2, 3))
    if model.statistics is None:
        return error
    _, unknown = linear_estimate(
        model.statistics, model.attenuation(levels), card.training_noise_std
    )
    scale: Tensor = (model.attenuation(levels - 1) ** 2 * unknown).sum((1, 2, 3))
    return error / scale


class Run:
    """The state of a training run in memory and on disk."""

    def __init__(
        self,
        card: ModelCard,
        images: Tensor,
        options: TrainingOptions,
        folder: Path,
        device: str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        torch.manual_seed(options.seed)
        preconditioned = card.parameterization == "preconditioned"
        statistics = image_statistics(images) if preconditioned else None
        unet = UNet(card.unet, card.channels)
        self.model = Model(card, unet, statistics, precision).to(device).train()
        self.images = images
        self.options = options
        self.folder = folder
        self.parameters = dict(unet.named_parameters())
        self.ema = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimizer = torch.optim.Adam(unet.parameters(), options.learning_rate, fused=True)
        self.step = 0

    @property
    def state_path(self) -> Path:
        """The file that a killed run resumes from."""
        return self.folder / STATE_NAME

    def weights(self) -> dict[str, Tensor]:
        """What a trained model is made of: the averaged weights and the data's statistics."""
        statistics = self.model.statistics
        extra = {} if statistics is None else statistics.tensors()
        return {**self.ema, **extra}

    def save(self) -> None:
        """Write the whole state, all or nothing."""
        state = {
            "step": self.step,
            "options": asdict(self.options),
            "card": self.model.card.digest,
            "unet": self.model.unet.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
        }
        temporary = self.state_path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.state_path)

    def restore(self) -> bool:
        """Continue from the saved state if there is one; tells whether there was."""
        if not self.state_path.exists():
            return False
        try:
            state: dict[str, Any] = torch.load(
                self.state_path, map_location=self.model.device, weights_only=True
            )
        except (RuntimeError, EOFError, OSError, ValueError) as error:
            raise RefusedError(
                f"{self.state_path}: the saved training state is damaged ({error}); "
                "delete it to start anew"
            ) from error
        if state["card"] != self.model.card.digest:
            raise RefusedError(
                f"{self.state_path}: belongs to a run with another model card; "
                "choose another folder or delete it"
            )
        self.model.unet.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema = state["ema"]
        self.step = state["step"]
        return True

    def advance(self) -> tuple[Tensor, Tensor]:
        """One optimizer step; gives the levels (N,) and losses (N,) of its batch."""
        options = self.options
        generator = torch.Generator().manual_seed((options.seed << 32) + self.step)
        chosen = torch.randint(len(self.images), (options.batch_size,), generator=generator)
        levels = draw_levels(
            options.batch_size, self.model.card.levels, options.level_focus, generator
        )
        images = self.images[chosen].float() / 255
        noise = torch.randn(images.shape, generator=generator)
        device = self.model.device
        losses = loss_per_image(self.model, images.to(device), levels.to(device), noise.to(device))
        self._descend(losses.mean())
        return levels, losses.detach()

    def _descend(self, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate(self.step)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.unet.parameters(), self.options.gradient_clip)
        self.optimizer.step()
        self.step += 1
        decay = min(self.options.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            current: list[Tensor] = [self.parameters[name] for name in self.ema]
            torch._foreach_lerp_(list(self.ema.values()), current, 1 - decay)

    def advance_to_end(self, report: Callable[[Progress], None]) -> None:
        """Take all steps that are left, saving now and then; TargetError when the loss is lost."""
        started, saved, first = time.monotonic(), time.monotonic(), self.step
        recent: list[tuple[Tensor, Tensor]] = []
        while self.step < self.options.steps:
            recent.append(self.advance())
            if self.step % LOG_EVERY and self.step < self.options.steps:
                continue
            loss = float(torch.cat([losses for _, losses in recent]).mean())
            if not math.isfinite(loss):
                raise TargetError(
                    f"training diverged at step {self.step}: the loss is {loss}; "
                    "try a lower --learning-rate"
                )
            speed = (self.step - first) * self.options.batch_size
            speed_s = speed / max(time.monotonic() - started, 1e-9)
            self._log(recent, loss)
            report(Progress(self.step, self.options.steps, loss, speed_s))
            recent = []
            if time.monotonic() - saved > self.options.save_every_s:
                self.save()
                saved = time.monotonic()
        self.save()

    def _log(self, recent: list[tuple[Tensor, Tensor]], loss: float) -> None:
        levels = torch.cat([part for part, _ in recent])
        losses = torch.cat([part for _, part in recent]).cpu()
        record = {"step": self.step, "loss": round(loss, 6), "by_level": {}}
        for low, high in _bands(self.model.card.levels):
            chosen = losses[(levels >= low) & (levels <= high)]
            if len(chosen):
                record["by_level"][f"{low}-{high}"] = round(float(chosen.mean()), 6)  # type: ignore[index]
        with (self.folder / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")


def _bands(levels: int, count: int = 10) -> Iterator[tuple[int, int]]:
    edges = [round(levels * i / count) for i in range(count + 1)]
    for low, high in itertools.pairwise(edges):
        if high > low:
            yield low + 1, high
