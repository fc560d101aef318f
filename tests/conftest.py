"""What every test may use: the recorded reference of the paper's own code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of recorded outputs: $SITEGEN_REFERENCE, else beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "reference"
    folder = Path(os.environ.get("SITEGEN_REFERENCE", default))
    if not folder.is_dir():
        pytest.fail(f"{folder} is not there: set SITEGEN_REFERENCE to the folder of recorded outputs")
    return folder
