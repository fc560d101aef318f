"""Nothing needs a function that macOS or Windows lacks without asking whether it is there."""

import os
import re
import signal
from pathlib import Path

from sitegen.core import files
from tests.support.bare_os import LINUX

WINDOWS = {
    **dict.fromkeys(("SIGHUP", "SIGKILL", "SIGALRM", "setitimer", "ITIMER_REAL"), signal),
    **dict.fromkeys(("pthread_sigmask", "sigwait", "pause"), signal),
    **dict.fromkeys(("pwrite", "pread", "pipe2", "fchown", "chown", "nice", "wait3"), os),
    **dict.fromkeys(("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "killpg"), os),
    **dict.fromkeys(("geteuid", "getuid", "fchmod", "mkfifo", "fork", "setsid", "umask"), os),
}
"""Names that Windows has not, and some that it has only in newer Pythons."""


def test_windows_names_are_asked_for() -> None:
    """Where a module names what Windows has not, a line before says when it is there."""
    package = Path(files.__file__).parents[1]
    for path in package.rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            named = re.findall(r"\b(?:os|signal)\.(\w+)", line.partition("#")[0])
            if {*named} & WINDOWS.keys():
                before = "".join(lines[max(number - 6, 0) : number + 1])
                assert re.search(r'hasattr|os\.name == "nt"|daemon', before), (path, number + 1)


def test_no_module_names_them() -> None:
    """No module names what `os` or `signal` has on Linux only."""
    package = Path(files.__file__).parents[1]
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"\b(?:os|signal)\.(\w+)", text)
        named += re.findall(
            r"\w+", " ".join(re.findall(r"^from os import (.*)", text, re.MULTILINE))
        )
        assert not {*named} & {*LINUX}, path
