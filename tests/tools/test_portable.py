"""Unit tests on an `os` without what only Linux has; on macOS itself the workflow runs them all."""

import os
import subprocess
import sys

from tests.support.paths import ROOT

FILES = ("core", "media/test_encoder.py", "sampling/test_export.py", "models/test_priors.py")
"""Unit tests of code that deals with files, processes and signals."""


def test_units_without_linux() -> None:
    """They pass as they do with these functions."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.bare_os", "-q", "-x"]
    command += [f"tests/unit/{name}" for name in FILES]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
