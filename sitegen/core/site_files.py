"""The author's own files that pages show or link to: found inside the site's folder, and checked.

A page may show what lies in the folder of `site.toml`, and nothing that is hidden, that sitegen
made, or that a symbolic link brings in from elsewhere: a site must not publish a private key
because a page names it.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sitegen.core.diagnostics import close_match
from sitegen.core.files import digest_bytes
from sitegen.core.source import inside_fault, shown

LARGEST = 100_000_000
"""Bytes; hosts of static sites take no larger file."""

_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\\:?#*<>|\"]")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}/")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")


@dataclass(frozen=True)
class OwnFile:
    """A file of the author's to be copied; `uri` is its path in the built folder."""

    uri: str
    source: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SiteFolder:
    """The folder of a site; `closed` are the folders in it that sitegen fills."""

    root: Path
    closed: tuple[Path, ...] = ()

    def find(self, name: str, others: Iterable[str] = ()) -> Path:
        """Find the file that an author named from the folder of `site.toml`.

        `others` are what the name may have meant beside files. Raises ValueError, saying what is
        wrong with the name or the file.
        """
        if fault := _name_fault(name):
            raise ValueError(fault)
        path = self.root / name
        try:
            self._require_file(path, name, others)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from error
        return path

    def _require_file(self, path: Path, name: str, others: Iterable[str]) -> None:
        if not path.exists():
            hint = self._close(name, others)
            if not hint and _HOST.match(name):
                hint = "; the address of another site begins with https://"
            raise ValueError(f"there is no such file{hint}")
        if not path.is_file():
            inside = "is a folder; name the file inside it"
            raise ValueError(inside if path.is_dir() else "is not a regular file")
        if fault := inside_fault(path, self.root):
            raise ValueError(fault)
        for folder in self.closed:
            if path.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"lies in {shown(folder)}, which sitegen fills; keep it elsewhere")
        if path.stat().st_size > LARGEST:
            raise ValueError(f"is larger than {LARGEST // 1_000_000} MB; make it smaller")

    def _close(self, name: str, others: Iterable[str]) -> str:
        """Hint at the file beside it, or the other thing, that has nearly this name.

        Else at the file of this name in one of the folders of the site.
        """
        near = close_match(name, [*self._beside(PurePosixPath(name).parent), *others])
        elsewhere = sorted(self.root.glob(f"[!.]*/{glob.escape(PurePosixPath(name).name)}"))
        names = (path.relative_to(self.root).as_posix() for path in elsewhere)
        return near or next((f', did you mean "{found}"?' for found in names), "")

    def _beside(self, parent: PurePosixPath) -> Iterator[str]:
        """The files in a folder, or where it is not there those in the folders beside it."""
        folders = [self.root / parent]
        if not folders[0].is_dir():
            folders = [each for each in sorted(self.root.iterdir()) if each.is_dir()]
        for folder in folders:
            for path in sorted(folder.iterdir()):
                if path.is_file() and not path.name.startswith("."):
                    yield path.relative_to(self.root).as_posix()


def read_own(path: Path) -> bytes:
    """The bytes of a file of the author's; ValueError where it cannot be read or is empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if not data:
        raise ValueError("is empty")
    return data


def own_file(uri: str, path: Path, data: bytes) -> OwnFile:
    """Describe a file that has been read."""
    return OwnFile(uri, path, len(data), digest_bytes(data))


def media_copy(path: Path, data: bytes, suffix: str) -> OwnFile:
    """Describe a file that is copied to `media/`, named after itself and its digest's start."""
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:40].strip("-") or "file"
    return own_file(f"media/{stem}-{digest_bytes(data)[:8]}{suffix}", path, data)


def _name_fault(name: str) -> str | None:
    """Say why the name is none of a file in the site's folder, or None."""
    if _SCHEME.match(name):
        return (
            "pages take nothing from other hosts; save it in the site's folder, and name the file"
        )
    if not name or len(name) > 500 or _ODD.search(name):
        return (
            'should be a path of at most 500 characters, with / between folders and no \\:?#*<>|"'
        )
    parts = name.split("/")
    if not parts[0] or {"", ".", ".."} & set(parts):
        return "should be a path from the folder of site.toml, without ./ and ../"
    if any(part.startswith(".") for part in parts):
        return "is hidden, and hidden files are not published"
    return None
