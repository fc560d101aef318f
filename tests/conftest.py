"""What every test may use: the recorded reference of the paper's own code."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

# A run in the background inherits that Ctrl-C is ignored; tests and what they start are not.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of recorded outputs; its README says what they are."""
    return Path(__file__).resolve().parent / "reference"
