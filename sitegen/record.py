"""Record the states of any sampler in one .npz file, for sitegen to turn into figures.

    from sitegen.record import record

    with record("ours.npz", axis=("t", ""), range=(-1, 1)) as rec:
        for t, x, x0 in sampler():         # from the initial state, (N, C, H, W), on
            rec(t, x, final=x0)            # the state at t, and the image predicted from it

This file needs Python 3.8 and NumPy, and imports nothing else of sitegen: you may copy it into your
project.

The file is a zip archive of uncompressed .npy members, `state/00000.npy`, `final/00000.npy` and
`mean/00000.npy`, and of `run.json`, which describes them. `np.load` opens it. Only one step is in
memory at a time. The archive is complete after every step, so that a run that is killed leaves all
steps before that. If the kill comes in the middle of a write, sitegen still finds them, but
`np.load` may not.
"""

from __future__ import annotations

import io
import json
import math
import operator
import os
import re
import struct
import zlib
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
_UTF8, _DATE = 0x800, 0x21  # flags and date of a member: the name is UTF-8; 1 January 1980
_LIMIT_32 = (1 << 32) - 1  # from which on zip has fields of 64 bits
_PLANE_ENDS = "".join(chr(0x10000 * n + end) for n in range(17) for end in (0xFFFE, 0xFFFF))
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    "\u202a-\u202e\u2066-\u2069" + _PLANE_ENDS + "]"
)
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
    side: pixels a side; larger images are averaged over squares of pixels
    decode: function that turns recorded arrays into images, such as the decoder of a latent model
    scale: factor for the states of a value. `scale=lambda sigma: 1 / (1 + sigma**2) ** 0.5` makes
        states of σ = 80 fit into the range
    positions: evenly spaced places along an interpolation, from 0 to 1. The samples are then points
        of paths: their number is a multiple of that of the positions, and one path follows the
        other
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
        seed: int | None = None,
        made_with: str = "",
    ) -> None:
        low, high = (float(end) for end in range)
        wide = 1e-30 < high - low < 1e30
        _require(wide, f"range = ({low}, {high}): give black, then white, such as (-1, 1)")
        _require(layout in ("NCHW", "NHWC"), f'layout = "{layout}": give "NCHW" or "NHWC"')
        dtypes = ("uint8", "float16", "float32")
        _require(dtype in dtypes, f'dtype = "{dtype}": give "uint8", "float16" or "float32"')
        every = _whole("every", every, 1)
        side = None if side is None else _whole("side", side, 1)
        seed = None if seed is None else _whole("seed", seed, 0)
        pair = isinstance(axis, (tuple, list)) and len(axis) == 2 and all(map(_is_short, axis))
        _require(pair, f'axis = {axis!r}: give symbol and unit, as in ("t", "")')
        text = isinstance(made_with, str) and len(made_with) <= 1000 and not _ODD.search(made_with)
        _require(text, "made_with: give at most 1,000 characters, without control characters")
        fault = f"positions = {positions}: give 2 to 1,000, evenly spaced from 0 to 1"
        if positions is not None:
            _require(len(positions) <= 1000 and is_even(positions), fault)
            _require(abs(positions[0]) <= 0.01 and abs(positions[-1] - 1) <= 0.01, fault)
        self._path, self._layout, self._dtype = os.fspath(path), layout, dtype
        self._ends, self._every, self._side = (low, high), every, side
        self._decode, self._scale = decode, scale
        self._rows: slice | list[int] | None = None
        if isinstance(rows, Iterable):
            self._rows = [_whole("rows", each, 0) for each in rows]
        elif rows is not None:
            self._rows = slice(_whole("rows", rows, 1))
        _require(self._rows != [], "rows = []: give at least one")
        self._run: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "axis": list(axis),
            "range": [low, high],
            "seed": seed,
            "made_with": made_with,
            "positions": None if positions is None else [float(each) for each in positions],
            "scaled": scale is not None,
            "finished": False,
            "steps": [],
        }
        self._archive: _Archive | None = None
        self._calls = 0
        self._lineage: list[int] = []
        self._shape: tuple[int, ...] = ()
        self._pending: tuple[float, Arrays] | None = None

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
            if self._pending is not None:
                self._write(*self._pending)
            self._run["finished"] = kind is None
            self._archive.append({}, _encoded(self._run))
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
    ) -> None:
        """Record one step.

        value: the place on the axis, such as the time or the noise level of `states`
        states: (N, C, H, W) in the layout of the recording; NumPy, torch, JAX or similar
        final: the images (N, C, H, W) that the model predicts from these states
        mean: the expected states, of which `states` are a noisy sample. At the last step figures
            show it in place of the state, as for models, which do not add noise there
        parents: for each sample the index of the one before it came from, where samples split
        """
        if self._archive is None:
            raise RuntimeError("use it as `with record(…) as rec:`, and then rec(value, states)")
        place = float(value)
        where = f"step {self._calls} ({self._run['axis'][0]} = {place:.6g})"
        _require(math.isfinite(place), f"{where}: the value must be finite")
        factor = 1.0 if self._scale is None else self._scale(place)
        arrays = {"state": self._images(states, factor, f"{where}: the state")}
        if final is not None:
            arrays["final"] = self._images(final, 1.0, f"{where}: final")
        if mean is not None:
            arrays["mean"] = self._images(mean, factor, f"{where}: mean")
        self._follow(arrays, parents, where)
        self._pending = place, arrays
        if self._calls % self._every == 0:
            self._write(place, arrays)
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
        left = pipe.scheduler.timesteps[step + 1 :]
        if self._decode is None and getattr(pipe, "vae", None) is not None:
            self._decode = vae_decoder(pipe.vae)
        self(left[0] if len(left) else 0.0, callback_kwargs["latents"])
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

    def _images(self, given: Any, factor: float, what: str) -> NDArray[Any]:
        """Return images (N, C, H, W) as they are written."""
        import numpy as np  # here, so that importing this module takes no time

        images = _numbers(given if self._decode is None else self._decode(given))
        order = "(N, C, H, W)" if self._layout == "NCHW" else "(N, H, W, C)"
        fault = f"{what} has the shape {images.shape}; it must be {order}"
        _require(images.ndim == 4 and images.size > 0, fault)
        if self._layout == "NHWC":
            images = images.transpose(0, 3, 1, 2)
        hint = f'{fault} with 1 or 3 channels: check layout="{self._layout}", or give decode='
        _require(images.shape[1] in (1, 3), hint)
        images = _reduced(images, self._side, what)
        height, width = images.shape[2:]
        pixels = f"{what} has {height} x {width} pixels"
        _require(height == width, f"{pixels}; record squares, which decode= can make")
        _require(height <= LARGEST_SIDE, f"{pixels}; at most {LARGEST_SIDE} a side: give side=")
        _require(bool(np.isfinite(images).all()), f"{what} has values that are not finite")
        if factor != 1.0:
            images = images * images.dtype.type(factor)
        if self._dtype == "uint8":
            low, high = self._ends
            images = ((images - low) * (255 / (high - low))).round().clip(0, 255)
        with np.errstate(over="ignore"):
            written = np.ascontiguousarray(images.astype(self._dtype))
        too_large = f'{what} has values too large for "float16": give dtype="float32", or scale='
        _require(bool(np.isfinite(written).all()), too_large)
        return written

    def _follow(self, arrays: Arrays, parents: Sequence[int] | None, where: str) -> None:
        """Select the rows, and keep track of where each comes from in the last recorded step."""
        count = len(arrays["state"])
        for name, images in arrays.items():
            found, expected = images.shape, arrays["state"].shape
            _require(found == expected, f"{where}: {name} is {found}, and the state {expected}")
        _require(parents is None or self._rows is None, f"{where}: rows= excludes parents=")
        shape, before = arrays["state"].shape[1:], len(self._lineage)
        if self._calls == 0:
            _require(parents is None, f"{where}: the first step has no parents")
            if isinstance(self._rows, list):
                chosen = f"{where}: rows must be indices from 0 to {count - 1}"
                _require(all(0 <= each < count for each in self._rows), chosen)
            self._shape, self._lineage = shape, list(range(count))
        elif parents is None:
            fault = f"{where}: {count} samples after {before}: where samples split, give parents="
            _require(count == before, fault)
        else:
            fits = len(parents) == count and all(0 <= each < before for each in parents)
            _require(fits, f"{where}: parents must be {count} indices from 0 to {before - 1}")
            self._lineage = [self._lineage[each] for each in parents]
        _require(shape == self._shape, f"{where}: images of {shape} after {self._shape}")
        if self._rows is not None:
            for name, images in arrays.items():
                arrays[name] = images[self._rows]
        kept, places = len(arrays["state"]), len(self._run["positions"] or [0])
        _require(kept % places == 0, f"{where}: {kept} samples for {places} positions")
        many = f"{where}: {kept} samples; at most {MOST_SAMPLES}: give rows="
        _require(kept <= MOST_SAMPLES, many)

    def _write(self, value: float, arrays: Arrays) -> None:
        """Append a step to the file."""
        assert self._archive is not None
        self._pending = None
        steps = self._run["steps"]
        same = self._lineage == list(range(len(self._lineage)))
        kept = len(arrays["state"])
        parents = None if not steps or (same and kept == steps[-1]["count"]) else self._lineage
        members = {f"{name}/{len(steps):05}.npy": _npy(images) for name, images in arrays.items()}
        step = {"value": value, "count": kept, "parents": parents, "has": sorted(arrays)}
        run = {**self._run, "shape": list(self._shape), "steps": [*steps, step]}
        text = _encoded(run)
        small = len(self._archive.entries) + len(members) <= MOST_ARRAYS
        small = small and len(text) <= MOST_RUN_BYTES
        _require(small, f"a recording of more than {len(steps)} steps is too large: give every=")
        self._archive.append(members, text)
        self._run = run
        self._lineage = list(range(len(self._lineage)))


class _Archive:
    """A zip archive of uncompressed members that is complete after every call of `append`.

    A zip archive ends with its directory. `append` first copies the directory behind the room for
    the new members, then writes these, and at last a new directory. A write never touches the last
    complete directory, so that the file always has one, though after a kill in the middle of a
    write not at its end. `run.json` is replaced each time, and is therefore written with the
    directory.
    """

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - closed by `close`
        self.entries: list[bytes] = []
        self._end = 0  # of the members
        self._run = b"{}"

    def append(self, members: Mapping[str, bytes], run: bytes) -> None:
        """Write members, and `run` in place of the previous run.json."""
        entries, end = [*self.entries], self._end
        parts: list[bytes] = []
        for name, data in members.items():
            entries.append(_entry(name, data, end))
            parts += [_header(name, data), data]
            end += sum(map(len, parts[-2:]))
        last = self._file.seek(0, os.SEEK_END)
        if last and members:
            last = self._finish(max(last, end))
        self._file.seek(self._end)
        for part in parts:
            self._file.write(part)
        self._file.flush()
        self.entries, self._end, self._run = entries, end, run
        self._finish(max(last, end))

    def close(self) -> None:
        """Close the file, with the directory right after the members."""
        with self._file:
            self._file.truncate(self._finish(self._end))

    def _finish(self, start: int) -> int:
        """Write run.json and the directory at `start`, and return their end."""
        own = _header("run.json", self._run) + self._run
        entries = [*self.entries, _entry("run.json", self._run, start)]
        self._file.seek(start)
        self._file.write(own + _directory(entries, start + len(own)))
        self._file.flush()
        return self._file.tell()


def _header(name: str, data: bytes) -> bytes:
    """Return what precedes a member in a zip archive."""
    size, crc, coded = len(data), zlib.crc32(data), name.encode()
    fields = 0x04034B50, 20, _UTF8, 0, 0, _DATE, crc, size, size, len(coded), 0
    return struct.pack("<I5H3I2H", *fields) + coded


def _entry(name: str, data: bytes, offset: int) -> bytes:
    """Return the entry of a member in the directory; beyond 4 GiB its offset has 64 bits."""
    size, crc, coded = len(data), zlib.crc32(data), name.encode()
    far = offset >= _LIMIT_32
    extra = struct.pack("<2HQ", 1, 8, offset) if far else b""
    fields = (0x02014B50, 45, 45 if far else 20, _UTF8, 0, 0, _DATE, crc, size, size, len(coded))
    rest = len(extra), 0, 0, 0, 0, _LIMIT_32 if far else offset
    return struct.pack("<I6H3I5H2I", *fields, *rest) + coded + extra


def _directory(entries: Sequence[bytes], start: int) -> bytes:
    """Return the directory of an archive, and the record that locates it."""
    body, count = b"".join(entries), len(entries)
    wide = b""
    if start + len(body) >= _LIMIT_32:
        fields = 0x06064B50, 44, 45, 45, 0, 0, count, count, len(body), start
        wide = struct.pack("<IQ2H2I4Q", *fields)
        wide += struct.pack("<IIQI", 0x07064B50, 0, start + len(body), 1)
    last = 0x06054B50, 0, 0, count, count, len(body), min(start, _LIMIT_32), 0
    return body + wide + struct.pack("<I4H2IH", *last)


def _npy(images: NDArray[Any]) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, images, allow_pickle=False)
    data = file.getvalue()
    large = f"a step of {len(data)} bytes; at most {LARGEST_ARRAY}: give rows=, side= or dtype="
    _require(len(data) <= LARGEST_ARRAY, large)
    return data


def _encoded(run: Mapping[str, Any]) -> bytes:
    return json.dumps(run, ensure_ascii=False, allow_nan=False).encode()


def _numbers(given: Any) -> NDArray[Any]:
    """Return an array of any library as a NumPy array, float64 if it is float64, else float32."""
    import numpy as np

    if hasattr(given, "detach"):  # torch, where the array may be on a GPU and of bfloat16
        given = given.detach().cpu()
        given = given.float() if given.element_size() < 4 else given
    array = np.asarray(given)
    _require(array.dtype.kind != "c", "the numbers are complex: give their real part, or decode=")
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _reduced(images: NDArray[Any], side: int | None, what: str) -> NDArray[Any]:
    """Average squares of pixels, so that the longer side has `side` pixels."""
    height, width = images.shape[2:]
    if side is None or max(height, width) == side:
        return images
    factor, rest = divmod(max(height, width), side)
    fits = rest == 0 and height % factor == 0 and width % factor == 0
    _require(fits, f"{what} has {height} x {width} pixels, which side = {side} does not divide")
    blocks = images.reshape(*images.shape[:2], height // factor, factor, width // factor, factor)
    averaged: NDArray[Any] = blocks.mean((3, 5))
    return averaged


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
    off = (abs(each - first - number * step) for number, each in enumerate(positions))
    return step > 0 and max(off) <= 0.01 * (last - first)


def _whole(name: str, given: Any, least: int) -> int:
    """Return a whole number of any library as an int."""
    fault = f"{name} = {given!r}: give a whole number from {least} to 2**63 - 1"
    try:
        number = operator.index(given)
    except TypeError:
        raise ValueError(fault) from None
    _require(least <= number < 1 << 63, fault)
    return number


def _is_short(word: object) -> bool:
    return isinstance(word, str) and len(word) <= 200 and word.isprintable()


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ValueError(fault)
