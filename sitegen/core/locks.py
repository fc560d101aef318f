"""Locks between processes, including those of several hosts that share a disk, by the kernel."""

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

_TRIES, _PAUSE = 20, 0.1  # attempts, seconds between them


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the block; the kernel releases it however the process ends.

    The file is never deleted. Only the kernel's lock on it counts; the PID in it is for messages.
    Raises LockedError, naming the process and host that hold the lock, and PlatformError if the
    file system has no locks or keeps them local to this host.
    """
    _require_shared_locks(path)
    with platform_errors(path, "lock"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        with platform_errors(path, "lock"):
            _take(handle, path)
        yield
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _take(handle: int, path: Path) -> None:
    """Lock the open file, and write this process's PID into it if the disk permits."""
    tries = _TRIES
    while not _locked(handle):
        pid, host, mark = _holder(handle)
        ours = mark in ("", host_id())
        if pid and ours and not alive(int(pid), "0") and (tries := tries - 1):
            time.sleep(_PAUSE)  # it was killed while starting a child, which will release the lock
            continue
        where = f" on {host}" if host else ""
        who = f"process {pid}{where}" if pid else "a process that has just started"
        raise LockedError(
            f"another sitegen ({who}) is running here and holds {path}; "
            "wait until it is done, or stop it"
        )
    with contextlib.suppress(OSError):
        told = f"{os.getpid()} {ascii(socket.gethostname())[1:-1]} {host_id()}\n"
        size = os.pwrite(handle, told.encode("ascii"), 0)
        os.ftruncate(handle, size)


def _holder(handle: int) -> tuple[str, str, str]:
    """Return the PID, host and host ID written into a lock; empty strings if there are none."""
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
"""Network file systems, with the mount options that make their locks local to a host."""


def _require_shared_locks(path: Path) -> None:
    """Raise PlatformError if other hosts that share the disk would not see a lock there."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux, or hidden
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
            "the lock, and two could run here at once; mount it without that option, or choose a "
            "folder on a local disk"
        )


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
