"""`sitegen` in a process where `os` and `signal` lack what they have on Linux only.

`python -m tests.support.bare_os COMMAND …` runs a command so. The names are removed from that
process alone: libraries elsewhere use them, as the thread pools of Python 3.13 use
`os.sched_getaffinity`.
"""

import os
import signal
import sys

LINUX = (
    *("posix_fallocate", "posix_fadvise", "sched_getaffinity", "sched_setaffinity", "getrandom"),
    *("copy_file_range", "memfd_create", "pidfd_open", "eventfd", "splice", "fdatasync", "pipe2"),
    *("O_TMPFILE", "O_PATH", "O_DIRECT", "O_NOATIME", "getxattr", "listxattr", "setxattr"),
    *("removexattr", "eventfd_read", "eventfd_write", "getresuid", "setresuid", "getresgid"),
    *("setresgid", "sched_setscheduler", "sched_getscheduler", "sched_setparam", "sched_getparam"),
    *("sigtimedwait", "sigwaitinfo", "pidfd_send_signal", "SIGRTMIN", "SIGRTMAX"),
)
"""Names that `os` and `signal` have on Linux and not on macOS."""


def _hide_proc(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook: raise FileNotFoundError where a file of /proc is opened."""
    if event == "open" and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(arguments[0])


def main() -> None:
    """Remove the names, then import sitegen and run the command."""
    # Modules that are imported later look for the names and do without, as on macOS.
    assert not {"sitegen", "tempfile", "shutil", "concurrent.futures"} & sys.modules.keys()
    for module in (os, signal):
        for name in LINUX:
            vars(module).pop(name, None)
    if hasattr(os, "process_cpu_count"):
        vars(os)["process_cpu_count"] = os.cpu_count
    sys.addaudithook(_hide_proc)

    from sitegen.__main__ import main as run
    from tests.support.quick import shorten

    shorten()
    run()


if __name__ == "__main__":
    main()
