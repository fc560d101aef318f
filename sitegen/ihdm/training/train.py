"""The trainer: from images to weights, resumable after a kill, with averaged weights.

Everything random of a step comes from (seed, step), so a resumed run makes the same weights as one
that was never stopped.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sitegen.core.errors import RefusedError, TargetError
from sitegen.ihdm.card.card import ModelCard
from sitegen.ihdm.nets.unet import UNet
from sitegen.ihdm.process.ddpm import DiffusionModel
from sitegen.ihdm.process.model import Model, Precision
from sitegen.ihdm.training.log import LOG_EVERY, LOG_NAME, Batch, Pace, Progress, Timer, TrainingLog
from sitegen.ihdm.training.loss import (
    draw_levels,
    image_statistics,
    level_density,
    loss_per_image,
)
from sitegen.ihdm.training.optimizers import Optimizers
from sitegen.ihdm.training.options import TrainingOptions
from sitegen.ihdm.training.state import damaged, read_state, write_state

STATE_NAME = "training.pt"
FIRST_SAVE_S = 10.0
"""When a session saves first, so that an early kill costs little."""
LARGEST_WEIGHT = 60_000.0
"""Weights are stored as float16, which ends at 65,504."""
REPORT_EVERY_S = 0.5


@dataclass(frozen=True)
class InitialWeights:
    """Weights of a network to start from: the name of their model, their digest, and they."""

    name: str
    sha256: str
    weights: Mapping[str, Tensor]


class Run:
    """The state of a training run in memory and on disk.

    `images` are uint8 (N, C, H, W); `folder` holds the state and the log. The first weights are
    those of `beginning`, or random.
    """

    def __init__(
        self,
        card: ModelCard,
        images: Tensor,
        options: TrainingOptions,
        folder: Path,
        device: str = "cpu",
        precision: Precision = "float32",
        beginning: InitialWeights | None = None,
    ) -> None:
        with _seeded(mixed_seed(options.seed), torch.device("cpu")):
            unet = UNet(card.unet, card.channels)
        if beginning is not None:
            unet.load_state_dict(beginning.weights)
        self.model = _model(card, unet, images, precision).to(device).train()
        self.images = images
        self.options = options
        self.folder = folder
        self.beginning = beginning
        self.parameters = dict(unet.named_parameters())
        self.ema = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimizers = Optimizers(self.parameters, options)
        self.step = 0
        self.log = TrainingLog(folder / LOG_NAME, card.levels)
        self._finite = torch.tensor(True, device=device)
        self._data = _fingerprint(images)
        self._density = level_density(card.levels, options.level_focus, options.focus_centre)

    @property
    def state_path(self) -> Path:
        """The file that a killed run resumes from."""
        return self.folder / STATE_NAME

    @property
    def _beginning(self) -> str | None:
        return None if self.beginning is None else self.beginning.sha256

    def weights(self) -> dict[str, Tensor]:
        """What a trained model is made of: the averaged weights and the data's statistics."""
        statistics = self.model.statistics
        extra = {} if statistics is None else statistics.tensors()
        return {**self.ema, **extra}

    def save(self) -> None:
        """Write the whole state, all or nothing. TargetError if it is not worth keeping."""
        self._require_finite()
        if any(float(value.abs().max()) > LARGEST_WEIGHT for value in self.ema.values()):
            raise self._diverged("a weight is beyond what a trained network has")
        state = {
            "step": self.step,
            "options": asdict(self.options),
            "card": self.model.card.digest,
            "data": self._data,
            "unet": self.model.unet.state_dict(),
            "ema": self.ema,
            "beginning": self._beginning,
            **self.optimizers.state(),
        }
        write_state(self.state_path, state)

    def restore(self) -> bool:
        """Continue from the saved state if there is one; tells whether there was.

        Raises RefusedError for a state that is damaged or belongs to another run.
        """
        state = read_state(self.state_path, self.model.device)
        if state is None:
            return False
        self._refuse_other(state)
        try:
            self.model.unet.load_state_dict(state["unet"])
            self.optimizers.restore(state)
            self.ema = {name: state["ema"][name] for name in self.parameters}
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise damaged(self.state_path, error) from error
        self.step = state["step"]
        return True

    def _refuse_other(self, state: dict[str, Any]) -> None:
        if state["card"] != self.model.card.digest:
            conflicts = ["it trains another model (size, levels, blur or network differ)"]
        else:
            conflicts = self.options.conflicts(state["options"], state["step"])
        if state.get("data", self._data) != self._data:
            conflicts.append("it trains on other images")
        if state.get("beginning") != self._beginning:
            conflicts.append("it began from other weights")
        if conflicts:
            raise RefusedError(
                f"{self.state_path}: belongs to another run: {'; '.join(conflicts)}. Ask for the "
                "same to go on with it, choose another folder, or delete this one"
            )

    def advance(self) -> Batch:
        """One optimizer step; gives the levels (N,) and losses (N,) of its batch."""
        options = self.options
        seed = mixed_seed(options.seed, self.step)
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randint(len(self.images), (options.batch_size,), generator=generator)
        levels = draw_levels(options.batch_size, self._density, generator)
        images = self.images[chosen].float() / 255
        noise = torch.randn(images.shape, generator=generator)
        device = self.model.device
        with _seeded(seed, device):  # dropout draws from the generator of the whole process
            losses = loss_per_image(
                self.model, images.to(device), levels.to(device), noise.to(device)
            )
        self._descend(losses.mean())
        return levels, losses.detach()

    def _descend(self, loss: Tensor) -> None:
        self.model.unet.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(
            self.model.unet.parameters(), self.options.gradient_clip
        )
        self._finite &= norm.isfinite()
        self.optimizers.step(self.step)
        with torch.no_grad():
            current: list[Tensor] = [self.parameters[name] for name in self.ema]
            share = self.options.ema_share(self.step)
            torch._foreach_lerp_(list(self.ema.values()), current, 1 - share)
        self.step += 1

    def advance_to_end(
        self, report: Callable[[Progress], None], stop: Callable[[], bool] = lambda: False
    ) -> bool:
        """Take all steps that are left, saving now and then, and at the end.

        Tells whether it came to the end; it saves and leaves after a step when `stop()` is true.
        Raises TargetError when the loss is lost, PlatformError when the disk fails.
        """
        self.log.cut(self.step)
        recent: deque[Batch] = deque(maxlen=LOG_EVERY)
        pace = Pace(self.step, self.options)
        save_due = Timer(self.options.save_every_s, FIRST_SAVE_S)
        report_due = Timer(REPORT_EVERY_S)
        while self.step < self.options.steps and not stop():
            recent.append(self.advance())
            at_end = self.step == self.options.steps
            if at_end or self.step % LOG_EVERY == 0:
                self.log.write(self.step, recent)
            if at_end or report_due():
                self._require_finite()
                report(pace.progress(self.step, recent))
            if not at_end and save_due():
                self.save()
        self.save()
        return self.step >= self.options.steps

    def _require_finite(self) -> None:
        if not bool(self._finite):
            raise self._diverged("a gradient is not finite")

    def _diverged(self, how: str) -> TargetError:
        return TargetError(
            f"training diverged before step {self.step}: {how}; begin anew in another folder with "
            "a lower learning rate"
        )


def _model(
    card: ModelCard, unet: UNet, images: Tensor, precision: Precision
) -> Model | DiffusionModel:
    if card.kind == "ddpm":
        return DiffusionModel(card, unet, precision)
    preconditioned = card.parameterization == "preconditioned"
    return Model(card, unet, image_statistics(images) if preconditioned else None, precision)


def mixed_seed(*numbers: int) -> int:
    """A seed out of numbers that may be of any size; torch on a CPU uses 32 bits of a seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's own generators for a block, and give them back as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def _fingerprint(images: Tensor) -> str:
    """SHA-256 of the images and their shape."""
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    digest.update(images.contiguous().numpy().data)
    return digest.hexdigest()
