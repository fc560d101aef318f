"""Models of the site, loaded on a device, and the trajectories of their samples.

This module and those that import it are among the few that need torch.
"""

from __future__ import annotations

import ctypes
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import RefusedError, TargetError
from sitegen.core.files import sha256
from sitegen.generative.card.labels import Condition
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.prior import Prior, read_prior
from sitegen.generative.engine import choose_engines, memory_errors
from sitegen.generative.maths.heat import spectrum, spectrum_of
from sitegen.generative.maths.noise import (
    Branching,
    Independent,
    Interpolated,
    Noise,
    Shape,
    sample_at,
)
from sitegen.generative.process.base import ProcessCard
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.model import CardModel, require_device
from sitegen.generative.process.protocol import GenerativeProcess, Step, process_of, renoised_tree
from sitegen.models.registry import ModelSource
from sitegen.sampling.trajectory import Images, Part, Paths, Shown, each_level, parts, trajectory

Executor = Callable[
    [GenerativeProcess, Tensor, "Noise | None", Shown], Iterator[tuple[int, Tensor]]
]
"""Runs samples as `trajectory` does, here or elsewhere."""

FAR = 3.0
"""Distance from [0, 1] beyond which the mean of a channel cannot come from images.

Trained models end within 0.1; untrained ones, in tests and in the recorded reference, within 2.4.
Single pixels of untrained models reach -14, so single pixels are not checked.
"""
KEPT = 512 << 20
"""Bytes of freed memory that the process may keep before returning them to the system."""

_HEAD = re.compile(r"\.(out\.2|conv_out|final_conv)\.weight$|^networks\.\d+\.proj_out\.weight$")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST_BLOCK = 32 << 20  # the maximum of the C library's dynamic threshold


@dataclass(frozen=True)
class Sampler:
    """A model of the site that can be sampled.

    process: its process, with the loaded network
    name: the model's, for messages
    prior: the `Prior` that its process starts from; None where it needs none
    executor: runs its samples, as `trajectory` does here
    """

    process: GenerativeProcess
    name: str = "the model"
    prior: Any = None
    executor: Executor = trajectory

    @property
    def model(self) -> Any:
        """The loaded network."""
        return self.process.model

    @property
    def card(self) -> ProcessCard:
        """The card of the model."""
        return self.process.card

    def conditioned(self, condition: Condition | None) -> Sampler:
        """Return the model, for samples with labels."""
        return replace(self, process=replace(self.process, condition=condition))

    def start(self, seed: int, samples: Sequence[int]) -> Tensor:
        """Return the initial states (N, C, H, W) of some samples, on the model's device."""
        if self.prior is None:
            states = self.process.start(seed, samples)
        else:
            labels = self.process.condition.labels if self.process.condition else ()
            states = self.prior.initial_states(seed, samples, labels)
        return states.to(self.process.device or states.device)

    def noise(self, seed: int, samples: Sequence[int]) -> Noise | None:
        """Return the noise of some samples; None if the process draws none."""
        if not self.process.random:
            return None
        return Independent(seed, tuple(samples), self.card.shape)

    def run(self, start: Tensor, noise: Noise | None, noise_std: float | None = None) -> Trajectory:
        """Return the trajectory from the states `start` (N, C, H, W); δ is the card's if None."""
        process = replace(self.process, card=self.card.with_noise_std(noise_std))
        return Trajectory(self, process, start, noise)

    def begin(
        self, seed: int, samples: Sequence[int], noise_std: float | None = None
    ) -> Trajectory:
        """Return the trajectory of some samples."""
        return self.run(self.start(seed, samples), self.noise(seed, samples), noise_std)

    def forward(self, images: Tensor, level: int, normal: Tensor) -> Tensor:
        """Return states at a level of images (N, C, H, W) in [0, 1]."""
        with torch.no_grad():
            return self.process.forward(images, level, normal)

    def back(
        self, states: Tensor, level: int, noise: Noise | None, noise_std: float | None = None
    ) -> Trajectory:
        """Return the trajectory from states (N, C, H, W) of a level that is visited."""
        sampler = replace(self, process=replace(self.process, begin=level))
        return sampler.run(states.float().to(self.process.device or "cpu"), noise, noise_std)

    def fan(self, seed: int, samples: Sequence[int], noise_std: float | None = None) -> Trajectory:
        """Return samples with noise of their own that all start from the state of the first."""
        start = self.conditioned(None).start(seed, samples[:1])
        start = start.expand(len(samples), *self.card.shape)
        return self.run(start, self.noise(seed, samples), noise_std)

    def around(self, seed: int, samples: Sequence[int], angle: float) -> Trajectory:
        """Return samples that start at an `angle` in radians to the state z of the first.

        The others start from cos(angle) z + sin(angle) z_i, where z_i is their own state.
        """
        states = self.start(seed, samples)
        angles = torch.full((len(states), 1, 1, 1), angle).to(states)
        angles[0] = 0
        return self.run(angles.cos() * states[:1] + angles.sin() * states, None)

    def tree(
        self,
        seed: int,
        splits: tuple[int, ...],
        samples: tuple[int, ...] | None = None,
        noise_std: float | None = None,
    ) -> Trajectory:
        """Return a tree that splits in two at each of the levels `splits`, as `Branching` says.

        samples: one for each leaf, if they are chosen
        """
        start = self.start(seed, samples[:1] if samples else [0])
        if self.process.random:
            noise = Branching(seed, splits, self.card.shape, samples)
            return self.run(start, noise, noise_std)

        def finish(process: GenerativeProcess, states: Tensor) -> Tensor:
            *_, (_, finished) = self.executor(process, states, None, "mean")
            return finished

        with _naming(self.name):
            tree = renoised_tree(self.process, start, seed, splits, samples, finish)
        return Trajectory(self, tree, start, None)

    def paths(self, paths: Paths, noise_std: float | None = None) -> Trajectory:
        """Return paths through everything random of the process, a path after the other.

        Initial states are on the process's own path between two of them, and the noise of every
        level on a great circle, where any is drawn. Labels are those of the ends.
        """
        process, states = self.process, self.start(paths.seed, paths.ends)
        pairs = zip(paths.pairs, states[::2], states[1::2], strict=True)
        start = torch.cat(
            [
                first.expand(paths.points, *first.shape)
                if one == other and torch.equal(first, last)
                else process.between(first, last, paths.points)
                for (one, other), first, last in pairs
            ]
        )
        noise = noise_of(paths, self.card.shape) if process.random else None
        condition = process.condition and process.condition.between(len(paths.pairs), paths.points)
        return self.conditioned(condition).run(start, noise, noise_std)

    def ddim(self, steps: int) -> Sampler:
        """Return a DDPM that is sampled without noise, in that many steps."""
        from sitegen.generative.checkpoints.resampling import resampled

        card = self.card
        assert isinstance(card, Ddpm)
        card = replace(card, diffusion=replace(card.diffusion, eta=0.0))
        implicit = cast(Ddpm, resampled(card, steps, "ddim"))
        return replace(self, process=replace(self.process, card=implicit))

    def spectrum(self, images: Images) -> list[float]:
        """Return the mean spectrum of images (N, C, H, H)."""
        powers: list[float] = spectrum(torch.from_numpy(images)).tolist()
        return powers

    def data_spectrum(self) -> list[float] | None:
        """Return the mean spectrum of the data, of the weights or of the prior, if it is known."""
        statistics = self.model.statistics
        if statistics is not None:
            powers: list[float] = spectrum_of(statistics).tolist()
            return powers
        return (list(self.prior.power) or None) if self.prior else None


@dataclass(frozen=True)
class Trajectory:
    """Samples of a process about to run, from the states `start` (N, C, H, W) with that noise."""

    sampler: Sampler
    process: GenerativeProcess
    start: Tensor
    noise: Noise | None

    @property
    def first(self) -> int:
        """The level of the initial states."""
        return self.process.levels[0]

    @property
    def u_K(self) -> Tensor:
        """The initial states in [0, 1] pixel units."""
        return self.process.pixels(self.start, self.first)

    @property
    def steps(self) -> Iterator[Step]:
        """All steps, computed here, with states and means in pixel units. Raises as `seen` does."""

        def pick(part: Part, step: Step) -> tuple[Tensor, Tensor]:
            pixels = part.process.pixels
            return pixels(step.state, step.level), pixels(step.mean, step.level)

        with _naming(self.sampler.name):
            for level, both in each_level(parts(self.process, self.start, self.noise), pick):
                states, means = (torch.cat(images) for images in zip(*both, strict=True))
                if level == 0:
                    _require_pictures(means, self.noise, self.process.card.advice)
                yield Step(level, states, means)

    def seen(self, show: Shown) -> Iterator[tuple[int, Images]]:
        """Yield each level from the first to 0, with its displayed images (N, C, H, W).

        These are the states, their means or the predicted images; at level 0 always the means.
        Raises TargetError, with model and sample, if results are not images.
        """
        levels = self.sampler.executor(self.process, self.start, self.noise, show)
        with _naming(self.sampler.name):
            for level, images in levels:
                if level == 0:
                    _require_pictures(images, self.noise, self.process.card.advice)
                yield level, images.cpu().numpy()


@contextmanager
def _naming(model: str) -> Iterator[None]:
    """Begin the message of a TargetError with the model's name."""
    try:
        yield
    except TargetError as error:
        raise TargetError(f"{model}: {error}") from error


def load_sampler(
    source: ModelSource,
    compute_target: ComputeTarget,
    prior: Prior | None = None,
    *,
    engines: bool = True,
) -> Sampler:
    """Load a model with its own prior, or with the one given; `engines` as in `load_network`.

    Raises RefusedError if there is no prior to start from, or a file is missing, damaged or changes
    while it is read. Raises PlatformError for a device that does not exist.
    """
    model = load_network(source, compute_target, engines=engines)
    if prior is None:
        source.require_usable()
        if source.prior is not None:
            prior = read_prior(source.prior, source.card)
            _refuse_change(source.prior, sha256(source.prior), source.prior_sha256)
    return Sampler(process_of(model), source.name, prior)


def load_network(
    source: ModelSource, compute_target: ComputeTarget, *, engines: bool = True
) -> CardModel:
    """Load the network of a model, with the fastest engines for it unless others will evaluate it.

    Raises RefusedError for weights that are missing or damaged, change while they are read or were
    never trained; PlatformError for a device that is not there, or too little memory.
    """
    require_device(compute_target.device)
    planned_digest = source.weights_sha256
    with memory_errors(f"loading {source.name}"):
        model: CardModel = load_model(
            source.weights, source.card, compute_target.device, compute_target.precision
        )
        if engines:
            keep_freed_memory()
            choose_engines(model)
    # After loading: a file that was replaced meanwhile would give a clip the key of other bytes.
    _refuse_change(source.weights, sha256(source.weights), planned_digest)
    if not any(bool(part.any()) for name, part in model.named_parameters() if _HEAD.search(name)):
        raise RefusedError(
            f"{source.name}: {source.weights}: the weights of the last layer are all zero, so it "
            "was never trained; give the checkpoint of a trained model"
        )
    return model


def noise_of(paths: Paths, shape: Shape) -> Interpolated:
    """Return the noise (paths · points, C, H, W) of every level, on great circles between ends."""
    angles = torch.linspace(0, math.pi / 2, paths.points, dtype=torch.float64).tolist()
    points = tuple(
        (first, last, 0.0 if first == last else angle)
        for first, last in paths.pairs
        for angle in angles
    )
    return Interpolated(paths.seed, points, shape)


def _require_pictures(mean: Tensor, noise: Noise | None, advice: str) -> None:
    """Raise TargetError for means (N, C, H, W) with a channel far from images, or all flat.

    A single flat image may be what the model has learned. `noise` identifies the samples.
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
    raise TargetError(f"sampling ended at level 0 in what is not a picture: {fault}; {advice}")


def _refuse_change(path: Path, digest: str, planned_digest: str | None) -> None:
    """Raise RefusedError if the digest of the file read is not the one in the figure's key.

    Digests are cached: an unmodified file is not read again.
    """
    if digest != planned_digest:
        raise RefusedError(f"{path}: changed while it was read; try again when it is finished")


def keep_freed_memory() -> bool:
    """Keep up to `KEPT` bytes of freed memory for the next use, for as long as the process runs.

    A network's activations are freed and allocated again all the time. By default the C library
    returns such memory to the system after each use, and the system clears every page before the
    next use: about a tenth of the time of sampling. Returns whether the setting was accepted; only
    the GNU C library has it.
    """
    mallopt = None if sys.platform == "win32" else getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)) and bool(mallopt(_TRIM_THRESHOLD, KEPT))
