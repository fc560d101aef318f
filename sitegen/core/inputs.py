"""Opening files that people name: only regular ones, of a sane size, and never by surprise."""

from __future__ import annotations

import difflib
import json
import os
import stat
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Literal, TypeVar

from sitegen.core.errors import RefusedError
from sitegen.core.files import digest

Format = Literal["pth", "safetensors"]

_T = TypeVar("_T")
_TEXT_LIMIT = 1 << 20
_JUST_NOW_NS = 20_000_000
"""So long after a change of a file another one might leave the same times behind."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def regular_size(path: Path, what: str) -> int:
    """The size in bytes of a regular, readable file that is not empty.

    `what` names its part in messages ("checkpoint"). Raises RefusedError for anything else; a
    path that is not there is answered with the nearest names that are.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise RefusedError(f"{path}: there is no such {what}{_nearest(path)}") from None
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path}: cannot look at this {what}: {_reason(error)}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a file")
        raise RefusedError(f"{path}: this is {kind}, not a {what}; give a regular file")
    if not os.access(path, os.R_OK):
        raise RefusedError(f"{path}: this {what} may not be read; check its permissions")
    if status.st_size == 0:
        raise RefusedError(f"{path}: this {what} is empty")
    return status.st_size


def sniff(path: Path) -> Format:
    """The format of a checkpoint by its first bytes. RefusedError for any other file."""
    size = regular_size(path, "checkpoint")
    try:
        with path.open("rb") as file:
            start = file.read(10)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read: {error.strerror}") from None
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
    """Whether `path` is a folder; False, too, for what cannot be looked at."""
    try:
        return path.is_dir()
    except OSError:
        return False


def once_a_file(function: Callable[[Path], _T]) -> Callable[[Path], _T]:
    """Remember what `function` makes of a file for as long as the file is not touched.

    That is told by its size, times and place on the disk; errors are not remembered.
    """
    remembered = lru_cache(maxsize=256)(lambda path, *_traces: function(path))

    @wraps(function)
    def asked(path: Path) -> _T:
        try:
            status = path.stat()
        except (OSError, ValueError):
            return function(path)
        times = status.st_mtime_ns, status.st_ctime_ns
        if time.time_ns() - max(times) < _JUST_NOW_NS:
            return function(path)
        return remembered(path, status.st_dev, status.st_ino, status.st_size, *times)

    return asked


@once_a_file
def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises RefusedError if it cannot be read."""
    try:
        return digest(path)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read: {_reason(error)}") from None


def read_text(path: Path, what: str) -> str:
    """The text of a small UTF-8 file. Raises RefusedError if it is anything else."""
    if regular_size(path, what) > _TEXT_LIMIT:
        raise RefusedError(f"{path}: far too large for a {what}, at most 1 MiB")
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path}: this {what} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise RefusedError(f"{path}: cannot read this {what}: {_reason(error)}") from None


def read_json(path: Path) -> Mapping[str, Any]:
    """The table in a JSON file. Raises RefusedError if there is none."""
    try:
        value = json.loads(read_text(path, "configuration"))
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{path}: holds no table")
    return value


def _nearest(path: Path) -> str:
    """Names beside a missing `path` that resemble it, as the end of a sentence."""
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
