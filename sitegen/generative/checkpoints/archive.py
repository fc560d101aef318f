"""Cached scans of checkpoint files, valid until a file changes; no torch.

Inspecting a model, checking that it fits its card and loading it all use `scan`, so that a large
file is unpickled and read as a whole only once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sitegen.generative.checkpoints.weights as ours
from sitegen.core.errors import RefusedError
from sitegen.core.files import cached_by_stat, sha256, sniff
from sitegen.generative.checkpoints.pickles import StoredTensor
from sitegen.generative.checkpoints.zips import Numbers as Numbers
from sitegen.generative.checkpoints.zips import Published, open_archive

Contents = Published | ours.Header
"""Content of a file without its numbers."""
Stored = StoredTensor | ours.Entry
"""A stored tensor that has not been read."""
HEAD = ("out.2.weight", "out.2.bias")
"""Tensors of the last convolution. If it has twice the channels, the second half is a learned
variance.
"""


_format = cached_by_stat(sniff)


@dataclass(frozen=True, eq=False)
class Scan:
    """The result of reading a whole file: its content, size and digest.

    `broken` are the tensors with numbers that are not finite.
    """

    contents: Contents
    bytes: int
    sha256: str
    broken: frozenset[Stored]


@cached_by_stat
def read_contents(path: Path) -> Contents:
    """Read the names, shapes and notes of a checkpoint, without reading or checking its numbers.

    Raises RefusedError for a file that is missing, unsafe or not a checkpoint.
    """
    if _format(path) == "safetensors":
        return ours.read_header(path)
    with open_archive(path) as archive:
        return archive.contents()


@cached_by_stat
def scan(path: Path, numbers: Numbers | None = None) -> Scan:
    """Read a whole checkpoint in one pass: its digest, its checksums and its numbers.

    Requested `numbers` are filled in on the way, unless the scan was cached. Raises as
    `read_contents` does, and RefusedError for a damaged file.
    """
    kept = {} if numbers is None else numbers
    contents, size = read_contents(path), path.stat().st_size
    if isinstance(contents, ours.Header):
        return Scan(contents, size, *ours.scan(path, contents, kept))
    with open_archive(path) as archive:
        return Scan(contents, size, *archive.scan(contents, kept))


def read_numbers(path: Path, numbers: Numbers) -> None:
    """Fill in the requested numbers of a checkpoint that are still empty."""
    wanted = [stored for stored, data in numbers.items() if not data]
    if wanted and isinstance(wanted[0], ours.Entry):
        numbers |= {entry: ours.read_numbers(path, entry) for entry in wanted}
    elif wanted:
        with open_archive(path) as archive:
            archive.read(numbers)


def checkpoint_digest(path: Path) -> str:
    """Return the SHA-256 of a checkpoint; the scan is cached for loading it.

    Also works for a file that is not a checkpoint. Raises RefusedError if it cannot be read.
    """
    try:
        return scan(path).sha256
    except RefusedError:
        return sha256(path)


def has_learned_variance(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether a U-Net with these shapes has two outputs per channel: noise and variance."""
    first, last = (shapes.get(name, ()) for name in ("input_blocks.0.0.weight", HEAD[0]))
    return len(first) == 4 and len(last) == 4 and last[0] == 2 * first[1]
