"""A signal asks to stop and does not tear; the second one does, and ignored ones do nothing."""

import os
import signal
import threading
import time

import pytest

from sitegen.core.signals import GRACE_SECONDS, stop_on_signals


def test_impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later second signal acts; ignored ones stay ignored, and threads have none."""
    now, heard = [100.0], list[int]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        with stop_on_signals() as stop:
            assert not stop.asked()
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
                assert stop.signal == signal.SIGINT
            assert heard == []
            now[0] += GRACE_SECONDS
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == [signal.SIGTERM]
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            stop.act_at_once()  # a question is asked
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop.asked()
    finally:
        signal.signal(signal.SIGINT, before)
    handler, seen = signal.getsignal(signal.SIGINT), list[object]()

    def work() -> None:
        with stop_on_signals() as stop:
            seen.extend((stop.asked(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, handler]
