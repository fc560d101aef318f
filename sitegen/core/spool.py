"""Bytes that are kept for a while: in memory as long as they are few, then in a file.

The file has no name, so nothing is left of it however the process ends.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from pathlib import Path

from sitegen.core.files import platform_errors

IN_MEMORY = 64_000_000
"""Bytes that are kept in memory; beyond them all goes to the file."""

Place = tuple[int, int]
"""Where some bytes begin, and how many they are."""


class Spool:
    """What was added can be read again, by any thread, until the spool is closed or gone."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._end, self._guard = 0, threading.Lock()
        self.close = weakref.finalize(self, self._file.close)

    def add(self, data: bytes | memoryview) -> Place:
        """Keep some bytes. Raises PlatformError where there is no room for them."""
        with self._guard, platform_errors(_folder()):
            self._file.seek(self._end)
            place = self._end, self._file.write(data)
            self._end += place[1]
        return place

    def read(self, place: Place) -> bytes:
        """The bytes that were added there. Raises PlatformError where the disk fails."""
        start, count = place
        with self._guard, platform_errors(_folder(), "read"):
            self._file.seek(start)
            return self._file.read(count)


def _folder() -> Path:
    return Path(tempfile.gettempdir())
