"""Samples as arrays or pictures, for whoever wants to do more with them than look.

Some are drawn at a time and written at once, so memory does not grow with how many are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sitegen.core.errors import ConfigError
from sitegen.core.files import platform_errors, require_writable, temporary_path
from sitegen.core.progress import Advance, Reporter
from sitegen.media.frames import to_uint8
from sitegen.sampling import npz
from sitegen.sampling.models import DdpmSampler, HeatSampler

Array = NDArray[np.float32]
AT_ONCE = 64
"""Samples whose steps are taken together; the pictures do not depend on it but for rounding."""

_FILES = frozenset(
    {".npy", ".zip", ".pt", ".pth", ".safetensors", ".h5", ".mat", ".csv", ".json"}
    | {".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".bmp", ".tif", ".tiff", ".pdf"}
)


@dataclass(frozen=True)
class Request:
    """Which samples: numbers 0 … count − 1 of a seed; the card's δ unless one is given."""

    count: int
    seed: int = 0
    sampling_noise_std: float | None = None
    trajectory: bool = False


AnyActor = HeatSampler | DdpmSampler


def sample(sampler: AnyActor, request: Request, output: Path, report: Reporter) -> Path:
    """Draw samples into `output`, an .npz file or a folder of PNGs.

    The arrays: `final` (N, C, H, W) float32, the last means, unclipped; `initial` u_K; with
    `trajectory` also `states` (K+1, N, C, H, W), `means` (K, N, C, H, W) and `levels` (K+1,);
    scalars `seed` and `sampling_noise_std`. Of a DDPM, whose images are in [-1, 1] by nature, all
    are in [0, 1] pixel units as well, `initial` is x_K, and `sampling_noise_std` is 0. The
    pictures: one of each sample, and with `trajectory` a folder for each with its states. Raises
    ConfigError if the output cannot be that, PlatformError if it cannot be written, both before
    anything is sampled.
    """
    check_output(output)
    noise_std = _noise_std(sampler, request)
    levels = sampler.model.card.levels
    chunks = math.ceil(request.count / AT_ONCE)
    with _sink(sampler, request, output, noise_std) as sink:
        title = f"sampling {request.count}"
        with report.rendering(title, chunks * levels) as advance:
            for start in range(0, request.count, AT_ONCE):
                chosen = range(start, min(start + AT_ONCE, request.count))
                _draw(sampler, request.seed, chosen, noise_std, sink, advance)
    return output


def _noise_std(sampler: AnyActor, request: Request) -> float:
    """δ: the request's own, or the card's."""
    own = request.sampling_noise_std
    if isinstance(sampler, HeatSampler):
        return sampler.model.card.sampling_noise_std if own is None else own
    if own is not None:
        raise ConfigError("--sampling-noise-std: a DDPM has none; leave it out")
    return 0.0


def check_output(output: Path) -> None:
    """Raise ConfigError unless `output` names an .npz file or a folder; costs nothing."""
    if _is_npz(output):
        if output.is_dir():
            raise ConfigError(f"--output {output}: is a folder; choose another name")
    elif output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output}: is a file; give a folder for PNGs, or an .npz file")
    elif output.suffix.lower() in _FILES and not output.is_dir():
        raise ConfigError(
            f"--output {output}: samples go to an .npz file, or as PNGs to a folder, whose name "
            f"must not end in {output.suffix}"
        )


class _Sink(Protocol):
    """Where states go, as soon as they are there."""

    def begin(self, chosen: range, u_K: Array) -> None:
        """Take the initial states of some samples."""

    def step(self, chosen: range, level: int, state: Array, mean: Array) -> None:
        """Take what a step has reached."""


def _is_npz(output: Path) -> bool:
    return output.suffix.lower() == ".npz"


@contextmanager
def _sink(sampler: AnyActor, request: Request, output: Path, noise_std: float) -> Iterator[_Sink]:
    """Open the output; it is complete at the end of the block."""
    if not _is_npz(output):
        with _no_empty_folders(output):
            require_writable(output)
            yield _Pictures(output, request, sampler.model.card.levels)
        return
    with _no_empty_folders(output.parent), npz.writing(output) as file:
        file.keep("seed", np.int64(request.seed))
        file.keep("sampling_noise_std", np.float64(noise_std))
        yield _Arrays(file, request, sampler.model.card.levels, sampler.model.card.shape)


@contextmanager
def _no_empty_folders(folder: Path) -> Iterator[None]:
    """Where the block fails, remove the folders that it made, as far as nothing is in them."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for each in new:
                each.rmdir()
        raise


def _draw(
    sampler: AnyActor, seed: int, chosen: range, noise_std: float, sink: _Sink, advance: Advance
) -> None:
    """Take some samples down to level 0."""
    trajectory = sampler.begin(seed, chosen, noise_std)
    sink.begin(chosen, trajectory.u_K.cpu().numpy())
    for step in trajectory.steps:
        sink.step(chosen, step.level, step.state.cpu().numpy(), step.mean.cpu().numpy())
        advance()


class _Arrays:
    """Samples into an .npz file."""

    def __init__(
        self, file: npz.Npz, request: Request, levels: int, shape: tuple[int, ...]
    ) -> None:
        self._file, self._levels = file, levels
        self._trajectory = request.trajectory
        count = request.count
        file.declare("final", (count, *shape))
        file.declare("initial", (count, *shape))
        if request.trajectory:
            file.keep("levels", np.arange(levels, -1, -1))
            file.declare("states", (levels + 1, count, *shape))
            file.declare("means", (levels, count, *shape))

    def begin(self, chosen: range, u_K: Array) -> None:
        """Write the initial states."""
        self._file.fill("initial", (chosen.start,), u_K)
        if self._trajectory:
            self._file.fill("states", (0, chosen.start), u_K)

    def step(self, chosen: range, level: int, state: Array, mean: Array) -> None:
        """Write what is asked for of a step."""
        if self._trajectory:
            self._file.fill("states", (self._levels - level, chosen.start), state)
            self._file.fill("means", (self._levels - level - 1, chosen.start), mean)
        if level == 0:
            self._file.fill("final", (chosen.start,), mean)


class _Pictures:
    """Samples into a folder of PNGs, named after seed and sample."""

    def __init__(self, folder: Path, request: Request, levels: int) -> None:
        self._folder, self._seed, self._levels = folder, request.seed, levels
        self._trajectory = request.trajectory

    def begin(self, chosen: range, u_K: Array) -> None:
        """Write the initial states, if the trajectory is asked for."""
        if self._trajectory:
            self._write(chosen, u_K, f"/level-{self._levels:04d}.png")

    def step(self, chosen: range, level: int, state: Array, mean: Array) -> None:
        """Write the states, if asked for, and the last mean."""
        if self._trajectory:
            self._write(chosen, state, f"/level-{level:04d}.png")
        if level == 0:
            self._write(chosen, mean, ".png")

    def _write(self, chosen: range, images: Array, ending: str) -> None:
        for index, picture in zip(chosen, to_uint8(images), strict=True):
            write_png(self._folder / f"sample-{self._seed}-{index:05d}{ending}", picture)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an (H, W, 3) picture, all or nothing. Raises PlatformError if it cannot be."""
    with platform_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(path.parent)
        try:
            Image.fromarray(picture).save(temporary, "PNG")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
