"""The folder of a store: recognised by a marker file, and never emptied through a link.

Only files that sitegen wrote are removed from a store: regular files with a name that sitegen
gives. Everything else in the folder stays.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sitegen.core.errors import ConfigError, PlatformError
from sitegen.core.files import (
    below,
    digest_bytes,
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

_LOCKED = re.compile(rb"(\d+ \S+ [0-9a-f]{8}\n)?")
_FOLDERS = ("objects", "records", "asked", "weights", "built", "work")


def require_store(root: Path) -> None:
    """Raise ConfigError if `root` holds files and is not a store. Reads only.

    Raises PlatformError if it cannot be read.
    """
    with platform_errors(root, "read"):
        if root.exists() and not root.is_dir():
            raise ConfigError(f"{shown(root)}: is not a folder; choose another cache_dir")
        if not root.is_dir() or _is_marked(root) or _has_proof(root) or _is_vacant(root):
            return
        if not _is_marked(root):  # another thread may have made it a store since
            raise ConfigError(
                f"{shown(root)}: holds files and is not a store of sitegen (it has no {MARKER}); "
                "choose an empty or new folder as cache_dir"
            )


def claim(root: Path) -> None:
    """Make `root` a store, with its marker. Raises as `require_store` does."""
    require_store(root)
    if not _is_marked(root):
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
        files = (
            (name, Path(entry.path))
            for name, entry in below(root)
            if _OWN.fullmatch(name) and entry.is_file(follow_symlinks=False)
        )
        return {name: path for name, path in files if _is_own(name, path)}


def empty(root: Path) -> list[Path]:
    """Remove all files that sitegen wrote into a store; return the removed paths, for a message.

    The folder goes too if nothing else is in it. Raises as `require_removable` does, and
    PlatformError for files that cannot be removed.
    """
    require_removable(root)
    files, removed = own_files(root), list[Path]()
    before = set(root.iterdir()) if root.is_dir() else set()
    # Records are removed first: a kill then leaves objects that no record names.
    for name in sorted(files, key=lambda name: (not name.startswith("records/"), name)):
        with platform_errors(files[name], "remove"):
            files[name].unlink(missing_ok=True)
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
    return [path for path in paths if path.name not in (MARKER, LOCK_NAME) and not _is_rule(path)]


def _is_marked(root: Path) -> bool:
    path = root / MARKER
    return path.is_file() and not path.is_symlink() and read_file(path).startswith(_MARKED[:14])


def _is_rule(path: Path) -> bool:
    return path.name in FOR_GIT and _content(path) == FOR_GIT[path.name]


def _has_proof(root: Path) -> bool:
    """Return whether a folder has a file that only sitegen writes; older stores have no marker."""
    folders = ("records", "asked", "weights", "built")
    paths = (path for name in folders for path in sorted((root / name).glob("*.json")))
    return any(_is_proof(path.parent.name, path) for path in paths)


def _is_proof(folder: str, path: Path) -> bool:
    data = _content(path)
    if folder == "asked":
        return data is not None and digest_bytes(data) == path.stem
    value = _table(data)
    if folder == "records":
        return value.get("key") == path.stem and "sha256" in value
    return {"kept", "own"} <= value.keys() if folder == "built" else _is_note(value)


def _is_own(name: str, path: Path) -> bool:
    """Return whether a file with a name that sitegen uses may be its own, since models are named
    freely.
    """
    return not name.startswith("weights/") or _is_note(_table(_content(path)))


def _is_note(value: Mapping[str, Any]) -> bool:
    return value.keys() == {"path", "weights"}


def _is_vacant(root: Path) -> bool:
    """Return whether a folder has no files but a lock, rules for git and temporary files."""
    for name, entry in below(root):
        if entry.is_dir(follow_symlinks=False) or any(map(is_temporary, name.split("/"))):
            continue
        if name not in FOR_GIT and not _is_first(name, _content(Path(entry.path))):
            return False
    return True


def _is_first(name: str, data: bytes | None) -> bool:
    """Return whether a file is a lock or the measured speeds, which are written before the
    marker.
    """
    if name == "speeds.json":
        return {type(value) for value in _table(data).values()} == {list}
    return name == LOCK_NAME and _LOCKED.fullmatch(data or b"") is not None


def _content(path: Path) -> bytes | None:
    if path.is_symlink() or not path.is_file():
        return None
    return read_file(path)


def _table(data: bytes | None) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(data or b"")
        if isinstance(value, dict):
            return value
    return {}
