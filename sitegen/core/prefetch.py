"""Handing over: what one thread makes and another takes, a few items ahead of it.

The one that makes them stays the thread that was asked, so that an interruption reaches it where
the work is done.
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
"""How many items may wait to be taken."""


class BackgroundIterator(Generic[T]):
    """The items of `source`: made by whoever calls `make`, once, and taken by whoever iterates."""

    def __init__(self, source: Iterable[T], ahead: int = AHEAD) -> None:
        self._source = source
        self._items: queue.Queue[tuple[bool, T | SitegenError | None]] = queue.Queue(ahead + 1)
        self._left = threading.Event()

    def make(self) -> bool:
        """Make all items, or as many as are wanted; False where something went wrong with them.

        A `SitegenError` is raised where they are taken; of anything else that is raised here it is
        told there that all is stopped.
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
                self._drop()  # nobody needs them any more
            self._items.put((True, end))
        return end is None

    def leave(self) -> None:
        """Want no more items."""
        self._left.set()
        self._drop()

    def __iter__(self) -> Iterator[T]:
        """The items, each when it is there."""
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
