"""Prefetching: one thread produces items, another consumes them, a few items behind.

The producer is the thread that calls `make`, so that an interruption reaches it where the work is
done.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from sitegen.core.errors import SitegenError, TargetError

T = TypeVar("T")
AHEAD = 2
"""Items that may be waiting for the consumer."""


class BackgroundIterator(Generic[T]):
    """Iterator over the items of `source`, which another thread produces by calling `make` once."""

    def __init__(self, source: Iterable[T], ahead: int = AHEAD) -> None:
        self._source = source
        self._items: queue.Queue[tuple[bool, T | SitegenError | None]] = queue.Queue(ahead + 1)
        self._left = threading.Event()

    def make(self) -> bool:
        """Produce all items, or until the consumer leaves; return False after an error.

        The consumer raises a `SitegenError` that `source` raised. For any other exception it raises
        a TargetError that reports the interruption, and this method lets the exception pass.
        """
        end: SitegenError | None = TargetError("stopped, because the build was interrupted")
        try:
            for item in self._source:
                if not self._put(item):
                    break
            end = None
        except SitegenError as error:
            end = error
        finally:
            if end is not None:
                self._drop()  # the consumer no longer needs them
            self._items.put((True, end))
        return end is None

    def leave(self) -> None:
        """Stop consuming: discard waiting items and let `make` return."""
        self._left.set()
        self._drop()

    def __iter__(self) -> Iterator[T]:
        """Yield the items as they become available."""
        while True:
            ended, item = self._items.get()
            if not ended:
                yield item  # type: ignore[misc]
            elif isinstance(item, SitegenError):
                raise item
            else:
                return

    def _put(self, item: T) -> bool:
        if not self._left.is_set():
            self._items.put((False, item))
        return not self._left.is_set()

    def _drop(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._items.get_nowait()
