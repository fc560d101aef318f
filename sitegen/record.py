"""Record the states of any sampler in one .npz file, for sitegen to turn into figures.

    from sitegen.record import record

    with record("ours.npz", axis=("t", ""), range=(-1, 1)) as rec:
        for t, x, x0 in sampler():         # from the initial state, (N, C, H, W), on
            rec(t, x, final=x0)            # the state at t, and the image predicted from it

This file needs Python 3.8 and NumPy, and imports nothing else of sitegen: you may copy it into your
project.

The file is a zip archive of uncompressed .npy members, `state/00000.npy`, `final/00000.npy` and
`mean/00000.npy`, and of `run.json`, which describes them. `np.load` opens it. Steps
are written at most every two seconds, and then the archive is complete, so that a killed run leaves
the steps up to that moment. Until then they are in memory.
"""

from __future__ import annotations

import copy
import io
import json
import math
import operator
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

FORMAT = "sitegen recording"
VERSION = 1
LARGEST_ARRAY = 1 << 30
"""Maximum bytes of an array, such as the states of a step."""
MOST_ARRAYS = 40_000
"""Maximum number of arrays: steps, times 2 or 3 if they have `final` and `mean`."""
MOST_SAMPLES = 10_000
"""Maximum number of samples of a step."""
MOST_RUN_BYTES = 32 << 20
"""Maximum bytes of run.json; 1,000 steps of 100 samples that split at each step take 1 MB."""
LARGEST_SIDE = 4096
"""Maximum pixels a side."""
# With a directory after each step, 6,000 steps of one image of 4 × 4 pixels took 204 s.
REWRITE_S = 2.0
"""Minimum seconds between two directories."""
REWRITE_BYTES = 64 << 20
"""Bytes of members in memory from which on they are written earlier."""
# As in core/source.py, which this file cannot import: it may be copied elsewhere.
_ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that change the direction of text."""


class record:
    """Write the states of a sampler to an .npz file as the sampler reaches them.

    path: the file; an existing one is replaced
    axis: symbol and unit of the value that each step is recorded with, such as ("σ_B", "px")
    range: the numbers for black and white
    layout: axes of the arrays that are recorded; the file always has (N, C, H, W)
    dtype: numbers in the file. "float16" is exact to 0.0005 in [-1, 1]. "uint8" takes half the
        space and has 256 values, from black to white. "float32" takes twice the space
    every: record every n-th step; the first and the last are always recorded
    rows: number of samples to record, or their indices, at least one
    side: pixels of the larger side; larger images are averaged over squares of pixels
    decode: function that turns recorded arrays into images, such as the decoder of a latent model
    scale: factor for the states of a value. `scale=lambda sigma: 1 / (1 + sigma**2) ** 0.5` makes
        states of σ = 80 fit into the range
    positions: evenly spaced places along an interpolation, from 0 to 1. The samples are then points
        of paths: their number is a multiple of that of the positions, and one path follows the
        other
    labels, captions: a text for each sample that is recorded, its class or its prompt, in at most
        200 characters; figures show captions under the samples, or else labels
    seed, made_with: seed, and program in at most 1,000 characters, to be shown with the figures

    Raises ValueError for arguments and arrays that do not fit, and OSError if the file cannot be
    written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        axis: tuple[str, str] = ("t", ""),
        range: tuple[float, float] = (-1.0, 1.0),
        layout: Literal["NCHW", "NHWC"] = "NCHW",
        dtype: Literal["uint8", "float16", "float32"] = "float16",
        every: int = 1,
        rows: int | Sequence[int] | None = None,
        side: int | None = None,
        decode: Callable[[Any], Any] | None = None,
        scale: Callable[[float], float] | None = None,
        positions: Sequence[float] | None = None,
        labels: Sequence[Any] | None = None,
        captions: Sequence[str] | None = None,
        seed: int | None = None,
        made_with: str = "",
    ) -> None:
        low, high = (float(end) for end in range)
        is_range = 1e-30 < high - low < 1e30
        _require(is_range, f"range = ({low}, {high}): give black, then white, such as (-1, 1)")
        _require(layout in ("NCHW", "NHWC"), f'layout = "{layout}": give "NCHW" or "NHWC"')
        dtypes = ("uint8", "float16", "float32")
        _require(dtype in dtypes, f'dtype = "{dtype}": give "uint8", "float16" or "float32"')
        is_pair = isinstance(axis, (tuple, list)) and len(axis) == 2
        is_pair = is_pair and all(
            isinstance(word, str) and len(word) <= 200 and word.isprintable() for word in axis
        )
        _require(is_pair, f'axis = {axis!r}: give symbol and unit, as in ("t", "")')
        is_text = isinstance(made_with, str) and len(made_with) <= 1000
        is_text = is_text and not _ODD.search(made_with)
        _require(is_text, "made_with: give at most 1,000 characters, without control characters")
        if positions is not None:
            fits = len(positions) <= 1000 and is_even(positions)
            fits = fits and abs(positions[0]) <= 0.01 and abs(positions[-1] - 1) <= 0.01
            _require(fits, f"positions = {positions}: give 2 to 1,000, evenly spaced from 0 to 1")
        self._path, self._layout, self._dtype = os.fspath(path), layout, dtype
        self._ends, self._decode, self._scale = (low, high), decode, scale
        self._every = _whole("every", every, 1)
        self._side = None if side is None else _whole("side", side, 1)
        self._rows: slice | list[int] | None = None
        if isinstance(rows, Iterable):
            self._rows = [_whole("rows", row, 0) for row in rows]
        elif rows is not None:
            self._rows = slice(_whole("rows", rows, 1))
        _require(self._rows != [], "rows = []: give at least one")
        self._run: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "axis": list(axis),
            "range": [low, high],
            "seed": None if seed is None else _whole("seed", seed, 0),
            "made_with": made_with,
            "positions": None if positions is None else list(map(float, positions)),
            "scaled": scale is not None,
            "finished": False,
            "steps": [],
        }
        for name, texts in (("labels", labels), ("captions", captions)):
            if texts is not None:
                self._run[name] = [f"{text}" for text in texts]
                short = all(len(t) <= 200 and t.isprintable() for t in self._run[name])
                _require(short, f"{name}: give texts of at most 200 characters on one line")
        self._arrays, self._run_bytes = 0, len(_encoded(self._run)) + 100  # 100 for the shape
        self._archive: _Archive | None = None
        self._calls = 0
        self._lineage: list[int] = []  # of each sample, its index in the last recorded step
        self._shape: tuple[int, ...] = ()
        self._skipped: tuple[float, Arrays] | None = None  # last step, if `every` left it out

    def __enter__(self) -> Self:
        """Create the file."""
        self._archive = _Archive(self._path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the last step if `every` left it out, and close the file."""
        assert self._archive is not None
        try:
            if self._skipped is not None:
                self._write(*self._skipped)
            self._run["finished"] = kind is None
            steps, faults = self._run["steps"], []
            for name in ("labels", "captions") if kind is None and steps else ():
                count, many = steps[-1]["count"], len(self._run.get(name, ()))
                if name in self._run and many != count:
                    faults.append(f"{name}: {many} for {count} samples; give one for each")
                    del self._run[name]  # so that the states can be shown
            self._archive.write(self._run)
            _require(not faults, f"{'; '.join(faults)}; the file is complete, but without them")
        finally:
            self._archive.close()
            self._archive = None

    def __call__(
        self,
        value: Any,
        states: Any,
        final: Any = None,
        mean: Any = None,
        parents: Sequence[int] | None = None,
        velocity: Any = None,
    ) -> None:
        """Record one step.

        value: the place on the axis, such as the time or the noise level of `states`
        states: (N, C, H, W) in the layout of the recording; NumPy, torch, JAX or similar. Points in
            the plane are (N, 2); `range` has the ends of both axes
        final: the images (N, C, H, W) that the model predicts from these states
        mean: the expected states, of which `states` are a noisy sample. At the last step figures
            show it in place of the state, as for models, which do not add noise there
        parents: for each sample the index of the one before it came from, where samples split
        velocity: the velocities (N, 2) of points, drawn as arrows
        """
        if self._archive is None:
            raise RuntimeError("use it as `with record(…) as rec:`, and then rec(value, states)")
        value = float(value)
        where = f"step {self._calls} ({self._run['axis'][0]} = {value:.6g})"
        _require(math.isfinite(value), f"{where}: the value must be finite")
        factor = 1.0 if self._scale is None else self._scale(value)
        arrays = {"state": self._images(states, factor, f"{where}: the state")}
        if final is not None:
            arrays["final"] = self._images(final, 1.0, f"{where}: final")
        if mean is not None:
            arrays["mean"] = self._images(mean, factor, f"{where}: mean")
        if velocity is not None:
            arrays["velocity"] = self._images(velocity, 1.0, f"{where}: velocity")
            of_points = arrays["state"].shape[1:] == (2, 1, 1)
            _require(of_points, f"{where}: velocity: only points, (N, 2), have velocities")
        self._select(arrays, parents, where)
        if self._calls % self._every == 0:
            self._write(value, arrays)
        else:
            self._skipped = value, arrays
        self._calls += 1

    def diffusers(
        self, pipe: Any, step: int, timestep: Any, callback_kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Record a step of a diffusers pipeline: `pipe(…, callback_on_step_end=rec.diffusers)`.

        The value is the timestep that the latents have after the step. Unless `decode` is given,
        the pipeline's own VAE makes images of them. The pipeline does not report its initial noise:
        record it with `rec(1000, latents)` and give `latents` to the pipeline. If these are not
        images, rec needs the VAE before: `record(…, decode=vae_decoder(pipe.vae))`.
        """
        later = pipe.scheduler.timesteps[step + 1 :]
        if self._decode is None and getattr(pipe, "vae", None) is not None:
            self._decode = vae_decoder(pipe.vae)
        self(later[0] if len(later) else 0.0, callback_kwargs["latents"])
        return callback_kwargs

    def k_diffusion(self, progress: Mapping[str, Any]) -> None:
        """Record a step of a k-diffusion sampler: `sample_euler(…, callback=rec.k_diffusion)`.

        The samplers report a step before they take it, after they have added noise to the state up
        to `sigma_hat`, if they do. Record the result with `rec(0, x)`.
        """
        sigma = progress.get("sigma_hat", progress["sigma"])
        self(sigma, progress["x"], final=progress["denoised"])

    def scan(self, values: Any, stacked: Any, final: Any = None) -> None:
        """Record what `lax.scan`, `odeint` or similar returned: T values, and states (T, N, …)."""
        predictions = [None] * len(stacked) if final is None else final
        fits = len(values) == len(stacked) == len(predictions)
        counts = f"{len(values)} values, {len(stacked)} states, {len(predictions)} predictions"
        _require(fits, f"{counts}: their number must be the same")
        for at, value in enumerate(values):
            self(value, stacked[at], final=predictions[at])

    def _images(self, array: Any, factor: float, what: str) -> NDArray[Any]:
        """Return images (N, C, H, W) as they are written."""
        import numpy as np  # not at the top, so that importing this module takes no time

        array = array if self._decode is None else self._decode(array)
        if hasattr(array, "detach"):  # of torch, perhaps on a GPU and of bfloat16
            array = array.detach().cpu()
            # NumPy has no bfloat16.
            array = array.float() if array.element_size() < 4 else array
        images = np.asarray(array)
        fault = "the numbers are complex: give their real part, or decode="
        _require(images.dtype.kind != "c", fault)
        images = images if images.dtype == np.float64 else images.astype(np.float32)
        if images.ndim == 2 and images.shape[1] == 2 and self._dtype != "uint8":
            images = images[:, :, None, None]  # points
            return self._finite(images * images.dtype.type(factor), what)
        order = "(N, C, H, W)" if self._layout == "NCHW" else "(N, H, W, C)"
        fault = f"{what} has the shape {images.shape}; it must be {order}"
        hint = f"{fault}: give decode=, which makes images; a page shows video files by video()"
        _require(images.ndim == 4 and images.size > 0, hint)
        if self._layout == "NHWC":
            images = images.transpose(0, 3, 1, 2)
        hint = f'{fault} with 1 or 3 channels: check layout="{self._layout}", or give decode='
        _require(images.shape[1] in (1, 3), hint)
        height, width = images.shape[2:]
        if self._side not in (None, max(height, width)):
            factors = max(height, width) // self._side or 1
            fault = (
                f"{what} has {height} x {width} pixels, which side = {self._side} does not divide"
            )
            fits = max(height, width) == factors * self._side
            _require(fits and height % factors == width % factors == 0, fault)
            height, width = height // factors, width // factors
            blocks = images.reshape(*images.shape[:2], height, factors, width, factors)
            images = blocks.mean((3, 5))
        pixels = f"{what} has {height} x {width} pixels"
        fits = max(height, width) <= LARGEST_SIDE
        _require(fits, f"{pixels}; at most {LARGEST_SIDE} a side: give side=")
        return self._finite(images * images.dtype.type(factor) if factor != 1.0 else images, what)

    def _finite(self, images: NDArray[Any], what: str) -> NDArray[Any]:
        """Return images or points with the type of the file."""
        import numpy as np

        _require(bool(np.isfinite(images).all()), f"{what} has values that are not finite")
        if self._dtype == "uint8":
            low, high = self._ends
            images = ((images - low) * (255 / (high - low))).round().clip(0, 255)
        with np.errstate(over="ignore"):
            images = np.ascontiguousarray(images.astype(self._dtype))
        too_large = f'{what} has values too large for "float16": give dtype="float32", or scale='
        _require(bool(np.isfinite(images).all()), too_large)
        return images

    def _select(self, arrays: Arrays, parents: Sequence[int] | None, where: str) -> None:
        """Select the rows, and follow from which sample of the last recorded step each comes."""
        count, *shape = arrays["state"].shape
        for name, images in arrays.items():
            fault = f"{where}: {name} is {images.shape}, and the state {arrays['state'].shape}"
            _require(images.shape == arrays["state"].shape, fault)
        _require(parents is None or self._rows is None, f"{where}: rows= excludes parents=")
        before = len(self._lineage)
        if self._calls == 0:
            _require(parents is None, f"{where}: the first step has no parents")
            if isinstance(self._rows, list):
                fault = f"{where}: rows must be indices from 0 to {count - 1}"
                _require(max(self._rows) < count, fault)
            self._shape, self._lineage = tuple(shape), list(range(count))
        elif parents is None:
            fault = f"{where}: {count} samples after {before}: where samples split, give parents="
            _require(count == before, fault)
        else:
            fits = len(parents) == count and all(0 <= parent < before for parent in parents)
            _require(fits, f"{where}: parents must be {count} indices from 0 to {before - 1}")
            self._lineage = [self._lineage[parent] for parent in parents]
        fault = f"{where}: images of {tuple(shape)} after {self._shape}"
        _require(tuple(shape) == self._shape, fault)
        if self._rows is not None:
            for name, images in arrays.items():
                arrays[name] = images[self._rows]
        count, positions = len(arrays["state"]), len(self._run["positions"] or [0])
        fault = f"{where}: {count} samples for {positions} positions"
        _require(count % positions == 0, fault)
        _require(
            count <= MOST_SAMPLES, f"{where}: {count} samples; at most {MOST_SAMPLES}: give rows="
        )

    def _write(self, value: float, arrays: Arrays) -> None:
        """Add a step to the file."""
        assert self._archive is not None
        self._skipped = None
        steps = self._run["steps"]
        count, unchanged = len(arrays["state"]), list(range(len(self._lineage)))
        same = self._lineage == unchanged and steps and count == steps[-1]["count"]
        parents = None if same or not steps else self._lineage
        members = {f"{name}/{len(steps):05}.npy": _npy(images) for name, images in arrays.items()}
        step = {"value": value, "count": count, "parents": parents, "has": sorted(arrays)}
        arrays_in_all = self._arrays + len(members)
        run_bytes = self._run_bytes + len(_encoded(step)) + len(", ")
        small = arrays_in_all <= MOST_ARRAYS and run_bytes <= MOST_RUN_BYTES
        _require(small, f"a recording of more than {len(steps)} steps is too large: give every=")
        self._arrays, self._run_bytes = arrays_in_all, run_bytes
        self._run["shape"] = list(self._shape)
        steps.append(step)
        self._archive.append(members, self._run)
        self._lineage = unchanged


class _Archive:
    """A zip archive of uncompressed members, which are written together with a directory.

    A zip archive ends with its directory, which the next member overwrites. Members are therefore
    held in memory until REWRITE_S after the last directory, or until they have REWRITE_BYTES.
    """

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - closed by `close`
        self._zip = zipfile.ZipFile(self._file, "w")
        self._run = b""
        self._waiting: list[tuple[str, bytes]] = []
        self._waiting_bytes = 0
        self._written_at = -math.inf

    def append(self, members: Mapping[str, bytes], run: Mapping[str, Any]) -> None:
        """Add members; `run` becomes run.json."""
        self._waiting += members.items()
        self._waiting_bytes += sum(map(len, members.values()))
        due = time.monotonic() - self._written_at >= REWRITE_S
        if due or self._waiting_bytes >= REWRITE_BYTES:
            self.write(run)

    def write(self, run: Mapping[str, Any]) -> None:
        """Write the members that are waiting, run.json and the directory."""
        text = _encoded(run)
        for name, data in self._waiting:
            # A `ZipInfo` has a fixed date; for a plain name zipfile would write the current time.
            self._zip.writestr(zipfile.ZipInfo(name), data)
        self._run, self._waiting, self._waiting_bytes = text, [], 0
        self._end()
        self._file.truncate()
        self._written_at = time.monotonic()

    def _end(self) -> None:
        """Write run.json and the directory.

        zipfile writes a directory only when an archive is closed. A copy is closed in place of the
        archive, which continues behind its last member.
        """
        ending = copy.copy(self._zip)
        ending.filelist, ending.NameToInfo = list(ending.filelist), dict(ending.NameToInfo)
        with ending:
            ending.writestr(zipfile.ZipInfo("run.json"), self._run)
        self._file.flush()

    def close(self) -> None:
        """Close the file as it is."""
        self._zip.fp = None  # otherwise zipfile writes a directory when the object is deleted
        self._file.close()


def _npy(images: NDArray[Any]) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, images, allow_pickle=False)
    size = file.tell()
    fault = f"a step of {size} bytes; at most {LARGEST_ARRAY}: give rows=, side= or dtype="
    _require(size <= LARGEST_ARRAY, fault)
    return file.getvalue()


def _encoded(run: Mapping[str, Any]) -> bytes:
    return json.dumps(run, ensure_ascii=False, allow_nan=False).encode()


def vae_decoder(vae: Any) -> Callable[[Any], Any]:
    """Return the function that makes images of the latents of a diffusers pipeline, for `decode`.

    Outside of the pipeline, call it, and `rec`, in `torch.no_grad()`.
    """
    factor, shift = vae.config.scaling_factor, getattr(vae.config, "shift_factor", None) or 0.0
    return lambda latents: vae.decode(latents / factor + shift, return_dict=False)[0]


def is_even(positions: Sequence[float]) -> bool:
    """Return whether positions rise in equal steps, to a hundredth of their range."""
    if len(positions) < 2:
        return False
    first, last = positions[0], positions[-1]
    step = (last - first) / (len(positions) - 1)
    errors = (abs(position - first - n * step) for n, position in enumerate(positions))
    return step > 0 and max(errors) <= 0.01 * (last - first)


def _whole(name: str, number: Any, least: int) -> int:
    """Return a whole number of any library as an int."""
    fault = f"{name} = {number!r}: give a whole number from {least} to 2**63 - 1"
    try:
        whole = operator.index(number)
    except TypeError:
        raise ValueError(fault) from None
    _require(least <= whole < 1 << 63, fault)
    return whole


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ValueError(fault)
