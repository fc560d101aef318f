"""What is in a checkpoint's file, looked at once and remembered until the file changes; no torch.

Telling what a model is, checking that it fits its card and loading it all go through `scan`, so
that a large file is unpickled once and read whole once, however many of them ask.
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
"""What a file holds, its numbers aside."""
Stored = StoredTensor | ours.Entry
"""A tensor of a file that has not been read."""
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
    """Read the names, shapes and notes of a checkpoint; none of its numbers is read or checked.

    Raises RefusedError for a file that is missing, unsafe or not a checkpoint.
    """
    if _format(path) == "safetensors":
        return ours.read_header(path)
    with open_archive(path) as archive:
        return archive.contents()


@cached_by_stat
def scan(path: Path, numbers: Numbers | None = None) -> Scan:
    """Read a checkpoint whole, in one pass: its digest, its checksums, its numbers.

    The `numbers` that are wanted are kept on the way; nothing is filled in if the file was read
    before. Raises as `read_contents` does, and RefusedError for a file that is damaged.
    """
    kept = {} if numbers is None else numbers
    contents, size = read_contents(path), path.stat().st_size
    if isinstance(contents, ours.Header):
        return Scan(contents, size, *ours.scan(path, contents, kept))
    with open_archive(path) as archive:
        return Scan(contents, size, *archive.scan(contents, kept))


def read_numbers(path: Path, numbers: Numbers) -> None:
    """Fill in the numbers, of one checkpoint, that are still wanted."""
    wanted = [stored for stored, data in numbers.items() if not data]
    if wanted and isinstance(wanted[0], ours.Entry):
        numbers |= {entry: ours.read_numbers(path, entry) for entry in wanted}
    elif wanted:
        with open_archive(path) as archive:
            archive.read(numbers)


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
