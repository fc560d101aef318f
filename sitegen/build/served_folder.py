"""The built folder as a web server sees it: names as they are spelled, and where addresses lead."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from sitegen.core.diagnostics import quoted
from sitegen.core.files import platform_errors
from sitegen.core.urls import INDEX

_NOWHERE = "https://site.invalid"  # stands for the host, which nobody needs to know
_THIS_MACHINE = re.compile(r"(.+\.)?localhost|127(\.\d+){1,3}|0\.0\.0\.0|::1", re.I)
_UNKNOWN = "/-/"  # stands for the sub-path where nobody said which it is


@dataclass(frozen=True)
class ServedFolder:
    """What lies in a folder, by relative URI; the names are those that the folder itself tells.

    files: the size of each regular file in bytes
    others: symbolic links, pipes and the like, each with what it is
    """

    root: Path
    files: Mapping[str, int]
    others: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _spelled(self) -> dict[str, str]:
        return {_alike(name): name for name in self.files}

    def spelled_like(self, name: str) -> str | None:
        """A file whose name differs only in case or in how its letters are composed."""
        return self._spelled.get(_alike(name))

    def served(self, name: str) -> str | None:
        """The file that answers for a path as GitHub Pages does: itself, its index, its .html."""
        choices = [name, posixpath.join(name, INDEX)]
        choices += [] if not name or name.endswith("/") else [f"{name}.html"]
        return next((each for each in choices if each in self.files), None)

    def read(self, name: str) -> bytes:
        """The content of a file. Raises PlatformError if it cannot be read."""
        with platform_errors(self.root / name, "read"):
            return (self.root / name).read_bytes()


def read_folder(root: Path) -> ServedFolder:
    """List a folder without following any link. Raises PlatformError if it cannot be read."""
    files: dict[str, int] = {}
    others: dict[str, str] = {}
    waiting = [root]
    with platform_errors(root, "read"):
        while waiting:
            for entry in os.scandir(waiting.pop()):
                name = Path(entry.path).relative_to(root).as_posix()
                if entry.is_symlink():
                    others[name] = "a symbolic link"
                elif entry.is_dir():
                    waiting.append(Path(entry.path))
                elif entry.is_file():
                    files[name] = entry.stat().st_size
                else:
                    others[name] = "no regular file"
    return ServedFolder(root, dict(sorted(files.items())), dict(sorted(others.items())))


@dataclass(frozen=True)
class Target:
    """Where an address leads: to a path of the site, outside, or nowhere.

    path: from the site's root, "" for the root itself; None where it leads outside
    fault: why it cannot lead anywhere
    """

    path: str | None
    fragment: str = ""
    fault: str | None = None


@dataclass(frozen=True)
class Address:
    """Where the site is published: `https://name.github.io/paper/`, or None where nobody said."""

    base_url: str | None

    @property
    def path(self) -> str | None:
        """The sub-path, with a slash at both ends."""
        if self.base_url is None:
            return None
        return f"/{urlsplit(self.base_url).path.strip('/')}/".replace("//", "/")

    def target(self, page: str, uri: str) -> Target:
        """Where `uri` leads from the page that lies at `page` in the folder."""
        base = self.path or _UNKNOWN
        try:
            parts = urlsplit(uri.strip())
            if parts.scheme or parts.netloc:
                if not self._is_own(parts.scheme, parts.netloc):
                    return Target(None, fault=_odd_scheme(parts.scheme) or _odd_host(parts))
                path = parts.path or "/"
            else:
                path = urlsplit(urljoin(f"{_NOWHERE}{base}{quote(page)}", uri.strip())).path
        except ValueError as error:
            return Target(None, fault=f"is not an address: {error}")
        if f"{path}/" == base:
            path = base
        if not path.startswith(base):
            neighbour = bool(parts.netloc)  # another site of the same host, written whole
            return Target(None, fault=None if neighbour else self._outside(uri))
        return Target(unquote(path[len(base) :]), unquote(parts.fragment))

    def _is_own(self, scheme: str, host: str) -> bool:
        own = urlsplit(self.base_url or "")
        return scheme in {"http", "https", ""} and host.lower() == own.netloc.lower() != ""

    def is_unsafe(self, uri: str) -> bool:
        """Whether it asks our own host, which knows better, for a page that is not encrypted."""
        own, scheme, rest = self.base_url or "", *uri.strip().partition("://")[::2]
        host = re.split(r"[/?#]", rest)[0].lower()
        https = own.startswith("https://")
        return https and scheme.lower() == "http" and host == urlsplit(own).netloc.lower()

    def _outside(self, uri: str) -> str:
        if self.path is None:
            return (
                "works only where the site is at the root of its host; write it relative to the "
                "page, or set base_url in site.toml"
            )
        return f"leads out of {self.path}, where the site is published; write it relative"


def _odd_scheme(scheme: str) -> str | None:
    if scheme == "file":
        return "names a file of this machine; copy the file into the site"
    if scheme == "javascript":
        return "is a script, which the pages do not run; link to a page"
    return None


def _odd_host(parts: SplitResult) -> str | None:
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme in {"http", "https", ""} and _THIS_MACHINE.fullmatch(host):
        return "leads to the machine of whoever reads it; name the address on the web, or a path"
    return None


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def missing(folder: ServedFolder, path: str) -> str:
    """Say that nothing answers for a path of the site, and what is meant perhaps."""
    like = folder.spelled_like(path) or folder.spelled_like(posixpath.join(path, INDEX))
    if like is not None:
        return f"is spelled {quoted(like)} in the folder; upper and lower case count on a server"
    return "leads to nothing in the folder; mend the address, or build again"
