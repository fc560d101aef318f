"""Models of the site, loaded on a device, and the trajectories of their samples.

With what imports it one of the few modules that need torch.
"""

from __future__ import annotations

import ctypes
import math
import re
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor

from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import ConfigError, RefusedError, TargetError
from sitegen.core.files import digest_bytes, sha256
from sitegen.generative.card.card import ModelCard
from sitegen.generative.checkpoints.archive import checkpoint_digest
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.prior import Prior, read_prior
from sitegen.generative.engines.choice import bytes_of, choose_engines
from sitegen.generative.engines.chunks import CORES, on_one_thread
from sitegen.generative.engines.memory import memory_errors
from sitegen.generative.process.ddpm import DiffusionModel, initial_noise
from sitegen.generative.process.model import Model, require_device
from sitegen.generative.process.noise import NoiseSource, independent, sample_at
from sitegen.generative.process.reverse import Step
from sitegen.models.registry import ModelSource
from sitegen.sampling.shards import (
    Ancestral,
    Descent,
    Heat,
    Implicit,
    Keep,
    Place,
    Seen,
    Way,
    bytes_of_all,
    here,
)
from sitegen.sampling.sharing import Sharing

PIXELS_AT_ONCE = 40 * 28 * 28
"""How many pixels a model sees at a time; its engines may take fewer of them at a time."""
FEWEST = 8
"""How many images it sees however large they are, so that several cores have their share."""
FAR = 3.0
"""How far outside of [0, 1] a channel that is there on average has nothing to do with images.

Trained models end within 0.1; untrained ones, of tests and of the recorded reference, within 2.4.
Single pixels of those lie as far outside as -14, so nothing is asked of them.
"""
KEPT = 512 << 20
"""Bytes of freed memory that may lie unused before they are handed back."""

_HEAD = re.compile(r"(^|\.)(out\.2|conv_out)\.weight$")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST_BLOCK = 32 << 20  # as far as the C library goes by itself

AnyModel = TypeVar("AnyModel", Model, DiffusionModel)
AnySampler = TypeVar("AnySampler")


@dataclass(frozen=True)
class HeatSampler:
    """A loaded model with its prior; `name` stands before what is wrong with its pictures.

    place: where its samples are computed; with this model if not given
    sharing: what keeps trajectories that others ask for, too
    """

    model: Model
    prior: Prior
    name: str = "the model"
    place: Place | None = None
    sharing: Sharing | None = None

    def initial_states(self, seed: int, samples: Sequence[int]) -> Tensor:
        """u_K (N, C, H, W) of some samples, on the model's device."""
        return self.prior.initial_states(seed, samples).to(self.model.device)

    def begin(self, seed: int, samples: Sequence[int], noise_std: float | None) -> Trajectory:
        """The initial states of some samples, and their way down."""
        noise = independent(seed, samples, self.model.card.shape, self.model.device)
        start = _Start(partial(self.initial_states, seed, samples), len(samples), noise)
        return _trajectory(self, Heat(noise_std), start, (seed, *samples))

    def trajectory(
        self, u_K: Tensor, noise: NoiseSource, noise_std: float | None = None
    ) -> Trajectory:
        """The way down from `u_K` (N, C, H, W) with that noise; δ is the card's if not given."""
        return _trajectory(self, Heat(noise_std), *_from(u_K, noise))


@dataclass(frozen=True)
class DdpmSampler:
    """A loaded DDPM, whose trajectories are in [0, 1] pixel units like those of other models."""

    model: DiffusionModel
    name: str = "the model"
    place: Place | None = None
    sharing: Sharing | None = None

    def initial_noise(self, seed: int, samples: Sequence[int]) -> Tensor:
        """x_K (N, C, H, W) of some samples, standard normal, on the model's device."""
        return initial_noise(seed, samples, self.model.card.shape).to(self.model.device)

    def begin(
        self, seed: int, samples: Sequence[int], _noise_std: float | None = None
    ) -> Trajectory:
        """The noise of some samples, and their way down; a DDPM has no δ to choose."""
        noise = independent(seed, samples, self.model.card.shape, self.model.device)
        start = _Start(partial(self.initial_noise, seed, samples), len(samples), noise)
        return _trajectory(self, Ancestral(), start, (seed, *samples))

    def ddpm(self, x_K: Tensor, noise: NoiseSource) -> Trajectory:
        """The way down from `x_K` (N, C, H, W) by ancestral sampling, as the card says."""
        return _trajectory(self, Ancestral(), *_from(x_K, noise))

    def ddim(self, x_K: Tensor, steps: int) -> Trajectory:
        """The deterministic way down from `x_K` (N, C, H, W) in that many steps."""
        return _trajectory(self, Implicit(steps), *_from(x_K, None))


@dataclass(frozen=True)
class _Start:
    """Initial states that are made when they are wanted, how many there are, and their noise."""

    states: Callable[[], Tensor]
    count: int
    noise: NoiseSource | None


def _from(states: Tensor, noise: NoiseSource | None) -> tuple[_Start, Hashable]:
    """States (N, C, H, W) that are there, and what is equal where they are."""
    equal = digest_bytes(states.cpu().numpy().tobytes())
    return _Start(lambda: states, len(states), noise), equal


def _trajectory(
    sampler: HeatSampler | DdpmSampler, way: Way, start: _Start, equal: Hashable
) -> Trajectory:
    """The way down from there; `equal` is equal for equal initial states."""
    model: Any = sampler.model
    card, place = model.card, sampler.place or here(in_chunks(model))

    def u_K() -> Tensor:
        return way.pixels(start.states())

    def alone(keep: Keep) -> Iterator[Seen]:
        shards = Descent(way, start.states(), start.noise).shards(_chunk(card.shape))
        yield from _of_pictures(sampler.name, start.noise, place(shards, keep))

    begin: Callable[[Keep], Iterator[Seen]] = alone
    if sampler.sharing is not None:
        size = bytes_of_all(way, card, start.count, start.noise)
        begin = sampler.sharing.asked((sampler.name, way, start.noise, equal), size, alone)
    return Trajectory(card.levels, u_K, begin)


@dataclass(frozen=True)
class Trajectory:
    """A reverse process about to run: the flattest level, its states, and what runs it.

    start: makes the states (N, C, H, W), which are not kept until they are wanted
    begin: gives of each level below what is wanted, in [0, 1] pixel units
    """

    levels: int
    start: Callable[[], Tensor]
    begin: Callable[[Keep], Iterator[Seen]]

    @property
    def u_K(self) -> Tensor:
        """The states of the flattest level, made now."""
        return self.start()

    @property
    def steps(self) -> Iterator[Step]:
        """All steps, from the first."""
        return (Step(level, *both) for level, both in self.begin("steps"))

    def seen(self, show: Literal["state", "mean"]) -> Iterator[tuple[int, Tensor]]:
        """The levels below K, and the states or means (N, C, H, W) there; last it is the mean."""
        return ((level, images) for level, (images,) in self.begin(show))

    def ends(self) -> Iterator[Tensor | None]:
        """Nothing for each step but the last, and then the finished images (N, C, H, W)."""
        return (kept[0] if kept else None for _, kept in self.begin("last"))


class ModelProvider:
    """Where a kind's sampler gets its models from: `sources`, each loaded once, on one device.

    Raises PlatformError when the device is not there.
    """

    def __init__(self, sources: Mapping[str, ModelSource], compute_target: ComputeTarget) -> None:
        require_device(compute_target.device)
        keep_freed_memory()
        self._sources, self.compute_target = sources, compute_target
        self._samplers: dict[tuple[object, str], object] = {}
        self._sharing = Sharing()
        self._loading = threading.Lock()

    def heat_sampler(self, name: str) -> HeatSampler:
        """The model of that name, loaded now or before. Raises as `load_heat_sampler` does."""
        return self._loaded(name, self._heat_sampler)

    def ddpm_sampler(self, name: str) -> DdpmSampler:
        """The DDPM of that name, likewise."""
        return self._loaded(name, self._ddpm_sampler)

    def sampler(self, name: str) -> HeatSampler | DdpmSampler:
        """The model of that name, of either kind."""
        is_ddpm = self._sources[name].card.kind == "ddpm"
        return self.ddpm_sampler(name) if is_ddpm else self.heat_sampler(name)

    def source(self, name: str) -> ModelSource:
        """The files of the model of that name."""
        return self._sources[name]

    def pace(self, name: str) -> float:
        """Seconds that a model takes for one image at one level, measured now."""
        return seconds_an_image(self.sampler(name).model)

    def close(self) -> None:
        """Nothing more will be asked for."""

    def _heat_sampler(self, source: ModelSource) -> HeatSampler:
        return load_heat_sampler(source, self.compute_target)

    def _ddpm_sampler(self, source: ModelSource) -> DdpmSampler:
        return load_ddpm_sampler(source, self.compute_target)

    def _loaded(self, name: str, load: Callable[[ModelSource], AnySampler]) -> AnySampler:
        with self._loading:
            if (load, name) not in self._samplers:
                sampler: Any = load(self._sources[name])
                self._samplers[load, name] = replace(sampler, sharing=self._sharing)
            return cast(AnySampler, self._samplers[load, name])


def load_heat_sampler(
    source: ModelSource,
    compute_target: ComputeTarget,
    prior: Prior | None = None,
    *,
    engines: bool = True,
) -> HeatSampler:
    """Load a model with its own prior, or with the one given; `engines` as in `load_network`.

    Raises RefusedError when there is no prior to start from, or a file is missing, damaged or
    changes while it is read; PlatformError for a device that is not there.
    """
    model = _load(source, compute_target, Model, engines=engines)
    if prior is None:
        source.require_usable()
        assert source.prior is not None
        prior = read_prior(source.prior, source.card)
        _refuse_change(source.prior, sha256(source.prior), source.prior_sha256)
    return HeatSampler(model, prior, source.name)


def load_ddpm_sampler(
    source: ModelSource, compute_target: ComputeTarget, *, engines: bool = True
) -> DdpmSampler:
    """Load a DDPM. Raises as `load_heat_sampler` does; it needs no prior."""
    return DdpmSampler(_load(source, compute_target, DiffusionModel, engines=engines), source.name)


def load_network(
    source: ModelSource, compute_target: ComputeTarget, *, engines: bool = True
) -> Model | DiffusionModel:
    """Load the network of a model, with the fastest engines for it unless others will evaluate it.

    Raises RefusedError for weights that are missing or damaged, change while they are read or were
    never trained; PlatformError for a device that is not there, or too little memory.
    """
    require_device(compute_target.device)
    known = source.weights_sha256
    with memory_errors(f"loading {source.name}"):
        model: Model | DiffusionModel = load_model(
            source.weights, source.card, compute_target.device, compute_target.precision
        )
        if engines:
            choose_engines(model)
    _refuse_change(source.weights, checkpoint_digest(source.weights), known)
    if not any(bool(part.any()) for name, part in model.named_parameters() if _HEAD.search(name)):
        raise RefusedError(
            f"{source.name}: {source.weights}: the weights of the last layer are all zero, so it "
            "was never trained; give the checkpoint of a trained model"
        )
    return model


def _load(
    source: ModelSource, compute_target: ComputeTarget, kind: type[AnyModel], *, engines: bool
) -> AnyModel:
    if source.card.kind != ("ihdm" if kind is Model else "ddpm"):
        wanted = "ihdm" if kind is Model else "ddpm"
        raise ConfigError(
            f'the model {source.name} is of kind "{source.card.kind}", and this needs "{wanted}"'
        )
    return cast(AnyModel, load_network(source, compute_target, engines=engines))


def _of_pictures(name: str, noise: NoiseSource | None, levels: Iterator[Seen]) -> Iterator[Seen]:
    """The same levels; TargetError, with the model and the sample, for what is no picture."""
    try:
        for level, kept in levels:
            if level == 0:
                _require_pictures(kept[-1], noise)
            yield level, kept
    except TargetError as error:
        raise TargetError(f"{name}: {error}") from error


def _require_pictures(mean: Tensor, noise: NoiseSource | None) -> None:
    """Raise TargetError for means (N, C, H, W) with a channel far from images, or all flat.

    A single flat image may be what the model has learned. `noise` tells which samples these are.
    """
    channels = mean.flatten(2)
    (low, high), middle = channels.aminmax(dim=2), channels.mean(2)
    far = ((middle < -FAR) | (middle > 1 + FAR)).nonzero()
    if len(far):
        sample, channel = far[0].tolist()
        where = f" in channel {channel + 1} of {mean.shape[1]}" if mean.shape[1] > 1 else ""
        average = f"{middle[sample, channel]:.3g} on average{where}"
        fault = f"{sample_at(noise, sample)} is {average}, and pixels belong in [0, 1]"
    elif len(mean) > 1 and bool(((low >= 1) | (high <= 0) | (low == high)).all()):
        flat = ", ".join(f"{value:.3g}" for value in low[0].clamp(0, 1).tolist())
        of = "one value" if mean.shape[1] == 1 else "one value in each channel"
        fault = f"{sample_at(noise, 0)} and all others are of {of}, {flat}"
    else:
        return
    raise TargetError(
        f"sampling ended at level 0 in what is no picture: {fault}; check that the card fits the "
        "weights, and that they are of a trained model"
    )


def _refuse_change(path: Path, found: str, known: str | None) -> None:
    """What was read must be what the figure's key says; untouched, it is not read again."""
    if found != known:
        raise RefusedError(f"{path}: changed while it was read; try again when it is finished")


def seconds_an_image(model: Model | DiffusionModel) -> float:
    """What the networks take for one image at one level, on average over the levels.

    Measured with as many images as rendering has at a time, or if they are large one a core.
    """
    left, lowest = (
        model.card.visited_levels[:-1],
        [band.lowest_level for band in model.card.networks],
    )
    bands = [bisect_right(lowest, level) for level in left]
    seconds = {band: _seconds_at(model, left[bands.index(band)]) for band in {*bands}}
    return sum(seconds[band] for band in bands) / len(bands)


@torch.inference_mode()
def _seconds_at(model: Model | DiffusionModel, level: int) -> float:
    _, height, width = model.card.shape
    size = max(CORES, PIXELS_AT_ONCE // (height * width))  # fewer than `FEWEST` would be, if large
    states = torch.zeros(size, *model.card.shape, device=model.device)
    seconds = math.inf
    for _ in range(3):
        started = time.perf_counter()
        model(states, level).cpu()  # which waits for the device
        seconds = min(seconds, time.perf_counter() - started)
    return seconds / size


def in_chunks(model: AnyModel) -> AnyModel:
    """The same model, seeing a fixed number of pixels at a time."""
    return cast(AnyModel, _InChunks(model, _chunk(model.card.shape), _needed(model.card)))


def _needed(card: ModelCard) -> str:
    """What memory one image needs, in words; nothing of networks of which that is not known."""
    whole = card.image_size
    found = [bytes_of(band.unet, band.side or whole) for band in card.networks if band.unet]
    return f" (an image of {whole} pixels needs about {max(found) / 1e6:.3g} MB)" if found else ""


def _chunk(shape: tuple[int, int, int]) -> int:
    """How many images of a shape (C, H, W) the network sees at a time."""
    return max(FEWEST, PIXELS_AT_ONCE // (shape[1] * shape[2]))


@dataclass(frozen=True)
class _InChunks:
    model: Model | DiffusionModel
    size: int
    needed: str

    @property
    def card(self) -> Any:
        return self.model.card

    def noise_std(self, level: int, below: int, delta: float) -> float | Tensor:
        return self.model.noise_std(level, below, delta) if isinstance(self.model, Model) else delta

    def __call__(self, u: Tensor, level: int, below: int | None = None) -> Tensor:
        with memory_errors(f"computing level {level}{self.needed}"), on_one_thread():
            jump = () if below is None else (below,)  # a DDPM knows none
            parts = [self.model(part, level, *jump) for part in u.split(self.size)]  # type: ignore[no-untyped-call]
            return torch.cat(parts)


def keep_freed_memory() -> bool:
    """Keep up to `KEPT` bytes of freed memory for the next use, for as long as the process runs.

    A network's activations are freed and asked for again all the time. The C library hands such
    memory back to the system after each use, and the system clears every page of it before the
    next: about a tenth of the time that sampling takes. Returns whether it could be told to wait;
    there is no such thing outside of the GNU C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)) and bool(mallopt(_TRIM_THRESHOLD, KEPT))
