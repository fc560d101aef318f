"""Signals: the first one ends a command in good order, or asks work to leave off where it can.

A signal becomes an exception, so that every `with` block tidies up on the way out; or, in a block
of `stop_on_signals`, a question that the work asks itself between two steps.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
HUNG_UP = 128 + signal.SIGHUP
SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
GRACE_SECONDS = 2.0
"""Impatience is not heard for so long after the first signal, while temporaries are removed."""


AGAIN_SECONDS = 0.02
"""After so long a signal is sent anew whose exception Python could not hand on."""


class _Left(SystemExit):
    """The end that a signal asks for."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def catch_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP raise SystemExit with their exit code in the main thread.

    A signal that this process was started to ignore, as by nohup, stays ignored. What is raised
    while Python runs a callback of its own, as of a weak reference whenever a module is imported,
    it only reports to `sys.unraisablehook`; then the signal is sent again.
    """
    deaf_until, told = 0.0, sys.unraisablehook

    def leave(number: int, _frame: FrameType | None) -> None:
        nonlocal deaf_until
        if (now := time.monotonic()) >= deaf_until:
            deaf_until = now + GRACE_SECONDS
            raise _Left(number)

    def lost(what: "sys.UnraisableHookArgs") -> None:
        nonlocal deaf_until
        if not isinstance(what.exc_value, _Left):
            told(what)
            return
        deaf_until = 0.0
        again = threading.Timer(AGAIN_SECONDS, os.kill, [os.getpid(), what.exc_value.number])
        again.daemon = True
        again.start()

    for number in _heard():
        signal.signal(number, leave)
    sys.unraisablehook = lost


def _heard() -> dict[int, Any]:
    """The handlers of the signals that this process does not ignore."""
    every = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in every.items() if handler != signal.SIG_IGN}


@dataclass
class Stop:
    """The signal that asked to stop, if one did, and when by the monotonic clock, in seconds."""

    signal: int | None = None
    since: float = 0.0

    def asked(self) -> bool:
        """Whether one did."""
        return self.signal is not None


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """For the block, let the first of these signals ask to stop, and a later one act at once.

    A step that was cut in the middle would leave weights that cannot be saved. As at the end of
    every command, impatience is not heard for the first two seconds, and a signal that is ignored,
    as by nohup, stays ignored.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = _heard()

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
