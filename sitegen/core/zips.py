"""Zip files of strangers, opened by `zipfile` after a look at what they claim."""

import struct
import zipfile
import zlib
from typing import IO

DIRECTORY_BYTES = 4 << 20
"""Maximum bytes of the central directory, which has room for about 40,000 members."""
UNPACKED, UNPACKED_BYTES = 64, 16 << 20
"""A packed file may unpack to this multiple of its size, plus this many bytes."""
ZIP_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,  # an encrypted member, or an unknown compression
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    LookupError,
)
"""Exceptions that `zipfile` raises for damaged files."""
_END = b"PK\x05\x06"


def open_zip(file: IO[bytes], size: int) -> zipfile.ZipFile:
    """Open a zip of `size` bytes with unique, stored or deflated members of bounded size.

    The size of the directory is checked before `zipfile` reads it. Raises one of `ZIP_DAMAGE`,
    ValueError for a refused zip.
    """
    if _directory_bytes(file, size) > DIRECTORY_BYTES:
        raise ValueError("the zip holds far too many files")
    zipped = zipfile.ZipFile(file)
    members = zipped.infolist()
    if len(zipped.NameToInfo) < len(members):
        raise ValueError("the zip holds a name twice")
    if any(m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in members):
        raise ValueError("the zip has a member that is neither stored nor deflated")
    stored = sum(m.file_size for m in members if m.compress_type == zipfile.ZIP_STORED)
    deflated = sum(m.file_size for m in members) - stored
    if stored > size or deflated > UNPACKED * size + UNPACKED_BYTES:
        raise ValueError(f"the zip would unpack to far more than its {size:,} bytes")
    return zipped


def _directory_bytes(file: IO[bytes], size: int) -> int:
    """Return the size of the central directory that the record at the end claims.

    `zipfile` prefers a record without a comment to one whose mark comes later, in a comment. A
    locator before it leads to a longer record of 56 bytes.
    """
    start = max(0, size - (1 << 17))
    file.seek(start)
    tail = file.read()
    at, last = tail.rfind(_END), max(0, len(tail) - 22)
    if tail.startswith(_END, last) and tail.endswith(b"\0\0"):
        at = last
    if tail.startswith(b"PK\x06\x07", max(0, at - 20)) and at >= 76:
        return int(struct.unpack_from("<Q", tail, at - 36)[0])
    return int(struct.unpack_from("<I", tail, at + 12)[0]) if 0 <= at <= len(tail) - 22 else 0
