"""Our own weights files: safetensors, written the same byte for byte, checked before they are read.

Reading a header needs no torch.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from sitegen.core.errors import RefusedError
from sitegen.core.files import digest_bytes, write_atomic

if TYPE_CHECKING:
    import torch
    from torch import Tensor

STATISTICS = ("statistics.mean", "statistics.variance")
"""Names of a preconditioned model's statistics, which are always stored as float32."""
COARSE = "coarse."
"""How the names of its network for coarse levels begin, if it has one."""

_HEADER_LIMIT = 100 << 20
_DAMAGE = (SafetensorError, OSError, ValueError, RecursionError, KeyError, TypeError, OverflowError)


@dataclass(frozen=True)
class Entry:
    """One tensor of a file, not read yet. `dtype` is safetensors' name of it: F16, BF16, F32, …"""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, and its free texts."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]


def is_of_unet(name: str) -> bool:
    """Whether a tensor of this name is one of the U-Net's."""
    return name not in STATISTICS and not name.startswith(COARSE)


def read_header(path: Path) -> Header:
    """What a safetensors file holds. Raises RefusedError if it is damaged or odd."""
    with _damage(path), path.open("rb") as file:
        (length,) = struct.unpack("<Q", _exactly(file.read(8), 8))
        if length > _HEADER_LIMIT:
            raise ValueError(f"its header claims {length} bytes")
        text = _exactly(file.read(length), length).decode()
        tables = json.loads(text, object_pairs_hook=_without_twins)
        with safe_open(path, framework="numpy"):  # offsets, overlaps, holes, sizes
            pass
        metadata = tables.pop("__metadata__", {})
        entries = {
            name: Entry(table["dtype"], tuple(table["shape"])) for name, table in tables.items()
        }
    return Header(entries, metadata)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, each of its own type and in memory of its own."""
    with _damage(path), safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118


def save_weights(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> str:
    """Write `tensors` by name, the statistics as float32 and the rest as `dtype`, a float type.

    The same tensors give the same bytes. Returns the SHA-256 of the file. Raises RefusedError for
    a number that is not finite, or too large for `dtype`.
    """
    import torch
    from safetensors.torch import save

    stored = {}
    for name, tensor in tensors.items():
        kind = torch.float32 if name in STATISTICS else dtype
        stored[name] = tensor.detach().to("cpu", kind, copy=True).contiguous()
        if not bool(torch.isfinite(stored[name]).all()):
            raise RefusedError(f"{path}: {name} holds numbers that {dtype} cannot hold")
    data = save(stored)
    write_atomic(path, data)
    return digest_bytes(data)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise RefusedError(f"{path}: damaged or not a checkpoint: {error}") from None


def _exactly(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise ValueError(f"it ends after {len(data)} of {length} bytes of its header")
    return data


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header holds a name twice")
    return found
