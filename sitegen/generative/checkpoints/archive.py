"""What is in a checkpoint's file, looked at once and remembered until the file changes; no torch.

Telling what a model is, checking that it fits its card and loading it all go through `scan`, so
that a large file is unpickled once and read whole once, however many of them ask.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sitegen.generative.checkpoints.apart as apart
import sitegen.generative.checkpoints.weights as ours
from sitegen.core.errors import RefusedError
from sitegen.core.files import cached_by_stat, sha256, sniff
from sitegen.generative.checkpoints.pickles import StoredTensor
from sitegen.generative.checkpoints.zips import Published

Contents = Published | ours.Header
"""What a file holds, its numbers aside."""
Stored = StoredTensor | ours.Entry
"""A tensor of a file that has not been read."""
Numbers = dict[Any, bytearray]
"""The bytes of stored tensors, little-endian; to be filled in where they are empty."""
HEAD = ("out.2.weight", "out.2.bias")
"""The last convolution. Where it has twice the channels, the others are of a learned variance."""


_format = cached_by_stat(sniff)


@dataclass(frozen=True, eq=False)
class Scan:
    """A file that has been read whole: what it holds, its size and digest.

    `broken` are those of its tensors with numbers that are not finite.
    """

    contents: Contents
    bytes: int
    sha256: str
    broken: frozenset[Stored]


@cached_by_stat
def read_contents(path: Path) -> Contents:
    """The names, shapes and notes of a checkpoint; none of its numbers is read or checked.

    Raises RefusedError for a file that is missing, unsafe or no checkpoint, PlatformError where it
    cannot be read now.
    """
    return ours.read_header(path) if _format(path) == "safetensors" else apart.contents(path)


@cached_by_stat
def scan(path: Path, numbers: Numbers | None = None) -> Scan:
    """Read a checkpoint whole, in one pass: its digest, its checksums, its numbers.

    The `numbers` that are wanted of it are kept on the way; nothing is where it was read before.
    Raises as `read_contents` does, and RefusedError for a file that is damaged.
    """
    kept = {} if numbers is None else numbers
    if _format(path) == "safetensors":
        header = read_contents(path)
        assert isinstance(header, ours.Header)
        return Scan(header, path.stat().st_size, *ours.scan(path, header, kept))
    return Scan(*apart.scan(path, kept))


def read_numbers(path: Path, numbers: Numbers) -> None:
    """Fill in the numbers, of one checkpoint, that are still wanted."""
    wanted = [stored for stored, data in numbers.items() if not data]
    if wanted and isinstance(wanted[0], ours.Entry):
        numbers |= {entry: ours.read_numbers(path, entry) for entry in wanted}
    elif wanted:
        apart.numbers(path, numbers)


def checkpoint_digest(path: Path) -> str:
    """SHA-256 of a checkpoint, read so that loading it needs not read it whole again.

    Also of a file that is none. Raises RefusedError if it cannot be read.
    """
    try:
        return scan(path).sha256
    except RefusedError:
        return sha256(path)


def has_learned_variance(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a U-Net with weights of these shapes answers with two numbers for each of a pixel."""
    first, last = (shapes.get(name, ()) for name in ("input_blocks.0.0.weight", HEAD[0]))
    return len(first) == 4 and len(last) == 4 and last[0] == 2 * first[1]
