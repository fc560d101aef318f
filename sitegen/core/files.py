"""Files: digests, JSON for hashing, atomic writes, locks, and system errors with a remedy."""

import contextlib
import difflib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sitegen.core.errors import LockedError, PlatformError, RefusedError

_REMEDIES = {
    errno.ENOSPC: "free some disk space and run sitegen again",
    errno.EDQUOT: "the disk quota is used up: free some space and run sitegen again",
    errno.EFBIG: "the limit on the size of a file is too low (`ulimit -f`)",
    errno.EACCES: "give yourself permission to write there, or choose another folder",
    errno.EPERM: "give yourself permission to write there, or choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EMFILE: "too many files are open: raise the limit (`ulimit -n`)",
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
        "this file system has no locks: choose a folder on a local disk",
    ),
}


@contextlib.contextmanager
def platform_errors(path: Path, action: str = "write") -> Iterator[None]:
    """Turn an OSError into a PlatformError: cannot `action` `path`, why, what to do."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the folder and the disk")
        why = error.strerror or str(error)
        raise PlatformError(f"cannot {action} {path}: {why}; {remedy}") from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Serialize a JSON value in canonical form for hashing: sorted keys, no spaces, ASCII.

Raises ValueError for NaN and infinity, TypeError for values that JSON cannot represent.
"""


def readable_json(value: object) -> str:
    """Serialize a JSON value for readers: sorted keys, indented. Raises as `canonical_json`."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n"


def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, as `object_pairs_hook`; raises ValueError if a key appears twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key appears twice")
    return table


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the content of `path` by `data`: readers see the old content or the new one.

    Creates missing folders and writes through symbolic links. Raises PlatformError, with the old
    content still in place, if the disk is full or not writable.
    """
    with platform_errors(path):
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        # A file in a temporary folder has the permissions of the umask; one of `mkstemp` has 0600.
        with tempfile.TemporaryDirectory(prefix=".sitegen-", dir=target.parent) as folder:
            temporary = Path(folder) / target.name
            temporary.write_bytes(data)
            temporary.replace(target)


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder inside `parent`; it is removed at the end of the block."""
    with platform_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        # The name is hidden, which the watch of the preview ignores.
        temporary = tempfile.TemporaryDirectory(
            prefix=".sitegen-", dir=parent, ignore_cleanup_errors=True
        )
    with temporary as folder:
        yield Path(folder)


def require_writable(folder: Path, named: Path | None = None) -> None:
    """Raise PlatformError, naming `named` or else `folder`, if `folder` is not writable."""
    with platform_errors(named or folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            # A full disk may accept a new file, and refuses only its content.
            probe.write(bytes(4096))


def require_space(folder: Path) -> None:
    """Raise PlatformError if the disk of a folder is full, which other programs blame on a pipe."""
    with platform_errors(folder):
        if shutil.disk_usage(folder).free < 1 << 16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def below(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield everything below a folder, with its path relative to it, without following links.

    Raises OSError if a folder cannot be read.
    """
    folders = [("", os.fspath(folder))]
    while folders:
        prefix, path = folders.pop()
        with os.scandir(path) as entries:
            for entry in entries:
                yield f"{prefix}{entry.name}", entry
                if entry.is_dir(follow_symlinks=False):
                    folders.append((f"{prefix}{entry.name}/", entry.path))


_TEXT_LIMIT = 1 << 20
_MOST_COMPRESSED = 64
"""Largest ratio of a file's size to its blocks, on file systems that compress. Sparse files of a
few blocks can claim terabytes, which take hours to read."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def regular_size(path: Path, what: str) -> int:
    """Return the size in bytes of a regular, readable, non-empty file.

    `what` names the kind of file in messages ("checkpoint"). Raises RefusedError for anything
    else; for a missing file the message suggests similar names.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        hint, folder = "", next((parent for parent in path.parents if parent.is_dir()), None)
        if folder is not None and folder != path.parent:
            hint = f"; the folder {path.parent} is not there either"
        elif folder is not None:
            with contextlib.suppress(OSError):
                names = sorted(entry.name for entry in folder.iterdir() if entry.name[0] != ".")
                close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.7)
                hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise RefusedError(f"{path}: there is no such {what}{hint}") from None
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path}: cannot access this {what}: {_reason(error)}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a file")
        raise RefusedError(f"{path}: this is {kind}, not a {what}; give a regular file")
    if not os.access(path, os.R_OK):
        raise RefusedError(f"{path}: this {what} is not readable; check its permissions")
    if status.st_size == 0:
        raise RefusedError(f"{path}: this {what} is empty")
    on_disk = 512 * getattr(status, "st_blocks", 0)  # Windows has no such number
    if on_disk and status.st_size > _MOST_COMPRESSED * on_disk + (16 << 20):
        raise RefusedError(
            f"{path}: this {what} claims {status.st_size:,} bytes, and the disk has {on_disk:,} "
            "of them; download or copy it again"
        )
    return status.st_size


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; an unchanged file is read once a process.

    Raises RefusedError if it cannot be read.
    """
    try:
        status = path.stat()
        # Programs can set mtime back after a change, but not ctime; a replaced file has another
        # inode.
        version = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        return _cached(path, version)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read: {_reason(error)}") from None


_cached = lru_cache(1000)(lambda path, _version: digest(path))


def read_text(path: Path, what: str) -> str:
    """Return the text of a UTF-8 file of at most 1 MiB. Raises RefusedError for others."""
    if regular_size(path, what) > _TEXT_LIMIT:
        raise RefusedError(f"{path}: far too large for a {what}, at most 1 MiB")
    try:
        # utf-8-sig: editors on Windows may put a byte order mark in front.
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path}: this {what} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise RefusedError(f"{path}: cannot read this {what}: {_reason(error)}") from None


def read_json(path: Path) -> Mapping[str, Any]:
    """Return the object in a JSON file. Raises RefusedError if there is none."""
    try:
        value = json.loads(read_text(path, "configuration"))
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{path}: holds no table")
    return value


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


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
