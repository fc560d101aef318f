"""Signals: the first one ends a command cleanly, or asks a long computation to stop.

`catch_signals` turns a signal into an exception, so that every `with` block cleans up.
In a block of `stop_on_signals` it sets a flag instead, which the computation polls between steps.
"""

import contextlib
import math
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
_SIGHUP: int = getattr(signal, "SIGHUP", 1)
HUNG_UP = 128 + _SIGHUP
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that end a command; Windows has no SIGHUP."""
GRACE_SECONDS = 2.0
"""Seconds after the first signal during which further signals are ignored, so that temporary
files can be removed."""
_AGAIN_SECONDS = 0.05
"""Seconds after which a signal whose exception was dropped is sent again."""


def end_group(pid: int, number: int) -> None:
    """Send a signal to a process and its children, where they share a group; Windows has none.

    Raises ProcessLookupError if they have ended.
    """
    if hasattr(os, "killpg"):
        os.killpg(pid, number)


class Stopped(SystemExit):
    """The end of the program by a signal."""


def catch_signals() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise Stopped with their exit code in the main thread.

    Signals that this process was started to ignore, for instance by nohup, stay ignored. Where
    Python drops the exception, as in a destructor, the signal is sent again.
    """
    deaf_until = 0.0
    report = sys.unraisablehook

    def leave(number: int, _frame: FrameType | None) -> None:
        nonlocal deaf_until
        if (now := time.monotonic()) >= deaf_until:
            deaf_until = now + GRACE_SECONDS
            raise Stopped(128 + number)

    def again(dropped: "sys.UnraisableHookArgs") -> None:
        nonlocal deaf_until
        if not isinstance(dropped.exc_value, Stopped):
            report(dropped)
            return
        deaf_until = 0.0
        number = dropped.exc_value.args[0] - 128
        timer = threading.Timer(_AGAIN_SECONDS, os.kill, [os.getpid(), number])
        timer.daemon = True
        timer.start()

    sys.unraisablehook = again
    for number in _heard():
        signal.signal(number, leave)


def _heard() -> dict[int, Any]:
    """Return the handlers of the signals that this process does not ignore."""
    every = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in every.items() if handler != signal.SIG_IGN}


@dataclass
class Stop:
    """Request to stop: the signal, if any arrived, and its time by the monotonic clock, seconds."""

    signal: int | None = None
    since: float = 0.0

    def asked(self) -> bool:
        """Return whether a signal arrived."""
        return self.signal is not None

    def act_at_once(self) -> None:
        """Let the next signal act, although the first came less than `GRACE_SECONDS` ago."""
        self.since = -math.inf


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Let the first signal in the block request a stop, and a later one act immediately.

    Interrupting a step halfway would leave weights that cannot be saved. As in `catch_signals`,
    further signals are ignored for `GRACE_SECONDS`, and ignored signals stay ignored.
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
