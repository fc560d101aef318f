"""Temporary storage of bytes: in memory up to a limit, then in an unnamed file.

The file has no name, so nothing is left of it however the process ends.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from pathlib import Path

from sitegen.core.files import platform_errors

IN_MEMORY = 64_000_000
"""Bytes kept in memory; beyond this limit all data is moved to the file."""

Place = tuple[int, int]
"""Offset and length of stored bytes."""


class Spool:
    """Thread-safe store of bytes that can be read until the spool is closed or collected."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._end, self._guard = 0, threading.Lock()
        self.close = weakref.finalize(self, self._file.close)

    def add(self, data: bytes | memoryview) -> Place:
        """Store bytes and return their place. Raises PlatformError if the disk is full."""
        with self._guard, platform_errors(_folder()):
            self._file.seek(self._end)
            place = self._end, self._file.write(data)
            self._end += place[1]
        return place

    def read(self, place: Place) -> bytes:
        """Return the bytes stored at a place. Raises PlatformError if the disk fails."""
        start, count = place
        with self._guard, platform_errors(_folder(), "read"):
            self._file.seek(start)
            return self._file.read(count)


def _folder() -> Path:
    return Path(tempfile.gettempdir())
