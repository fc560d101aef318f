"""A plugin of pytest that takes from `os` and `signal` what they have on Linux only.

Tests that run in pytest's own process find no such function. Processes that tests start have them.
"""

import os
import shutil
import signal
import sys
import tempfile

LINUX = (
    *("posix_fallocate", "posix_fadvise", "sched_getaffinity", "sched_setaffinity", "getrandom"),
    *("copy_file_range", "memfd_create", "pidfd_open", "eventfd", "splice", "fdatasync", "pipe2"),
    *("O_TMPFILE", "O_PATH", "O_DIRECT", "O_NOATIME", "getxattr", "listxattr", "setxattr"),
    *("sigtimedwait", "pidfd_send_signal"),
)
"""Names that `os` and `signal` have on Linux and not on macOS."""


def pytest_load_initial_conftests() -> None:
    """Remove them before a conftest imports sitegen."""
    assert not any(name.partition(".")[0] == "sitegen" for name in sys.modules)
    vars(tempfile)["_O_TMPFILE_WORKS"] = False  # it looked before
    vars(shutil)["_copyxattr"] = lambda *_, **__: None  # as on macOS
    for module in (os, signal):
        for name in LINUX:
            vars(module).pop(name, None)
