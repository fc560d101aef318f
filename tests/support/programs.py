"""Programs that some tests need besides Python, and that a machine may lack."""

import os
import shutil
from typing import NoReturn

import pytest


def program(*names: str, package: str) -> str:
    """Return the path of the first of these programs that is installed, or leave the test out."""
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        leave_out(f"{names[0]} is missing; `apt-get install {package}` installs it")
    return path


def leave_out(reason: str) -> NoReturn:
    """Skip the test, or fail it where CI is set, as in `.ci/run`, which installs everything."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
