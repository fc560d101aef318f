"""A plugin of pytest that takes from `os` and `signal` functions that they have on Linux only.

Tests find none of these in pytest's own process, nor in those forked from it. A Python that a test
starts anew has them.
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
    *("removexattr", "eventfd_read", "eventfd_write", "getresuid", "setresuid", "getresgid"),
    *("setresgid", "sched_setscheduler", "sched_getscheduler", "sched_setparam", "sched_getparam"),
    *("sigtimedwait", "sigwaitinfo", "pidfd_send_signal", "SIGRTMIN", "SIGRTMAX"),
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
