"""What is in a checkpoint's file, looked at once and remembered until the file changes; no torch.

Telling what a model is, checking that it fits its card and loading it all go through here, so that
a large file is unpickled once and read whole once, however many of them ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sitegen.ihdm.checkpoints.weights as ours
from sitegen.core.errors import RefusedError
from sitegen.core.files import once_a_file, sha256, sniff
from sitegen.ihdm.checkpoints.archive import Published, open_archive
from sitegen.ihdm.checkpoints.pickles import StoredTensor

Stored = StoredTensor | ours.Entry
"""A tensor of a file that has not been read."""


@dataclass(frozen=True, eq=False)
class Scan:
    """A file that has been read whole: what it holds, its size and digest.

    `broken` are those of its tensors with numbers that are not finite.
    """

    contents: Published | ours.Header
    bytes: int
    sha256: str
    broken: frozenset[Stored]


@once_a_file
def read_contents(path: Path) -> Published | ours.Header:
    """The names, shapes and notes of a checkpoint; none of its numbers is read or checked.

    Raises RefusedError for a file that is missing, unsafe or no checkpoint.
    """
    if sniff(path) == "safetensors":
        return ours.read_header(path)
    with open_archive(path) as archive:
        return archive.contents()


@once_a_file
def scan(path: Path) -> Scan:
    """Read a checkpoint whole, in one pass: its digest, its checksums, its numbers.

    Raises RefusedError for a file that is missing, unsafe, damaged or no checkpoint.
    """
    contents = read_contents(path)
    broken: frozenset[Stored]
    if isinstance(contents, ours.Header):
        digest, broken = ours.scan(path, contents)
    else:
        with open_archive(path) as archive:
            digest, broken = archive.scan(contents)
    return Scan(contents, path.stat().st_size, digest, broken)


def checkpoint_digest(path: Path) -> str:
    """SHA-256 of a checkpoint, read so that loading it needs not read it whole again.

    Also of a file that is none. Raises RefusedError if it cannot be read.
    """
    try:
        return scan(path).sha256
    except RefusedError:
        return sha256(path)
