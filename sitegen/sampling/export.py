"""Export of samples as arrays or pictures, for further processing.

Samples are drawn in batches. Pictures are written with each, arrays at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import ConfigError
from sitegen.core.files import platform_errors, require_writable, temporary_folder, write_atomic
from sitegen.core.progress import Reporter
from sitegen.generative.card.abilities import ABILITIES
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.labels import Condition
from sitegen.generative.card.tables import RecordingConfig
from sitegen.generative.maths.address import Address
from sitegen.media.frames import Frame, to_uint8
from sitegen.media.sheets import MOST_PIXELS, contact_cells, contact_sheet, contact_size, png

if TYPE_CHECKING:
    from sitegen.sampling.models import Sampler

Array: TypeAlias = NDArray[np.float32]
AT_ONCE = 64
"""Samples whose steps are taken together; the pictures do not depend on it but for rounding."""


@dataclass(frozen=True)
class Request:
    """The requested samples: numbers 0 … count − 1 of a seed; δ defaults to the card's.

    seed: None for those of a recording that does not say it
    labels: names or numbers of their labels, which the samples have in turn
    guidance: w of classifier-free guidance, as in `Condition`
    """

    count: int
    seed: int | None = 0
    sampling_noise_std: float | None = None
    trajectory: bool = False
    labels: tuple[str, ...] = ()
    guidance: float = 0.0

    def condition(self, card: ModelCard, chosen: range) -> Condition | None:
        """Return the labels of some samples. Raises ConfigError for those that a model lacks."""
        if not self.labels and not self.guidance:
            return None
        if card.labels is None:
            raise ConfigError("--labels, --guidance: this model takes no labels; leave them out")
        if not self.labels:
            raise ConfigError(f"--guidance: goes towards labels; give some of {card.labels.listed}")
        if self.guidance and not card.labels.optional:
            raise ConfigError("--guidance: this model never draws without a label; leave it out")
        numbers = [card.labels.number(label) for label in self.labels]
        return Condition(tuple(numbers[n % len(numbers)] for n in chosen), self.guidance)


def draw_samples(sampler: Sampler, request: Request, output: Path, report: Reporter) -> Path:
    """Draw samples into an .npz file, a folder of PNGs, or a .png of all of them; return its path.

    The arrays: `final` (N, C, H, W) float32, the last means, unclipped; `initial` u_K; with
    `trajectory` also `states` (K+1, N, C, H, W), `means` (K, N, C, H, W) and `levels` (K+1,), fewer
    where the card visits fewer;
    scalars `seed` and `sampling_noise_std`; of samples with labels also their numbers, `labels`
    (N,), and `guidance`. Of a DDPM, whose images are in [-1, 1] by nature, all
    are in [0, 1] pixel units as well, `initial` is x_K, and `sampling_noise_std` is 0. Of a
    recording, `final` and `initial` are the last and the first images, and a scalar that it does
    not say is left out. The pictures: one of each sample, and with `trajectory` a folder for each
    with its states. The sheet shows all finished pictures with their numbers. Raises ConfigError if
    `output` cannot be that or a recording lacks the samples, PlatformError if it cannot be written,
    both before anything is sampled.
    """
    card, size = sampler.card, AT_ONCE
    if card.recording is not None:  # a step is read whole
        request, size = _recorded(card.recording, sampler.name, request), request.count
    check_output(output, request, card.shape[1:])
    request.condition(card, range(request.count))  # raises
    noise_std = request.sampling_noise_std
    if noise_std is not None and card.noise_std is None:
        raise ConfigError(f'--sampling-noise-std: the kind "{card.kind}" has none; leave it out')
    noise_std = (card.noise_std or 0.0) if noise_std is None else noise_std
    chunks = math.ceil(request.count / size)
    finals, shown = list[Frame](), "sample" if request.seed is None else f"sample-{request.seed}"
    suffix = output.suffix.lower()
    folder = None if suffix in (".npz", ".png") else output
    require_writable(*([output] if folder else [output.parent, output]))
    shapes, small = _contents(request, card, noise_std)
    shapes = shapes if suffix == ".npz" else {}
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    with report.rendering(f"sampling {request.count}", chunks * card.steps) as advance:
        for start in range(0, request.count, size):
            chosen = range(start, min(start + size, request.count))
            steps = _steps(sampler, request, chosen, noise_std)
            for number, (level, state, mean) in enumerate(steps):
                if arrays:
                    _fill(arrays, slice(chosen.start, chosen.stop), number, level, state, mean)
                if folder is not None and request.trajectory:
                    _write_pictures(folder, shown, chosen, state, f"/level-{level:04d}.png")
                if mean is None:
                    continue
                if folder is not None and level == 0:
                    _write_pictures(folder, shown, chosen, mean, ".png")
                if suffix == ".png" and level == 0:
                    finals.append(to_uint8(mean))
                advance()
    if finals:
        seed = "" if request.seed is None else f", seed {request.seed}"
        heading = f"{sampler.name}{seed}, samples 0 to {request.count - 1}"
        with platform_errors(output):
            write_atomic(output, png(contact_sheet(np.concatenate(finals), heading)))
    if arrays:
        with temporary_folder(output.parent) as temporary, platform_errors(output):
            packed = temporary / "packed.npz"
            np.savez(packed, **dict(sorted((arrays | small).items())))  # equal arrays, equal bytes
            packed.replace(output)
    return output


def draw_tile(sampler: Sampler, request: Request, text: str, output: Path) -> int:
    """Draw the tile of an atlas at an address into a PNG; return its level.

    Raises ConfigError for a text that is no address of the model, for a target that is no PNG and
    for a model without starts of its own; PlatformError if it cannot be written.
    """
    from sitegen.sampling.tiles import TILED, tiles_of

    if output.suffix.lower() != ".png" or output.is_dir():
        raise ConfigError(f"--output {output}: an address is one picture; end its name in .png")
    if lacks := [ability for ability in TILED if ability not in sampler.card.abilities]:
        missing = " and ".join(ABILITIES[ability] for ability in lacks)
        raise ConfigError(f"--address: needs {missing}, which the model {sampler.name} lacks")
    require_writable(output.parent, output)
    tiles = tiles_of(
        sampler.conditioned(request.condition(sampler.card, range(1))), request.seed or 0
    )
    try:
        tile = tiles.at(Address.parse(text))
    except ValueError as error:
        raise ConfigError(f"--address: {error}") from None
    with platform_errors(output):
        write_atomic(output, png(to_uint8(tile.picture[None])[0]))
    return tiles.ends[len(tile.address.digits)]


def _steps(
    sampler: Sampler, request: Request, chosen: range, noise_std: float
) -> Iterator[tuple[int, Array, Array | None]]:
    """Yield each level with states and means; the first has no means."""
    if (condition := request.condition(sampler.card, chosen)) is not None:
        sampler = sampler.conditioned(condition)
    trajectory = sampler.begin(request.seed or 0, chosen, noise_std)
    if sampler.card.recording is not None:
        for level, images in trajectory.seen("state"):
            yield level, images, None if level == trajectory.first else images
        return
    yield sampler.card.visited_levels[0], trajectory.u_K.cpu().numpy(), None
    for step in trajectory.steps:
        yield step.level, step.state.cpu().numpy(), step.mean.cpu().numpy()


def _recorded(recording: RecordingConfig, name: str, request: Request) -> Request:
    """Return the request with the recorded seed. Raises ConfigError for what is not there."""
    if request.count > recording.count:
        has = f"the recording {name} has {recording.count} samples"
        raise ConfigError(f"--count {request.count}: {has}; give --count {recording.count}")
    if fault := recording.seed_fault(request.seed or 0):
        raise ConfigError(f"--seed {request.seed}: the recording {name} {fault}; leave it out")
    if request.trajectory:
        raise ConfigError("--trajectory: the file of a recording has its states; leave it out")
    return replace(request, seed=recording.seed)


def check_output(output: Path, request: Request, size: tuple[int, ...] = ()) -> None:
    """Raise ConfigError unless `output` fits the number of samples and their `size` (H, W).

    It is a folder, or ends in .npz or .png; costs nothing.
    """
    suffix = output.suffix.lower()
    if suffix in (".npz", ".png") and output.is_dir():
        raise ConfigError(f"--output {output}: is a folder; choose another name")
    if suffix == ".png" and request.trajectory:
        raise ConfigError("--trajectory: one picture shows no states; give a folder or an .npz")
    if suffix == ".png" and size:
        width, height = contact_size(contact_cells(request.count, size[1], size[0]))
        if height * width > MOST_PIXELS:
            raise ConfigError(
                f"--output {output}: {request.count} pictures take {width} × {height} pixels, and "
                f"{MOST_PIXELS // 1_000_000} megapixels are the most; ask for fewer"
            )
    elif suffix in (".npz", ".png"):
        return
    elif output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output}: is a file; give a folder for PNGs, or an .npz file")


def _contents(
    request: Request, card: ModelCard, noise_std: float
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Return the shapes of the arrays of samples in a file, and its small arrays."""
    count, levels, shape = request.count, card.visited_levels, card.shape
    small: dict[str, Any] = {} if request.seed is None else {"seed": request.seed}
    small |= {} if card.recording else {"sampling_noise_std": float(noise_std)}
    if condition := request.condition(card, range(count)):
        small |= {"labels": np.array(condition.labels), "guidance": condition.guidance}
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("final", "initial"), (count, *shape))
    if request.trajectory:
        shapes |= {"states": (len(levels), count, *shape), "means": (card.steps, count, *shape)}
        small["levels"] = np.array(levels)
    return shapes, small


def _fill(
    arrays: Mapping[str, Array],
    rows: slice,
    number: int,
    level: int,
    state: Array,
    mean: Array | None,
) -> None:
    """Write the state and mean of some samples, after a number of steps, into the arrays."""
    if "states" in arrays:
        arrays["states"][number, rows] = state
    if mean is None:
        arrays["initial"][rows] = state
    elif "means" in arrays:
        arrays["means"][number - 1, rows] = mean
    if level == 0 and mean is not None:
        arrays["final"][rows] = mean


def _write_pictures(folder: Path, name: str, chosen: range, images: Array, ending: str) -> None:
    for index, picture in zip(chosen, to_uint8(images), strict=True):
        path = folder / f"{name}-{index:05d}{ending}"
        write_atomic(path, png(picture))
