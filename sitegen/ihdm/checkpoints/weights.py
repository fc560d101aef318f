"""Our own weights files: safetensors, written the same byte for byte, checked before they are read.

Reading a header needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitegen.core.errors import RefusedError
from sitegen.core.files import digest_bytes, write_atomic
from sitegen.ihdm.card.networks import CoarseConfig

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

STATISTICS = ("statistics.mean", "statistics.variance")
"""Names of a preconditioned model's statistics, which are always stored as float32."""
COARSE = "coarse."
"""How the names of its network for coarse levels begin, if it has one."""
LOWEST_LEVEL = "coarse.lowest_level"
"""The note of a file that says from which level on that network is to be asked."""

FLOATS = {
    **dict.fromkeys(("Double", "F64"), "float64"),
    **dict.fromkeys(("Float", "F32"), "float32"),
    **dict.fromkeys(("Half", "F16"), "float16"),
    **dict.fromkeys(("BFloat16", "BF16"), "bfloat16"),
}
"""Types of floats, as PyTorch's files and safetensors call them, and by their usual names."""
_EXPONENTS = {
    "float64": ("<u8", 0x7FF0 << 48),
    "float32": ("<u4", 0x7F80 << 16),
    "float16": ("<u2", 0x7C00),
    "bfloat16": ("<u2", 0x7F80),
}
"""The bits of each type of floats that are all set in infinities and NaN only."""
_NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""How numpy reads what safetensors calls so; it has no bfloat16."""

_HEADER_LIMIT = 100 << 20
_DAMAGE = (OSError, ValueError, RecursionError, KeyError, TypeError, OverflowError)


@dataclass(frozen=True)
class Entry:
    """One tensor of a file, not read yet. `dtype` is safetensors' name of it: F16, BF16, F32, …"""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, in the order of their numbers, and its free texts."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]


def is_of_unet(name: str) -> bool:
    """Whether a tensor of this name is one of the U-Net's."""
    return name not in STATISTICS and not name.startswith(COARSE)


def read_header(path: Path) -> Header:
    """What a safetensors file holds. Raises RefusedError if it is damaged or odd."""
    from safetensors import safe_open

    with _damage(path), path.open("rb") as file:
        (length,) = struct.unpack("<Q", _exactly(file.read(8), 8))
        if length > _HEADER_LIMIT:
            raise ValueError(f"its header claims {length} bytes")
        text = _exactly(file.read(length), length).decode()
        tables = json.loads(text, object_pairs_hook=_without_twins)
        with safe_open(path, framework="numpy"):  # offsets, overlaps, holes, sizes
            pass
        metadata = tables.pop("__metadata__", {})
        entries = {}
        for name, table in sorted(tables.items(), key=lambda pair: pair[1]["data_offsets"]):
            start, end = table["data_offsets"]
            entries[name] = Entry(name, table["dtype"], tuple(table["shape"]), end - start)
    return Header(entries, metadata)


def scan(path: Path, header: Header) -> tuple[str, frozenset[Entry]]:
    """Read all of a file once: its SHA-256, and the tensors with numbers that are not finite."""
    found, broken = hashlib.sha256(), set()
    with _damage(path), path.open("rb") as file:
        start = path.stat().st_size - sum(entry.bytes for entry in header.entries.values())
        found.update(file.read(start))
        for entry in header.entries.values():
            data = file.read(entry.bytes)
            found.update(data)
            if not is_finite(entry.dtype, data):
                broken.add(entry)
    return found.hexdigest(), frozenset(broken)


def is_finite(dtype: str, data: bytes | memoryview) -> bool:
    """Whether numbers of a type, as PyTorch or safetensors calls it, hold no infinity and no NaN.

    Whole numbers and types that we do not know count as finite.
    """
    import numpy as np

    if dtype not in FLOATS:
        return True
    kind, mask = _EXPONENTS[FLOATS[dtype]]
    numbers = np.frombuffer(data, kind)
    return not bool((numbers & numbers.dtype.type(mask) == mask).any())


def read_tensors(path: Path, names: Iterable[str]) -> list[Tensor]:
    """Tensors of a file, each of its own type and in memory of its own."""
    from safetensors import safe_open

    with _damage(path), safe_open(path, framework="pt") as file:
        return [file.get_tensor(name).clone() for name in names]


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """All tensors of a file by name, as float32, without torch.

    Raises RefusedError if the file is missing, damaged, or holds anything but floats.
    """
    import numpy as np

    header, arrays = read_header(path), {}
    with _damage(path), path.open("rb") as file:
        file.seek(-sum(entry.bytes for entry in header.entries.values()), os.SEEK_END)
        for name, entry in header.entries.items():
            if entry.dtype not in _NUMBERS:
                raise ValueError(f"{name} holds {entry.dtype}, not floats")
            numbers = np.frombuffer(file.read(entry.bytes), _NUMBERS[entry.dtype])
            if entry.dtype == "BF16":  # the upper half of a float32
                numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
            arrays[name] = numbers.astype(np.float32).reshape(entry.shape)
    return arrays


def save_weights(
    path: Path,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype,
    coarse: CoarseConfig | None = None,
) -> str:
    """Write `tensors` by name, the statistics as float32 and the rest as `dtype`, a float type.

    `coarse` is the network for coarse levels that is among them: from which level on it answers is
    written along. The same tensors give the same bytes. Returns the SHA-256 of the file. Raises
    RefusedError for a number that is not finite, or too large for `dtype`.
    """
    import torch
    from safetensors.torch import save

    stored = {}
    for name, tensor in tensors.items():
        kind = torch.float32 if name in STATISTICS else dtype
        stored[name] = tensor.detach().to("cpu", kind, copy=True).contiguous()
        if not bool(torch.isfinite(stored[name]).all()):
            raise RefusedError(f"{path}: {name} holds numbers that {dtype} cannot hold")
    data = save(stored, {LOWEST_LEVEL: str(coarse.lowest_level)} if coarse else None)
    write_atomic(path, data)
    return digest_bytes(data)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, *_DAMAGE) as error:
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
