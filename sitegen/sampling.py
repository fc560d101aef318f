"""Samples as arrays or pictures, for whoever wants to do more with them than look."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sitegen.errors import ConfigError
from sitegen.files import platform_errors, temporary_path
from sitegen.frames import to_uint8
from sitegen.report import Advance, Reporter
from sitegen.studio import Actor

Array = NDArray[np.float32]
AT_ONCE = 64
"""Samples whose steps are taken together; the pictures do not depend on it."""


@dataclass(frozen=True)
class Request:
    """Which samples: numbers 0 … count − 1 of a seed; the card's δ unless one is given."""

    count: int
    seed: int = 0
    sampling_noise_std: float | None = None
    trajectory: bool = False


def sample(actor: Actor, request: Request, output: Path, report: Reporter) -> Path:
    """Draw samples into `output`, an .npz file or a folder of PNGs.

    The arrays: `final` (N, C, H, W) float32, the last means, unclipped; `initial` u_K; with
    `trajectory` also `states` (K+1, N, C, H, W), `means` (K, N, C, H, W) and `levels` (K+1,);
    scalars `seed` and `sampling_noise_std`. Raises ConfigError if the output cannot be that.
    """
    if output.suffix == ".npz":
        arrays = sample_arrays(actor, request, report)
        _write_npz(output, arrays)
    else:
        _refuse_file(output)
        arrays = sample_arrays(actor, request, report)
        _write_pictures(output, arrays)
    return output


def sample_arrays(actor: Actor, request: Request, report: Reporter) -> dict[str, Array]:
    """The arrays of `sample`."""
    card = actor.model.card
    noise_std = card.sampling_noise_std
    if request.sampling_noise_std is not None:
        noise_std = request.sampling_noise_std
    arrays = _empty(request, card.levels, card.shape)
    chunks = math.ceil(request.count / AT_ONCE)
    title = f"sampling {request.count}"
    with report.filming(title, chunks * card.levels) as advance:
        for start in range(0, request.count, AT_ONCE):
            chosen = range(start, min(start + AT_ONCE, request.count))
            _fill(arrays, actor, chosen, request.seed, noise_std, advance)
    scalars = {"seed": np.int64(request.seed), "sampling_noise_std": np.float64(noise_std)}
    return {**arrays, **scalars}  # type: ignore[dict-item]


def _empty(request: Request, levels: int, shape: tuple[int, ...]) -> dict[str, Array]:
    count = request.count
    shapes: dict[str, tuple[int, ...]] = {"final": (count, *shape), "initial": (count, *shape)}
    if request.trajectory:
        shapes |= {"states": (levels + 1, count, *shape), "means": (levels, count, *shape)}
    arrays: dict[str, Any] = {name: np.empty(size, np.float32) for name, size in shapes.items()}
    if request.trajectory:
        arrays["levels"] = np.arange(levels, -1, -1)
    return arrays


def _fill(
    arrays: Mapping[str, Array],
    actor: Actor,
    chosen: range,
    seed: int,
    noise_std: float,
    advance: Advance,
) -> None:
    """Run some samples down to level 0, writing each into its place."""
    here = slice(chosen.start, chosen.stop)
    take = actor.begin(seed, chosen, noise_std)
    arrays["initial"][here] = take.u_K.cpu().numpy()
    if "states" in arrays:
        arrays["states"][0, here] = arrays["initial"][here]
    for step in take.steps:
        if "states" in arrays:
            arrays["states"][take.levels - step.level, here] = step.state.cpu().numpy()
            arrays["means"][take.levels - step.level - 1, here] = step.mean.cpu().numpy()
        if step.level == 0:
            arrays["final"][here] = step.mean.cpu().numpy()
        advance()


def _write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    with platform_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(path.parent)
        try:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _refuse_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; give a folder for PNGs, or a name in .npz")


def _write_pictures(folder: Path, arrays: Mapping[str, Array]) -> None:
    with platform_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in _pictures(arrays):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)


def _pictures(arrays: Mapping[str, Array]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    seed = int(arrays["seed"])
    for index, picture in enumerate(to_uint8(arrays["final"])):
        yield f"sample-{seed}-{index:05d}.png", picture
    for level, states in zip(arrays.get("levels", ()), arrays.get("states", ()), strict=True):
        for index, picture in enumerate(to_uint8(states)):
            yield f"sample-{seed}-{index:05d}/level-{int(level):04d}.png", picture
