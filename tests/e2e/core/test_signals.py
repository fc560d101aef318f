"""A signal ends a command wherever it arrives."""

import signal
import subprocess
import sys

import pytest

IN_A_CALLBACK = """
import signal, sys, time, weakref
from sitegen.core.signals import catch_signals

class Thing:
    pass

catch_signals()
thing = Thing()
seen = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
del thing
time.sleep(20)
sys.exit("went on")
"""


@pytest.mark.fault(2)
def test_a_signal_in_a_callback_of_pythons_is_not_lost() -> None:
    """What is raised in one goes nowhere; the command ends all the same, and shows no traceback."""
    command = [sys.executable, "-c", IN_A_CALLBACK]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGTERM, "")
