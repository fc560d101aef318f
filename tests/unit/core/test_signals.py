"""A signal ends a command, or asks a computation to stop."""

import os
import signal
from collections.abc import Iterator

import pytest

from sitegen.core.signals import SIGNALS, Interrupted, interrupt_on_signals, stop_on_signals


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_requests_a_stop(number: int) -> None:
    """In the block the first signal is a request; a second one, and one after it, end the program.

    A signal that the process was started to ignore does nothing.
    """
    interrupt_on_signals()
    with stop_on_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.signal == number
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), number)
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), number)
    signal.signal(number, signal.SIG_IGN)
    interrupt_on_signals()
    with stop_on_signals() as stop:
        os.kill(os.getpid(), number)
        assert not stop.asked()
