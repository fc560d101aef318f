"""Locks between processes, by the kernel."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from sitegen.core.errors import LockedError
from sitegen.core.files import platform_errors

_PATIENCE_S = 0.5  # a killed holder may still be starting a child, which has the lock until then


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the block; the kernel releases it however the process ends.

    The file stays. Only the kernel's lock on it counts; the PID and host in it are for messages.
    Raises LockedError, naming the process and host that hold the lock, and PlatformError if the
    file system has no locks.
    """
    from filelock import FileLock, Timeout

    held = FileLock(
        path,
        timeout=_PATIENCE_S,
        fallback_to_soft=False,
        preserve_lock_file=True,
        on_acquired=_sign,
    )
    with platform_errors(path, "lock"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire()
        except Timeout:
            pid, host, *_ = (*path.read_text("utf-8", "replace")[:200].split(), "", "")
            who = f"process {pid} on {host}" if pid else "a process that has just started"
            raise LockedError(
                f"another sitegen ({who}) is running here and holds {path}; "
                "wait until it is done, or stop it"
            ) from None
    try:
        yield
    finally:
        held.release()


def _sign(handle: int) -> None:
    with contextlib.suppress(OSError):
        text = f"{os.getpid()} {ascii(socket.gethostname())[1:-1]}\n".encode()
        os.lseek(handle, 0, os.SEEK_SET)
        os.ftruncate(handle, os.write(handle, text))
