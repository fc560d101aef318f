"""Stopping in good order: a signal asks for it, and the work leaves off where it can go on."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sitegen.exits import GRACE_SECONDS

if TYPE_CHECKING:
    from types import FrameType


class Stop:
    """The signal that asked to stop, if one did."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.since = 0.0

    def asked(self) -> bool:
        """Whether one did."""
        return self.signal is not None


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """For the block, let the first SIGINT or SIGTERM ask to stop, and a later one act at once.

    A step that was cut in the middle would leave weights that cannot be saved. As at the end of
    every command, impatience is not heard for the first two seconds, and a signal that is ignored,
    as by nohup, stays ignored.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    both = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in both.items() if handler != signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.signal is None:
            stop.signal, stop.since = number, time.monotonic()
        elif time.monotonic() - stop.since >= GRACE_SECONDS:
            restore()
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()
