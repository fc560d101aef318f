"""Crash-safe files: atomic writes, digests, and folders exchanged in one step.

Data is written to a temporary name in the same folder, flushed to the disk and then renamed, so
a reader sees the old content or the new, never a part. The names of temporaries contain the host
and process that made them; `remove_stale_temporaries` removes those of this host that belong to
processes that have ended.
"""

import contextlib
import difflib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from sitegen.core.errors import PlatformError, RefusedError

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_TEMPORARY = re.compile(
    r"\.sitegen-tmp-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]+"
)
_REMEDIES = {
    errno.ENOSPC: "free some disk space and run sitegen again",
    errno.EDQUOT: "the disk quota is used up: free some space and run sitegen again",
    errno.EFBIG: "the limit on the size of a file is too low (`ulimit -f`)",
    errno.EACCES: "give yourself permission to write there, or choose another folder",
    errno.EPERM: "give yourself permission to write there, or choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EXDEV: "both must be on one file system: choose another folder",
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
        "this file system has no locks: choose a folder on a local disk",
    ),
    errno.EMFILE: "too many files are open: raise the limit (`ulimit -n`)",
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


class NotRegularFileError(OSError):
    """A path that should be a regular file is a pipe, device, socket or circular link."""


def require_regular(path: Path) -> None:
    """Raise NotRegularFileError for files that could block a reader or never end, unopened.

    Raises OSError if nothing is there. Folders pass, since `open` rejects them.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise NotRegularFileError(errno.ELOOP, "is a circular link", str(path)) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = _KINDS.get(stat.S_IFMT(mode), "a special file")
        raise NotRegularFileError(errno.EINVAL, f"is {kind}, not a file", str(path))


def read_file(path: Path) -> bytes:
    """Return a regular file's bytes. Raises OSError as `open` does, NotRegularFileError else."""
    require_regular(path)
    return path.read_bytes()


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits. Raises as `read_file` does."""
    require_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_lfs_pointer(path: Path) -> bool:
    """Return whether the file is a pointer of Git LFS. Raises OSError as `open` does."""
    with path.open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_sealed(record: Mapping[str, object]) -> bool:
    """Return whether a record has its digest as `sha256`, which sitegen wrote into it."""
    rest = {name: value for name, value in record.items() if name != "sha256"}
    return record.get("sha256") == digest_bytes(sealed_text(rest))


def sealed_text(value: object) -> bytes:
    """Return the JSON of a record, whose digest is its seal."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def canonical_json(value: object) -> str:
    """Serialize a JSON value in canonical form for hashing: sorted keys, no spaces, ASCII.

    Raises ValueError for NaN and infinity, TypeError for values that JSON cannot represent.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, as `object_pairs_hook`; raises ValueError if a key appears twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice")
    return found


def write_atomic(path: Path, data: bytes) -> bool:
    """Replace the content of `path` by `data` atomically; it is durable on return.

    Creates missing folders, keeps the permissions of an existing file and writes through symbolic
    links. Returns False without writing if the file already holds `data`. Raises PlatformError,
    with the old content still in place, if the disk is full or not writable, or if `path` is a
    device or other special file.
    """
    with platform_errors(path):
        target, mode = Path(os.path.realpath(path)), None
        with contextlib.suppress(FileNotFoundError):
            require_regular(target)
            status = target.stat()
            mode = status.st_mode & 0o7777
            if status.st_size == len(data) and target.read_bytes() == data:
                return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(target.parent) as temporary:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                if mode is not None:
                    temporary.chmod(mode)
                os.fsync(file.fileno())
            temporary.replace(target)
        flush_folder(target.parent)
        return True


def exchange(new: Path, current: Path) -> None:
    """Replace the folder `current` by the folder `new` in one step, and remove the old one.

    Flushes `new` to the disk first; its name is free afterwards. `current` may be missing, and a
    symbolic link to it stays. Both must be on one file system. Files of the old folder that cannot
    be removed stay under the name `new`. Raises PlatformError with `current` untouched; if the
    disk fails later, the message says that the new folder is in place.
    """
    with platform_errors(current, "replace"):
        target = Path(os.path.realpath(current))
        restore_backup(target)
        flush_tree(new)
        if target.exists():
            _swap(new, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            new.rename(target)
    try:
        flush_folder(target.parent)
    except OSError as error:
        why = error.strerror or str(error)
        raise PlatformError(
            f"{current}: is in place, but the disk may not keep it: {why}; check the disk"
        ) from error
    shutil.rmtree(new, ignore_errors=True)


def restore_backup(current: Path) -> None:
    """Recover from a kill between the two renames of `exchange`: restore the old folder's name.

    Removes the backup if the new folder is already in place. The caller must hold the lock of the
    site. Raises PlatformError.
    """
    backup = _backup_of(Path(os.path.realpath(current)))
    with platform_errors(current, "restore"):
        if backup.is_dir() and not current.exists():
            backup.rename(Path(os.path.realpath(current)))
    _remove(backup)


def has_backup(current: Path) -> bool:
    """Return whether a killed `exchange` left a backup of the folder."""
    return _backup_of(Path(os.path.realpath(current))).is_dir()


def _backup_of(current: Path) -> Path:
    return current.parent / f".sitegen-aside-{current.name}"


def host_id() -> str:
    """Return eight hexadecimal digits for this host's name."""
    return digest_bytes(socket.gethostname().encode())[:8]


def is_temporary(name: str) -> bool:
    """Return whether a name is one that `temporary_path` makes."""
    return _TEMPORARY.fullmatch(name) is not None


def temporary_path(folder: Path) -> Path:
    """Return an unused name in `folder` that `remove_stale_temporaries` recognizes."""
    pid = os.getpid()
    return folder / f".sitegen-tmp-{host_id()}-{pid}-{_started(pid)}-{secrets.token_hex(6)}"


@contextlib.contextmanager
def temporary_file(folder: Path) -> Iterator[Path]:
    """Yield an unused name in `folder`; a file of that name is removed at the end of the block."""
    path = temporary_path(folder)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder inside `folder`; it is removed at the end of the block."""
    path = temporary_path(folder)
    try:
        with platform_errors(path):
            path.mkdir(parents=True)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_stale_temporaries(folder: Path) -> list[Path]:
    """Remove the temporaries in `folder` (not deeper) of dead processes of this host.

    Returns the removed paths.
    """
    removed = list[Path]()
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            made = _TEMPORARY.fullmatch(path.name)
            if made is None or made["host"] != host_id():
                continue
            if not _alive(int(made["pid"]), made["start"]):
                _remove(path)
                removed += [] if os.path.lexists(path) else [path]
    return removed


def require_writable(folder: Path, wanted: Path | None = None) -> None:
    """Raise PlatformError, naming `wanted` or else `folder`, if `folder` is not writable."""
    with platform_errors(wanted or folder):
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_file(folder) as probe:
            probe.write_bytes(bytes(4096))


def flush_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Raises OSError if the disk fails."""
    if os.name == "nt":  # which opens no folders, and keeps names by itself
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot flush folders
            raise
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """Make everything below `folder` durable. Raises OSError if the disk fails."""
    folders = [folder]
    access = os.O_RDWR if os.name == "nt" else os.O_RDONLY  # Windows flushes what it may write
    for _, entry in below(folder):
        if entry.is_dir(follow_symlinks=False):
            folders.append(Path(entry.path))
        elif not entry.is_symlink():
            handle = os.open(entry.path, access)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    for each in reversed(folders):
        flush_folder(each)


def below(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield everything below a folder, with its path relative to it, without following links.

    Raises OSError if a folder cannot be read.
    """
    waiting = [("", os.fspath(folder))]
    while waiting:
        before, path = waiting.pop()
        with os.scandir(path) as entries:
            for entry in entries:
                yield f"{before}{entry.name}", entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{before}{entry.name}/", entry.path))


def _swap(new: Path, current: Path) -> None:
    """Exchange the names of two folders, in one step if the system can."""
    if not current.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(current))
    if _exchange_names(new, current):
        return
    backup = _backup_of(current)  # never removed as stale: for a moment it is the only copy

    def back() -> None:  # a signal may have come before the first rename, or after the second
        if backup.is_dir() and not current.exists():
            backup.rename(current)

    with contextlib.ExitStack() as undo:
        undo.callback(back)
        current.rename(backup)
        new.rename(current)
        undo.pop_all()
    try:
        backup.rename(new)
    except OSError:  # the new folder is in place; only the old one is left
        _remove(backup)


def _exchange_names(first: Path, second: Path) -> bool:
    """Exchange two names in one step; return False, with nothing changed, if unsupported."""
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # TypeError: Windows, where None is no name
        return False
    here, exchange_flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange_flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):  # EPERM: seccomp
        return False
    raise OSError(code, os.strerror(code), str(second))


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; "0" if unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"


def _alive(pid: int, started: str) -> bool:
    """Return whether the process with this PID and start time is still running, if known."""
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return started == "0" or _started(pid) in ("0", started)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


Format = Literal["pth", "safetensors"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_TEXT_LIMIT = 1 << 20
_JUST_NOW_NS = 20_000_000
"""Nanoseconds after a change during which a second change may leave the timestamps as they are."""
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
        raise RefusedError(f"{path}: there is no such {what}{_nearest(path)}") from None
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path}: cannot access this {what}: {_reason(error)}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a file")
        raise RefusedError(f"{path}: this is {kind}, not a {what}; give a regular file")
    if not os.access(path, os.R_OK):
        raise RefusedError(f"{path}: this {what} is not readable; check its permissions")
    if status.st_size == 0:
        raise RefusedError(f"{path}: this {what} is empty")
    return status.st_size


def sniff(path: Path) -> Format:
    """Return the format of a checkpoint by its first bytes. Raises RefusedError if unknown."""
    size = regular_size(path, "checkpoint")
    try:
        with path.open("rb") as file:
            start = file.read(10)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read: {error.strerror}") from None
    return format_of(path, start, size)


def format_of(path: Path, start: bytes, size: int) -> Format:
    """Return the format of a checkpoint of `size` bytes by its first 10, as `sniff` does."""
    if start.startswith(b"PK\x03\x04"):
        return "pth"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8:
        return "safetensors"
    if start[:1] == b"\x80" and start[1:2] in b"\x01\x02\x03\x04\x05":
        raise RefusedError(
            f"{path}: a bare pickle, as torch.save wrote before version 1.6, which cannot be "
            "checked before it is read; save it again with torch.save of a newer PyTorch"
        )
    raise RefusedError(f"{path}: damaged or not a checkpoint: neither a .pth nor safetensors")


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder; False if it cannot be accessed."""
    return os.path.isdir(path)


def cached_by_stat(
    function: Callable[Concatenate[Path, _P], _T],
) -> Callable[Concatenate[Path, _P], _T]:
    """Cache the result of `function` for a file until the file changes.

    Changes are detected by size, timestamps, device and inode. Exceptions are not cached. The
    arguments after the path must not affect the result.
    """
    remembered: dict[Path, tuple[object, _T]] = {}

    @wraps(function)
    def remembering(path: Path, /, *rest: _P.args, **named: _P.kwargs) -> _T:
        try:
            status = path.stat()
        except (OSError, ValueError):
            return function(path, *rest, **named)
        times = status.st_mtime_ns, status.st_ctime_ns
        if time.time_ns() - max(times) < _JUST_NOW_NS:
            return function(path, *rest, **named)
        traces = status.st_dev, status.st_ino, status.st_size, *times
        known = remembered.get(path)
        if known is None or known[0] != traces:
            known = remembered[path] = traces, function(path, *rest, **named)
        return known[1]

    return remembering


@cached_by_stat
def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal. Raises RefusedError if it cannot be read."""
    try:
        return digest(path)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read: {_reason(error)}") from None


def read_text(path: Path, what: str) -> str:
    """Return the text of a UTF-8 file of at most 1 MiB. Raises RefusedError for others."""
    if regular_size(path, what) > _TEXT_LIMIT:
        raise RefusedError(f"{path}: far too large for a {what}, at most 1 MiB")
    try:
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


def _nearest(path: Path) -> str:
    """Return a hint with names that resemble a missing `path`, as the end of a sentence."""
    folder = next((parent for parent in path.parents if parent.is_dir()), None)
    if folder is None:
        return ""
    if folder != path.parent:
        return f"; the folder {path.parent} is not there either"
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.name[0] != ".")
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


IN_MEMORY = 64_000_000
"""Bytes kept in memory; beyond this limit all data is moved to the file."""

Place = tuple[int, int]
"""Offset and length of stored bytes."""


class Spool:
    """Thread-safe temporary store of bytes: in memory up to a limit, then in an unnamed file.

    It can be read until it is closed or collected. Nothing is left however the process ends.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._end, self._guard = 0, threading.Lock()
        self.close = weakref.finalize(self, self._file.close)

    def add(self, data: bytes | memoryview) -> Place:
        """Store bytes and return their place. Raises PlatformError if the disk is full."""
        with self._guard, platform_errors(_folder()):
            self._file.seek(self._end)
            place = self._end, self._file.write(data)
            self._end += place[1]
        return place

    def read(self, place: Place) -> bytes:
        """Return the bytes stored at a place. Raises PlatformError if the disk fails."""
        start, count = place
        with self._guard, platform_errors(_folder(), "read"):
            self._file.seek(start)
            return self._file.read(count)


def _folder() -> Path:
    return Path(tempfile.gettempdir())
