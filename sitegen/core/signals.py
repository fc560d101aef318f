"""Signals that end a command, or ask a long computation to stop between two steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that end a command; Windows has no SIGHUP."""


class Interrupted(KeyboardInterrupt):
    """The end of the program by a signal, whose number is the only argument."""

    # Not an Exception, so that no `except Exception` of a library catches it; a KeyboardInterrupt,
    # so that click ends the command for SIGTERM and SIGHUP as it does for Ctrl-C.


def interrupt_on_signals() -> None:
    """Make the signals that end a command raise Interrupted in the main thread.

    Signals that this process was started to ignore, for instance by nohup, stay ignored.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


@dataclass
class Stop:
    """Request to stop: the signal, if one arrived."""

    signal: int | None = None

    def asked(self) -> bool:
        """Return whether a signal arrived."""
        return self.signal is not None


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Let the first signal in the block request a stop; the next one acts as before the block.

    Interrupting a training step halfway would leave weights that cannot be saved.
    """
    stop = Stop()
    # Python sets handlers of signals in the main thread only.
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number: int, _frame: FrameType | None) -> None:
        stop.signal = number
        restore()

    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, request)
    try:
        yield stop
    finally:
        restore()
