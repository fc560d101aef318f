"""Prefetching: one thread produces items, another consumes them, a few items behind.

The producer is the thread that calls `make`, so that an interruption reaches it where the work is
done.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

from sitegen.core.errors import SitegenError, TargetError

T = TypeVar("T")
AHEAD = 2
"""Items that may be waiting for the consumer."""
_END = object()


class BackgroundIterator(Generic[T]):
    """Iterator over the items of `source`, which another thread produces by calling `make` once."""

    def __init__(self, source: Iterable[T], ahead: int = AHEAD) -> None:
        self._source, self._left = source, False
        self._items: queue.Queue[Any] = queue.Queue(ahead + 1)

    def make(self) -> bool:
        """Produce all items, or until the consumer leaves; return False after an error.

        The consumer raises a `SitegenError` that `source` raised. For any other exception it raises
        a TargetError that reports the interruption, and this method lets the exception pass.
        """
        end: object = TargetError("stopped, because the build was interrupted")
        try:
            for item in self._source:
                if self._left:
                    break
                self._items.put(item)
            end = _END
        except SitegenError as error:
            end = error
        finally:
            self._items.put(end)
        return end is _END

    def leave(self) -> None:
        """Stop consuming: discard waiting items and let `make` return."""
        self._left = True
        with suppress(queue.Empty):
            while True:
                self._items.get_nowait()

    def __iter__(self) -> Iterator[T]:
        """Yield the items as they become available."""
        while (item := self._items.get()) is not _END:
            if isinstance(item, SitegenError):
                raise item
            yield item
