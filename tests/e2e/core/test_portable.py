"""A build needs no function that only Linux has, and tests that take one away give it back."""

import os
import signal
from pathlib import Path

from tests.support.bare_os import LINUX
from tests.support.builders import SITE, page, run_python
from tests.support.tinymodel import write_model


def test_build_without_functions_of_linux(tmp_path: Path) -> None:
    """A site is sampled, encoded and built where `os`, `signal` and /proc are as on macOS."""
    write_model(tmp_path / "models/tiny")
    (tmp_path / "site.toml").write_text(SITE)
    page(tmp_path, 'trajectories("tiny", count=2)')
    for _ in ("cold", "warm"):
        done = run_python("-m", "tests.support.bare_os", "build", folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "build/media").glob("*.mp4"))


def test_this_process_has_them() -> None:
    """The process that runs the tests has the functions that Linux has."""
    missing = {name for name in LINUX if not (hasattr(os, name) or hasattr(signal, name))}
    assert not missing & {"sched_getaffinity", "pipe2", "sigtimedwait", "O_TMPFILE"}
