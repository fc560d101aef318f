"""Opening of an untrusted zip file: a bounded directory, and no member of an unusual kind."""

import io
import struct
import zipfile
import zlib
from collections import Counter
from typing import IO

DIRECTORY_BYTES = 4 << 20
"""Maximum bytes of the central directory, which has room for about 40,000 members."""
ZIP_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # an encrypted member, or an unknown compression
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    KeyError,
)
"""Exceptions that `zipfile` raises for damaged files."""
_RECORD_BYTES = 1 << 17


def open_zip(file: IO[bytes], unpacked_bytes: int) -> zipfile.ZipFile:
    """Open a zip with unique, stored or deflated members of at most `unpacked_bytes` in total.

    The size of the directory is checked before `zipfile` reads it. Raises one of `ZIP_DAMAGE`,
    ValueError for a refused zip.
    """
    if _directory_bytes(file) > DIRECTORY_BYTES:
        raise ValueError("the zip holds far too many files")
    zipped = zipfile.ZipFile(file)
    members = zipped.infolist()
    counts = Counter(member.filename for member in members)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"the zip holds {twice[0][:100]} twice")
    if any(
        each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for each in members
    ):
        raise ValueError("the zip has a member that is neither stored nor deflated")
    if sum(member.file_size for member in members) > unpacked_bytes:
        raise ValueError(f"the zip would unpack to far more than {unpacked_bytes:,} bytes")
    return zipped


def _directory_bytes(file: IO[bytes]) -> int:
    """Return the size of the central directory, from the record that `zipfile` will use.

    That record is the last 22 bytes if they are one without a comment, otherwise the last one in
    the file. A locator before it leads to a longer record of 56 bytes.
    """
    start = max(0, file.seek(0, io.SEEK_END) - _RECORD_BYTES)
    file.seek(start)
    end = file.read(_RECORD_BYTES)
    file.seek(0)
    at, last = end.rfind(b"PK\x05\x06"), max(0, len(end) - 22)
    if end.startswith(b"PK\x05\x06", last) and end.endswith(b"\0\0"):
        at = last
    if end.startswith(b"PK\x06\x07", max(0, at - 20)) and at >= 76:
        return int(struct.unpack_from("<Q", end, at - 36)[0])
    return int(struct.unpack_from("<I", end, at + 12)[0]) if 0 <= at <= len(end) - 22 else 0
