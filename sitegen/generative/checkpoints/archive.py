"""Cached scans of checkpoint files, valid until a file changes; no torch.

Inspecting a model, checking that it fits its card and loading it all use `scan`, so that a large
file is unpickled and read as a whole only once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sitegen.generative.checkpoints.weights as ours
from sitegen.core.errors import RefusedError
from sitegen.core.files import cached_by_stat, format_of, regular_size, sha256
from sitegen.generative.checkpoints.pickles import StoredTensor
from sitegen.generative.checkpoints.zips import Numbers as Numbers
from sitegen.generative.checkpoints.zips import Published, open_archive, open_file

Contents = Published | ours.Header
"""Content of a file without its numbers."""
Stored = StoredTensor | ours.Entry
"""A stored tensor that has not been read."""
HEAD = ("out.2.weight", "out.2.bias")
"""Tensors of the last convolution. If it has twice the channels, the second half is a learned
variance.
"""


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
def scan(path: Path, select: Callable[[Contents], Numbers] | None = None) -> Scan:
    """Open a checkpoint once and read all of it: its contents, digest, checksums and numbers.

    `select` returns, for the contents, the numbers to fill in on the way; it is not called if the
    scan was cached. Raises RefusedError for a file that is missing, unsafe, damaged or not a
    checkpoint, and as `select` does, before the numbers are read.
    """
    size = regular_size(path, "checkpoint")
    with open_file(path) as file:
        if format_of(path, file.start, size) == "pth":
            with open_archive(path, file) as archive:
                published = archive.contents()
                numbers = select(published) if select else {}
                return Scan(published, size, *archive.scan(published, numbers))
    header = ours.read_header(path)
    return Scan(header, size, *ours.scan(path, header, select(header) if select else {}))


def read_numbers(path: Path, numbers: Numbers) -> None:
    """Fill in the requested numbers of a checkpoint that are still empty."""
    wanted = [stored for stored, data in numbers.items() if not data]
    if wanted and isinstance(wanted[0], ours.Entry):
        numbers |= {entry: ours.read_numbers(path, entry) for entry in wanted}
    elif wanted:
        with open_file(path) as file, open_archive(path, file) as archive:
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
