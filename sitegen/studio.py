"""The bridge to the model: a figure becomes a stream of frames.

With `sampling`, `priors` and `training` the only room of the site that needs torch. States stream
through it a level at a time, so memory does not grow with the number of levels; the network sees a
few samples at a time, so it hardly grows with the number of samples either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sitegen.encode import ClipSpec
from sitegen.errors import ConfigError, PlatformError, RefusedError
from sitegen.figures import Figure, Trajectories, spec_json
from sitegen.frames import Colour, grid, scale_factor, to_uint8
from sitegen.ihdm.checkpoint import load_model
from sitegen.ihdm.inputs import sha256
from sitegen.ihdm.model import Model
from sitegen.ihdm.noise import independent
from sitegen.ihdm.prior import Prior, read_prior
from sitegen.ihdm.reverse import Step, reverse_process
from sitegen.models import ModelSource
from sitegen.plan import DEVICE, Equipment, Shot

BACKGROUND: Colour = (32, 36, 48)
PIXELS_AT_ONCE = 40 * 28 * 28
"""How many pixels the network sees at a time; fixed, so that pictures do not depend on memory."""


@dataclass(frozen=True)
class Actor:
    """A loaded model with its prior."""

    model: Model
    prior: Prior

    def begin(self, seed: int, samples: Sequence[int], noise_std: float | None) -> Take:
        """The initial states of some samples, and their way down."""
        card = self.model.card
        u_K = self.prior.initial_states(seed, samples).to(self.model.device)
        noise = independent(seed, samples, card.shape, self.model.device)
        steps = reverse_process(in_chunks(self.model), u_K, noise, noise_std)
        return Take(card.levels, u_K, steps)


@dataclass(frozen=True)
class Take:
    """A reverse process about to run: the flattest level, its states, and the steps below."""

    levels: int
    u_K: Tensor
    steps: Iterator[Step]


class Studio:
    """Films figures of the models `sources`, each loaded once, on one device.

    Raises PlatformError when the device is not there.
    """

    def __init__(self, sources: Mapping[str, ModelSource], equipment: Equipment) -> None:
        require_device(equipment.device)
        self._sources = sources
        self._equipment = equipment
        self._actors: dict[str, Actor] = {}
        self._loading = threading.Lock()

    def shoot(self, figure: Figure) -> Shot:
        """Prepare a figure; its frames are made as they are taken.

        Raises RefusedError for weights or priors that are missing, damaged or do not fit.
        """
        return SHOTS[figure.kind](self, figure)

    def actor(self, name: str) -> Actor:
        """The model of that name, loaded now or before."""
        with self._loading:
            if name not in self._actors:
                self._actors[name] = load_actor(self._sources[name], self._equipment)
            return self._actors[name]


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
    return cast(Model, model)


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


def _trajectories(studio: Studio, figure: Figure) -> Shot:
    spec = cast(Trajectories, figure.spec)
    actor = studio.actor(spec.model)
    card = actor.model.card
    noise_std = card.sampling_noise_std
    if spec.sampling_noise_std is not None:
        noise_std = spec.sampling_noise_std
    columns = cast(int, spec.columns)
    fps = spec.fps or default_fps(card.levels)
    take = actor.begin(spec.seed, range(spec.count), noise_std)
    rows = -(-spec.count // columns)
    clip = clip_spec(columns * card.image_size, rows * card.image_size, card.image_size, fps)
    parameters = {**spec_json(figure), "sampling_noise_std": noise_std, "fps": fps}
    return Shot(
        levels=tuple(range(card.levels, -1, -1)),
        clip=clip,
        parameters=parameters,
        frames=(grid(to_uint8(u), columns, BACKGROUND) for u in displayed(take, spec.show)),
    )


SHOTS: Mapping[str, Callable[[Studio, Figure], Shot]] = {"trajectories": _trajectories}


def displayed(take: Take, show: str) -> Iterator[NDArray[np.float32]]:
    """What is seen of each level K … 0 (N, C, H, W): states or means, and last always the mean."""
    yield take.u_K.cpu().numpy()
    for step in take.steps:
        seen = step.mean if show == "mean" or step.level == 0 else step.state
        yield seen.cpu().numpy()


def default_fps(levels: int) -> float:
    """Frames a second: a clip lasts about five seconds, where 24 to 60 of them allow it."""
    return min(60.0, max(24.0, float(round(levels / 5))))


def clip_spec(width: int, height: int, image_size: int, fps: float) -> ClipSpec:
    """How a clip of that native size, in pixels, is encoded (quality by the size of its images)."""
    crf = 18 if image_size <= 64 else 20
    return ClipSpec(fps, crf, scale_factor(width, height), BACKGROUND)
