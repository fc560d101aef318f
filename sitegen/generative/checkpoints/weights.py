"""Our own weights files: safetensors, written reproducibly, and checked before they are read.

Reading a header needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitegen.core.errors import RefusedError
from sitegen.core.files import canonical_json, digest_bytes, reject_duplicate_keys, write_atomic
from sitegen.generative.card.card import ModelCard, plain
from sitegen.generative.checkpoints.floats import is_finite
from sitegen.generative.checkpoints.limits import DIMENSIONS, HEADER_BYTES, PART_BYTES
from sitegen.generative.checkpoints.quantised import INT8, SCALE, quantised, restored

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

STATISTICS = ("statistics.mean", "statistics.variance")
"""Names of the data's statistics, of preconditioned and guided models; always float32."""
RESIDUAL = "statistics.residual"
"""Name of the optional residual variance of a preconditioned model, also stored as float32."""
BANDS = "bands."
"""Prefix of the names of a cascade's networks, followed by the number of the band and a dot."""
MEANING = (
    *(("unet", "norm_groups"), ("unet", "patch_size"), ("diffusion", "prediction_type")),
    *(("flow", "data_time"), ("flow", "time_scale"), ("edm", "sigma_data"), ("edm", "time_scale")),
    *(("sde", "family"), ("sde", "centered"), ("blurring", "time_scale")),
)
"""Keys of a card that decide the meaning of weights but not their shapes; copied to file notes."""
NOISED = "kind"
"""File note with the kind of a model that has statistics and starts from noise."""
CASCADE = "bands"
"""File note with the bands of its networks, as canonical JSON."""

_NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""NumPy types of safetensors' types; NumPy has no bfloat16."""

_DAMAGE = (OSError, ValueError, RecursionError, KeyError, TypeError, OverflowError)


@dataclass(frozen=True)
class Entry:
    """A tensor of a file that has not been read. `dtype` is safetensors' name: F16, BF16, F32, …

    Its numbers are row-major, from byte `start` to `end` of the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int
    strides: None = None


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, in the order of their numbers, and its notes."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]


def is_of_unet(name: str) -> bool:
    """Return whether a tensor belongs to a single U-Net."""
    return name not in (*STATISTICS, RESIDUAL) and not name.startswith(BANDS)


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file. Raises RefusedError if it is damaged or unusual."""
    from safetensors import safe_open

    with _damage(path), path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(HEADER_BYTES, path.stat().st_size - 8):
            raise ValueError(f"its header claims {length} bytes")
        with safe_open(path, framework="numpy"):  # offsets, overlaps, holes, sizes
            pass
        tables = json.loads(file.read(length), object_pairs_hook=reject_duplicate_keys)
        metadata = tables.pop("__metadata__", {})
        entries = {}
        for name, table in sorted(tables.items(), key=lambda pair: pair[1]["data_offsets"]):
            start, end = (8 + length + at for at in table["data_offsets"])
            if len(table["shape"]) > DIMENSIONS:
                raise ValueError(f"{name[:100]} has more than {DIMENSIONS} axes")
            entries[name] = Entry(name, table["dtype"], tuple(table["shape"]), start, end)
    return Header(entries, metadata)


def scan(path: Path, header: Header, numbers: dict[Any, bytearray]) -> tuple[str, frozenset[Entry]]:
    """Read a whole file once; return its SHA-256, and the tensors with numbers that are not finite.

    Fills in the requested `numbers`.
    """
    found, broken = hashlib.sha256(), set()
    with _damage(path), path.open("rb") as file:
        for entry in header.entries.values():
            found.update(file.read(entry.start - file.tell()))
            kept = bytearray() if entry in numbers else None
            for at in range(entry.start, entry.end, PART_BYTES):
                data = file.read(min(PART_BYTES, entry.end - at))
                found.update(data)
                if not is_finite(entry.dtype, data):
                    broken.add(entry)
                if kept is not None:
                    kept += data
            if kept is not None:
                numbers[entry] = kept
        found.update(file.read())
    return found.hexdigest(), frozenset(broken)


def read_numbers(path: Path, entry: Entry) -> bytearray:
    """Return the bytes of a tensor's numbers, little-endian."""
    with _damage(path), path.open("rb") as file:
        file.seek(entry.start)
        return bytearray(file.read(entry.end - entry.start))


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return all tensors of a file by name, as float32, with byte weights restored; no torch.

    Raises RefusedError if the file is missing, damaged, or has anything else.
    """
    import numpy as np

    arrays: dict[str, Any] = {}
    entries = read_header(path).entries
    for name, entry in entries.items():
        if entry.dtype == INT8 and name + SCALE in entries:
            arrays[name] = np.frombuffer(read_numbers(path, entry), np.int8).reshape(entry.shape)
            continue
        if entry.dtype not in _NUMBERS:
            raise RefusedError(f"{path}: {name[:100]} holds {entry.dtype[:100]}, not floats")
        numbers = np.frombuffer(read_numbers(path, entry), _NUMBERS[entry.dtype])
        if entry.dtype == "BF16":  # the upper half of a float32
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = numbers.astype(np.float32).reshape(entry.shape)
    for name, scale in scales_of(path, entries).items():
        arrays[name] = restored(arrays[name], arrays.pop(scale))
    return arrays


def scales_of(path: Path, entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return the byte weights in a safetensors file, with the names of their scales.

    Raises RefusedError if the scales do not fit.
    """
    found = {}
    for name, entry in entries.items():
        scale = entries.get(name + SCALE)
        if entry.dtype != INT8 or scale is None:
            continue
        if scale.dtype != "F32" or not entry.shape or scale.shape != entry.shape[:1]:
            raise RefusedError(f"{path}: {scale.name} is not a float32 for each row of {name}")
        found[name] = scale.name
    return found


def save_weights(
    path: Path,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype,
    card: ModelCard | None = None,
    small: Collection[str] = (),
) -> str:
    """Write `tensors` by name, the statistics as float32 and the rest as `dtype`, a float type.

    Those named in `small` are stored as bytes (`quantised.py`). For a card with several networks,
    the bands of levels are stored too. The same tensors give the same bytes. Returns the SHA-256 of
    the file. Raises RefusedError for a number that is not finite, or too large for `dtype`.
    """
    import torch
    from safetensors.torch import save

    stored = {}
    for name, tensor in tensors.items():
        kind = torch.float32 if name in (*STATISTICS, RESIDUAL) else dtype
        stored[name] = tensor.detach().to("cpu", kind, copy=True).contiguous()
        if not bool(torch.isfinite(stored[name]).all()):
            raise RefusedError(f"{path}: {name} holds numbers that {dtype} cannot hold")
    for name in small:
        numbers, scale = quantised(tensors[name].detach().cpu().float().numpy())
        stored |= {name: torch.from_numpy(numbers), name + SCALE: torch.from_numpy(scale)}
    data = save(stored, notes(card) or None if card else None)
    write_atomic(path, data)
    return digest_bytes(data)


def notes(card: ModelCard) -> dict[str, str]:
    """Return the file notes for a card: its settings that decide the meaning of the weights."""
    if card.bands:
        return {CASCADE: canonical_json(plain(card.bands))}
    noised = {NOISED: card.kind} if card.has_statistics and "blur" not in card.abilities else {}
    return noised | {".".join(key): value for key in MEANING if (value := meaning(card, key))}


def meaning(card: ModelCard, key: tuple[str, str]) -> str | None:
    """Return a card's value for a key of `MEANING`; None if it has no such table or value."""
    value = getattr(getattr(card, key[0]), key[1], None)
    return None if value is None else str(value)


def prefixes(card: ModelCard) -> tuple[str, ...]:
    """Return the prefix of the tensors' names for each of the card's networks."""
    return tuple(f"{BANDS}{number}." for number in range(len(card.bands))) or ("",)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, *_DAMAGE) as error:
        raise RefusedError(f"{path}: damaged or not a checkpoint: {error}") from None
