"""Models ready to act: loaded on a device, with the prior that their samples start from.

With what imports it one of the few rooms that need torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from sitegen.errors import ConfigError, PlatformError, RefusedError
from sitegen.ihdm.checkpoint import load_model
from sitegen.ihdm.inputs import sha256
from sitegen.ihdm.model import Model
from sitegen.ihdm.noise import NoiseSource, independent
from sitegen.ihdm.prior import Prior, read_prior
from sitegen.ihdm.reverse import Step, reverse_process
from sitegen.models import ModelSource
from sitegen.plan import DEVICE, Equipment

PIXELS_AT_ONCE = 40 * 28 * 28
"""How many pixels the network sees at a time; fixed, so that pictures do not depend on memory."""


@dataclass(frozen=True)
class Actor:
    """A loaded model with its prior."""

    model: Model
    prior: Prior

    def initial_states(self, seed: int, samples: Sequence[int]) -> Tensor:
        """u_K (N, C, H, W) of some samples, on the model's device."""
        return self.prior.initial_states(seed, samples).to(self.model.device)

    def begin(self, seed: int, samples: Sequence[int], noise_std: float | None) -> Take:
        """The initial states of some samples, and their way down."""
        noise = independent(seed, samples, self.model.card.shape, self.model.device)
        return self.take(self.initial_states(seed, samples), noise, noise_std)

    def take(self, u_K: Tensor, noise: NoiseSource, noise_std: float | None = None) -> Take:
        """The way down from `u_K` (N, C, H, W) with that noise; δ is the card's if not given."""
        steps = reverse_process(in_chunks(self.model), u_K, noise, noise_std)
        return Take(self.model.card.levels, u_K, steps)


@dataclass(frozen=True)
class Take:
    """A reverse process about to run: the flattest level, its states, and the steps below."""

    levels: int
    u_K: Tensor
    steps: Iterator[Step]


class Cast(Protocol):
    """Where a shot gets its models from."""

    def actor(self, name: str) -> Actor:
        """The model of that name, loaded now or before."""


def load_actor(source: ModelSource, equipment: Equipment, prior: Prior | None = None) -> Actor:
    """Load a model with its own prior, or with the one given.

    Raises RefusedError when there is no prior to start from, or a file is missing, damaged or
    changes while it is read; PlatformError for a device that is not there.
    """
    require_device(equipment.device)
    model = _load(source, equipment)
    if prior is not None:
        return Actor(model, prior)
    source.require_usable()
    assert source.prior is not None
    prior = read_prior(source.prior, source.card)
    _refuse_change(source.prior, source.prior_sha256)
    return Actor(model, prior)


def _load(source: ModelSource, equipment: Equipment) -> Model:
    known = source.weights_sha256
    with memory_errors(f"loading {source.name}"):
        model = load_model(source.weights, source.card, equipment.device, equipment.precision)
    _refuse_change(source.weights, known)
    return model


def _refuse_change(path: Path, known: str | None) -> None:
    """What was read must be what the figure's key says."""
    if sha256(path) != known:
        raise RefusedError(f"{path}: changed while it was read; try again when it is finished")


def require_device(device: str) -> None:
    """Raise ConfigError unless `device` is one, PlatformError unless torch can compute on it."""
    if not DEVICE.fullmatch(device):
        raise ConfigError(f"device {device}: there is auto, cpu, cuda and cuda:N")
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return
    if not torch.cuda.is_available():
        raise PlatformError(f"device {device}: torch finds no GPU here; use --device cpu")
    if index and int(index) >= torch.cuda.device_count():
        raise PlatformError(f"device {device}: there are only {torch.cuda.device_count()} GPUs")


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turn torch's ways to say that memory is full into a PlatformError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        full = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not full and "not enough memory" not in str(error):
            raise
        raise PlatformError(
            f"out of memory while {doing}; close other programs, or ask for fewer samples"
        ) from error


def in_chunks(model: Model) -> Model:
    """The same model, seeing a fixed number of pixels at a time."""
    _, height, width = model.card.shape
    size = max(1, PIXELS_AT_ONCE // (height * width))
    return cast(Model, _InChunks(model, size))


@dataclass(frozen=True)
class _InChunks:
    model: Model
    size: int

    @property
    def card(self) -> Any:
        return self.model.card

    def __call__(self, u: Tensor, level: int) -> Tensor:
        with memory_errors(f"computing level {level}"):
            parts = [self.model(part, level) for part in u.split(self.size)]  # type: ignore[no-untyped-call]
            return torch.cat(parts)
