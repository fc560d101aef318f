"""A plugin of pytest that takes away from `os` and `signal` what only Linux has, before all else.

python -m pytest -p tests.support.bare_os tests/unit/core
"""

import os
import signal
import sys
import tempfile

LINUX = (
    *("posix_fallocate", "posix_fadvise", "sched_getaffinity", "sched_setaffinity", "getrandom"),
    *("copy_file_range", "memfd_create", "pidfd_open", "eventfd", "splice", "fdatasync", "pipe2"),
    *("O_TMPFILE", "O_PATH", "O_DIRECT", "O_NOATIME", "getxattr", "listxattr", "setxattr"),
)
"""Names that `os` has on Linux and not on macOS."""


def pytest_load_initial_conftests() -> None:
    """Remove them before a conftest imports sitegen."""
    assert not any(name.partition(".")[0] == "sitegen" for name in sys.modules)
    vars(tempfile)["_O_TMPFILE_WORKS"] = False  # it looked before
    for name in LINUX:
        if hasattr(os, name):
            delattr(os, name)
    for name in ("sigtimedwait", "pidfd_send_signal"):
        if hasattr(signal, name):
            delattr(signal, name)
