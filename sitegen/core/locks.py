"""Locks between processes, by the kernel."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sitegen.core.errors import LockedError
from sitegen.core.files import platform_errors


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the block; the kernel releases it however the process ends.

    Raises LockedError if another process holds it, PlatformError if the file system has no locks.
    """
    from filelock import FileLock, Timeout

    # A soft lock, a file that names a process, would outlive a kill. The lock file is never
    # removed: one process could lock the removed file while another locks a new one of that name.
    file_lock = FileLock(path, timeout=0, fallback_to_soft=False, preserve_lock_file=True)
    with platform_errors(path, "lock"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file_lock.acquire()
        except Timeout:
            raise LockedError(
                f"another sitegen is running here and holds {path}; wait until it is done, or stop "
                "it"
            ) from None
    try:
        yield
    finally:
        file_lock.release()
