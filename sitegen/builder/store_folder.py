"""The folder of a store: recognised by a marker file, and never emptied through a link.

A folder with `objects`, `records` and no names of others at its top is an older store, which has no
marker, if one of the records is sitegen's.

Only files that sitegen wrote are removed from a store: regular files with a name that sitegen
gives. Everything else in the folder stays.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from sitegen.core.errors import ConfigError, PlatformError
from sitegen.core.files import (
    below,
    is_sealed,
    is_temporary,
    platform_errors,
    read_file,
    write_atomic,
)
from sitegen.core.source import shown

MARKER = ".sitegen-store"
"""Name of the file that marks a store."""

LOCK_NAME = "lock"
"""Name of the file that a running build locks in a store."""

_MARKED = (
    b"sitegen store\n"
    b"sitegen keeps rendered clips in this folder. `sitegen clean --store` removes them.\n"
)
FOR_GIT = {
    # Rules for authors who track the store with git: rendered files only, byte for byte. Older
    # versions wrote `used.json` and `quarantine`.
    ".gitignore": b"/lock\n/speeds.json\n/used.json\n/work/\n/built/\n/quarantine/\n"
    b".sitegen-tmp-*\n",
    ".gitattributes": b"* -text\n",
}

_KEY = r"(drawn-)?[0-9a-f]{64}(-[0-9a-f]{16})?"
_OWN = re.compile(
    rf"objects/(?P<start>[0-9a-f]{{2}})/(?P=start)[0-9a-f]{{62}}|records/{_KEY}\.json"
    r"|asked/[0-9a-f]{64}\.json|weights/[^/]+\.json|built/[0-9a-f]{16}\.json"
    r"|speeds\.json|used\.json"
)
"""Names of the files that sitegen writes into a store; older versions wrote `used.json`."""

_FOLDERS = ("objects", "records", "asked", "weights", "built", "work")
_FIRST = {LOCK_NAME, *FOR_GIT, "speeds.json", "work"}
"""Names at the top of a store that are written before its marker."""
_GIVEN = {*_FIRST, *_FOLDERS, MARKER, "used.json", "quarantine"}
"""Names at the top of a store."""

_SYSTEM_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}
_APPLE_DOUBLE = b"\0\5\x16\7"
"""First bytes of the files `._NAME` in which macOS keeps attributes of files."""


def is_system_file(path: Path) -> bool:
    """Return whether a file is one that operating systems create in any folder they show."""
    if not path.name.startswith("._"):
        return path.name in _SYSTEM_FILES
    with platform_errors(path, "read"):
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) == _APPLE_DOUBLE


def require_store(root: Path) -> None:
    """Raise ConfigError if `root` holds files and is not a store. Reads only.

    Raises PlatformError if it cannot be read.
    """
    with platform_errors(root, "read"):
        if root.exists() and not root.is_dir():
            raise ConfigError(f"{shown(root)}: is not a folder; choose another cache_dir")
        names = {path.name for path in root.iterdir()} if root.is_dir() else set()
        if (root / MARKER).is_file():
            return
        given = _GIVEN if {"objects", "records"} <= names and _is_older(root) else _FIRST
        stray = {name for name in names if is_temporary(name) or is_system_file(root / name)}
        if names - given - stray:
            raise ConfigError(
                f"{shown(root)}: holds files and is not a store of sitegen (it has no {MARKER}); "
                "choose an empty or new folder as cache_dir"
            )


def _is_older(root: Path) -> bool:
    """Return whether a folder without a marker is an older store: it has a record of sitegen."""
    records = (path for name, path in own_files(root).items() if name.startswith("records/"))
    return any(map(_is_record, records))


def _is_record(path: Path) -> bool:
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(read_file(path))
        return isinstance(value, dict) and is_sealed(value) and value.get("key") == path.stem
    return False


def claim(root: Path) -> None:
    """Make `root` a store, with its marker. Raises as `require_store` does."""
    require_store(root)
    if not (root / MARKER).is_file() or (root / MARKER).is_symlink():
        write_own(root / MARKER, _MARKED)


def write_rules(root: Path) -> None:
    """Write the store's rules for git, unless they exist."""
    for name, rules in FOR_GIT.items():
        if not os.path.lexists(root / name):
            write_own(root / name, rules)


def write_own(path: Path, data: bytes) -> None:
    """Write `data` to a file of the store. Raises PlatformError for a link or a missing store."""
    require_no_link(path)
    make_folder(path.parent)
    write_atomic(path, data)


def make_folder(path: Path) -> None:
    """Make a folder of the store, but not its parents: the site may have been moved away.

    Raises PlatformError.
    """
    with platform_errors(path):
        path.mkdir(exist_ok=True)


def require_no_link(path: Path) -> None:
    """Raise PlatformError if a file of the store is a symbolic link."""
    if path.is_symlink():
        raise PlatformError(
            f"cannot write {path}: it is a symbolic link, which sitegen does not follow; remove it"
        )


def require_removable(root: Path) -> None:
    """Raise ConfigError unless files may be removed from `root`: a store, with no link in the way.

    Raises PlatformError if it cannot be read.
    """
    require_store(root)
    with platform_errors(root, "read"):
        parts = [root / name for name in _FOLDERS]
        parts += (root / "objects").glob("??")
        for path in (root, *parts):
            if path.is_symlink():
                raise ConfigError(
                    f"{shown(path)}: is a symbolic link to {os.readlink(path)}, and sitegen "
                    "removes nothing through a link; nothing was removed"
                )


def own_files(root: Path) -> Mapping[str, Path]:
    """Return the files in `root` that sitegen wrote, by their names there; no link is followed."""
    if not root.is_dir():
        return {}
    with platform_errors(root, "read"):
        files = {
            name: Path(entry.path)
            for name, entry in below(root)
            if _OWN.fullmatch(name) and entry.is_file(follow_symlinks=False)
        }
        # A note on weights has the name of a model, which an author chooses.
        return {
            name: path
            for name, path in files.items()
            if not name.startswith("weights/") or b'"weights":' in read_file(path)
        }


def remove(paths: Iterable[Path]) -> int:
    """Remove files of a store and return their bytes. Raises PlatformError.

    Records go first: a kill then leaves objects that no record names.
    """
    size = 0
    for path in sorted(paths, key=lambda path: (path.parent.name != "records", path)):
        with platform_errors(path, "remove"):
            size += path.lstat().st_size
            path.unlink()
    return size


def empty(root: Path) -> list[Path]:
    """Remove all files that sitegen wrote into a store; return the removed paths, for a message.

    The folder goes too if nothing else is in it. Raises as `require_removable` does, and
    PlatformError for files that cannot be removed.
    """
    require_removable(root)
    if root.is_dir():
        claim(root)
    before = set(root.iterdir()) if root.is_dir() else set()
    remove(own_files(root).values())
    for folder in [*(root / "objects").glob("??"), *(root / name for name in _FOLDERS)]:
        with contextlib.suppress(OSError):  # missing, or not empty
            folder.rmdir()
    removed = sorted(path for path in before if not os.path.lexists(path))
    if root.is_dir() and not others(root):
        for name in (*FOR_GIT, LOCK_NAME, MARKER):
            with platform_errors(root / name, "remove"):
                (root / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            root.rmdir()
    return removed


def others(root: Path) -> list[Path]:
    """Return the top-level entries of a store other than its marker, lock and rules."""
    with platform_errors(root, "read"):
        paths = sorted(root.iterdir()) if root.is_dir() else []
        own = {path for path in paths if path.name in (MARKER, LOCK_NAME)}
        for name, rules in FOR_GIT.items():
            path = root / name
            own |= {path} if path.is_file() and read_file(path) == rules else set()
    return [path for path in paths if path not in own]
