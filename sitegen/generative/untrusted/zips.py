"""Opening of an untrusted zip file: a bounded directory, and no member of an unusual kind."""

import io
import struct
import zipfile
import zlib
from collections import Counter
from typing import IO, Any, cast

DIRECTORY_BYTES = 4 << 20
"""Maximum bytes of the central directory, which has room for about 40,000 members."""
UNPACKED, UNPACKED_BYTES = 64, 16 << 20
"""A packed file of images may unpack to this multiple of its size, plus this many bytes."""
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
_PIECE = 1 << 20
_FARTHEST = 4 << 30
"""Maximum bytes behind the last whole directory; a step of a recording has at most 3 GiB."""
_MOST_MARKS = 1000
"""Maximum number of places that are tried as the end of a zip; numbers in arrays may look so."""


def open_zip(file: IO[bytes], unpacked_bytes: int) -> zipfile.ZipFile:
    """Open a zip with unique, stored or deflated members of at most `unpacked_bytes` in total.

    Members that are stored may have as many bytes as the file. The size of the directory is checked
    before `zipfile` reads it. Raises one of `ZIP_DAMAGE`, ValueError for a refused zip.
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
    stored = sum(each.file_size for each in members if each.compress_type == zipfile.ZIP_STORED)
    deflated = sum(each.file_size for each in members) - stored
    if deflated > unpacked_bytes or stored > max(unpacked_bytes, file.seek(0, io.SEEK_END)):
        raise ValueError(f"the zip would unpack to far more than {unpacked_bytes:,} bytes")
    return zipped


def up_to_last_end(file: IO[bytes]) -> IO[bytes]:
    """Return a zip, after whose last whole directory something was cut off, up to there.

    Raises BadZipFile if it has none.
    """
    tried, stop = 0, file.seek(0, io.SEEK_END)
    first = max(0, stop - _FARTHEST)
    while stop > first:
        start = max(0, stop - _PIECE)
        file.seek(start)
        piece = file.read(stop - start + 3)
        at = piece.rfind(b"PK\x05\x06")
        while at >= 0 and tried < _MOST_MARKS:
            if _ends_a_zip(file, start + at):
                return cast(IO[bytes], _Beginning(file, start + at + 22))
            tried, at = tried + 1, piece.rfind(b"PK\x05\x06", 0, at)
        stop = start if tried < _MOST_MARKS else first
    raise zipfile.BadZipFile("it has no directory, as if it was cut off")


def _ends_a_zip(file: IO[bytes], at: int) -> bool:
    """Return whether a record without a comment begins at `at`, right behind its directory."""
    file.seek(max(0, at - 76))
    data = bytes(max(0, 76 - at)) + file.read(min(76, at) + 22)
    if len(data) < 98 or data[-2:] != b"\0\0":
        return False
    size, start = struct.unpack_from("<2I", data, 76 + 12)
    if data[56:60] == b"PK\x06\x07":
        size, start = struct.unpack_from("<2Q", data, 40)
        at -= 76
    return bool(size and start + size == at)


class _Beginning(io.RawIOBase):
    """The first `size` bytes of a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            return self._file.seek(self._size + offset)
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), max(0, self._size - self._file.tell())))
        buffer[: len(data)] = data
        return len(data)


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
