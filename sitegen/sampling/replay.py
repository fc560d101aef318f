"""Pictures that are sampled once and shown twice."""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from sitegen.core.files import platform_errors
from sitegen.media.frames import Frame

IN_MEMORY = 64_000_000
"""Bytes that are kept in memory; beyond them all goes to a file without a name."""


class Replay:
    """A stream of (level, uint8 pictures (N, H, W, 3)), kept while it is taken for the first time.

    What it keeps is gone after the second time, or with the object.
    """

    def __init__(self, source: Iterable[tuple[int, Frame]]) -> None:
        self._source = source
        self._index: list[tuple[int, tuple[int, ...]]] = []
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._close = weakref.finalize(self, self._file.close)

    def first(self) -> Iterator[tuple[int, Frame]]:
        """The stream as it comes. Raises PlatformError where there is no room to keep it."""
        for level, pictures in self._source:
            with platform_errors(Path(tempfile.gettempdir())):
                self._file.write(np.ascontiguousarray(pictures).data)
            self._index.append((level, pictures.shape))
            yield level, pictures

    def again(self) -> Iterator[tuple[int, Frame]]:
        """What was taken the first time; then it is forgotten."""
        self._file.seek(0)
        for level, shape in self._index:
            with platform_errors(Path(tempfile.gettempdir()), "read"):
                data = self._file.read(math.prod(shape))
            yield level, np.frombuffer(data, np.uint8).reshape(shape)
        self._close()
