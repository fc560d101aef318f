"""What every test may use: the recorded reference of the paper's own code."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of recorded outputs; its README says what they are."""
    return Path(__file__).resolve().parent / "reference"
