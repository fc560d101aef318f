"""A lock between processes, also those of several hosts that share a disk: the kernel's own."""

import contextlib
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from sitegen.core.errors import LockedError, PlatformError
from sitegen.core.files import alive, host_id, platform_errors

_TRIES, _PAUSE = 20, 0.1  # seconds


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the block; the kernel frees it however this process ends.

    The file itself is never deleted: only the kernel's lock on it counts, and the process number
    in it serves the message. Raises LockedError, naming that process and its host, if another one
    holds it, PlatformError where locks are not there or hold for this host alone.
    """
    _require_shared_locks(path)
    with platform_errors(path, "lock"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with platform_errors(path, "lock"):
            _take(handle, path)
        yield
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _take(handle: int, path: Path) -> None:
    """Lock the open file, and write our process number into it if the disk lets us."""
    tries = _TRIES
    while not _locked(handle):
        pid, host, mark = _holder(handle)
        ours = mark in ("", host_id())
        if pid and ours and not alive(int(pid), "0") and (tries := tries - 1):
            time.sleep(_PAUSE)  # it was killed while it started another, which lets go in a moment
            continue
        where = f" on {host}" if host else ""
        who = f"process {pid}{where}" if pid else "a process that has just started"
        raise LockedError(
            f"another sitegen ({who}) is at work here and holds {path}; "
            "wait until it is done, or stop it"
        )
    with contextlib.suppress(OSError):
        told = f"{os.getpid()} {ascii(socket.gethostname())[1:-1]} {host_id()}\n"
        size = os.pwrite(handle, told.encode("ascii"), 0)
        os.ftruncate(handle, size)


def _holder(handle: int) -> tuple[str, str, str]:
    """The number of the process that has written into a lock, its host, and that host's mark."""
    words = os.pread(handle, 400, 0).decode("ascii", "replace").split()
    pid, host, mark, *_ = (*words, "", "", "")
    return (pid, host[:100], mark) if pid.isdigit() and len(pid) < 20 else ("", "", "")


MOUNTS = Path("/proc/self/mounts")
_LOCAL_LOCKS: Mapping[str, tuple[str, ...]] = {
    "nfs": ("nolock", "local_lock=all", "local_lock=flock"),
    "nfs4": ("nolock", "local_lock=all", "local_lock=flock"),
    "lustre": ("localflock",),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
}
"""File systems that hosts share, with the options by which each keeps locks to itself."""


def _require_shared_locks(path: Path) -> None:
    """Raise PlatformError where other hosts that share the disk would not see a lock there."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # a system that does not tell
        return
    real, best = Path(os.path.realpath(path)), ("", "", "")
    for line in lines:
        _, place, kind, options, *_ = (*line.split(" "), "", "", "", "")
        place = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), place)
        if real.is_relative_to(place) and len(place) >= len(best[0]):
            best = place, kind, options
    place, kind, options = best
    bad = [each for each in options.split(",") if each in _LOCAL_LOCKS.get(kind, ())]
    if bad:
        raise PlatformError(
            f"cannot lock {path}: {place} is mounted with {bad[0]}, so other hosts would not see "
            "the lock, and two could be at work here at once; mount it without that, or choose a "
            "folder on a local disk"
        )


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
