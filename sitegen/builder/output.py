"""The built folder: compared with what it should hold, and replaced whole, in one step.

Nothing is ever changed inside it. What must be different is built beside it, and the two folders
are exchanged, so that a reader sees the old site or the new one.
"""

import contextlib
import json
import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from sitegen.builder.store_folder import LOCK_NAME, claim
from sitegen.config.schema import Site
from sitegen.core.errors import ConfigError, PlatformError, PublishError, TargetError
from sitegen.core.files import (
    below,
    cached_by_stat,
    digest,
    digest_bytes,
    exchange,
    platform_errors,
    require_writable,
    temporary_folder,
)
from sitegen.core.locks import lock
from sitegen.core.site_files import OwnFile
from sitegen.core.source import shown
from sitegen.core.urls import INDEX, MANIFEST
from sitegen.media.manifest import MediaFile

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644  # whatever the umask, so that a web server can read it


@dataclass(frozen=True)
class CopiedFile:
    """A file of the store or the author's to copy, and what it must be."""

    source: Path
    file: MediaFile | OwnFile

    def read(self) -> bytes:
        """The content. Raises TargetError if it is not what was promised."""
        with platform_errors(self.source, "read"):
            data = self.source.read_bytes()
        if digest_bytes(data) != self.file.sha256:
            raise TargetError(f"{self.source} changed while it was copied; build again")
        return data

    def opened(self) -> int | None:
        """A descriptor of the file while it is what was promised: no link, and of that content.

        None otherwise. Whatever its name leads to later, this leads to what was looked at.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            handle = os.open(self.source, flags)
        except OSError:
            return None
        with contextlib.suppress(OSError):  # a clip is asked for in pieces, and read once
            if S_ISREG(os.fstat(handle).st_mode) and _digest(open_path(handle)) == self.file.sha256:
                return handle
        os.close(handle)
        return None


_digest = cached_by_stat(digest)


def open_path(handle: int) -> Path:
    """A path by which the file of a descriptor can be opened once more."""
    return Path(f"/dev/fd/{handle}")


Tree = Mapping[str, bytes | CopiedFile]
"""What a built folder holds, by relative URI."""


def is_current(output: Path, tree: Tree) -> bool:
    """Whether `output` has exactly the files and folders of `tree`. Reads only.

    Raises PlatformError if something in it cannot be read.
    """
    with platform_errors(output, "read"):
        if not output.is_dir():
            return False
        there = {name for name, _ in below(output)}
        folders = {uri.rpartition("/")[0] for uri in tree}
        folders |= {str(each) for folder in folders for each in PurePosixPath(folder).parents}
        folders -= {"", "."}
        return there == folders | tree.keys() and all(_same(output / u, tree[u]) for u in tree)


def differences(output: Path, tree: Tree) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The URIs that are missing or other in `output`, and those of files that `tree` has not.

    Reads only. Raises PlatformError if something in it cannot be read.
    """
    with platform_errors(output, "read"):
        changed = (uri for uri in sorted(tree) if not _same(output / uri, tree[uri]))
        listed = _listed(output)
        names = (name for name, entry in listed if not entry.is_dir(follow_symlinks=False))
        return tuple(changed), tuple(name for name in names if name not in tree)


def _listed(folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    """What lies below a folder, in the order of the paths; nothing where there is no folder."""
    found = below(folder) if folder.is_dir() else ()
    return sorted(found, key=lambda each: each[0].split("/"))


def put_tree(tree: Tree, output: Path) -> None:
    """Make `output` hold exactly `tree`, in one step, whatever it holds.

    What is the same there stays the very same file, with its time. Raises ConfigError as
    `require_ours` does; PlatformError and TargetError with the old folder still in place.
    """
    require_ours(output)
    with platform_errors(output), temporary_folder(output.parent) as folder:
        folder.chmod(_FOLDER_MODE)
        made = {folder}
        for uri, content in tree.items():
            _require_parent(folder / uri, made)
            if not _linked(output / uri, folder / uri, content):
                _write(folder / uri, content if isinstance(content, bytes) else content.read())
        exchange(folder, output)


def weight(tree: Tree) -> int:
    """How many bytes the files of `tree` have together."""
    return sum(map(_size, tree.values()))


@contextlib.contextmanager
def alone(site: Site) -> Iterator[None]:
    """Keep builds away for the block, where there have been any.

    Raises LockedError, and ConfigError if the site's `cache_dir` is not a store.
    """
    with contextlib.ExitStack() as held:
        if site.cache_dir.is_dir():
            claim(site.cache_dir)
            held.enter_context(lock(site.cache_dir / LOCK_NAME))
        yield


def require_ours(output: Path) -> None:
    """Raise ConfigError unless `output` is free, empty, or a folder that sitegen built.

    Such a folder is replaced whole, so one that holds a git repository is refused as well.
    """
    with platform_errors(output, "read"):
        if not output.exists():
            return
        if not output.is_dir():
            raise ConfigError(f"{output}: is not a folder; choose another --output")
        names = {path.name for path in output.iterdir()}
        if names and not _is_manifest(output / MANIFEST):
            raise ConfigError(
                f"{output}: holds files, and no {MANIFEST} of sitegen's; "
                "it would be replaced whole, so choose an empty or new folder"
            )
        if ".git" in names:
            raise ConfigError(
                f"{output}: holds a git repository, which would be lost, since this folder is "
                "replaced whole; choose another --output"
            )


def is_built(output: Path) -> bool:
    """Whether `output` is a folder that sitegen built, and no git repository."""
    with platform_errors(output, "read"):
        return _is_manifest(output / MANIFEST) and not (output / ".git").exists()


def require_room(output: Path) -> None:
    """Raise, before anything is sampled, unless a new folder can take the place of `output`.

    Raises ConfigError as `require_ours` does, PlatformError where the disk refuses.
    """
    require_ours(output)
    if os.path.ismount(output):
        raise PlatformError(
            f"{output}: a file system is mounted here, and the folder must be replaced whole; "
            "choose a folder inside it"
        )
    require_writable(output.parent, output)
    if output.exists() and not os.access(output, os.W_OK | os.X_OK):
        raise PlatformError(
            f"cannot replace {output}: it belongs to somebody else or is read-only; "
            "give yourself permission to write there, or choose another folder"
        )


def _same(path: Path, content: bytes | CopiedFile) -> bool:
    try:
        about = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not S_ISREG(about.st_mode) or about.st_size != _size(content):
        return False
    if isinstance(content, bytes):
        return path.read_bytes() == content
    return digest(path) == content.file.sha256


def _size(content: bytes | CopiedFile) -> int:
    return len(content) if isinstance(content, bytes) else content.file.bytes


def _require_parent(target: Path, made: set[Path]) -> None:
    """Make the folders above a file that are not `made`."""
    missing = list[Path]()
    while (parent := (missing[-1] if missing else target).parent) not in made:
        missing.append(parent)
    for folder in reversed(missing):
        folder.mkdir()
        folder.chmod(_FOLDER_MODE)
        made.add(folder)


def _linked(old: Path, target: Path, content: bytes | CopiedFile) -> bool:
    """Give a file of the old folder that is as it should be its place in the new one as well.

    So that nothing of it is written and flushed again; False where the disk has no links.
    """
    if not _same(old, content) or old.stat().st_mode & 0o7777 != _FILE_MODE:
        return False
    try:
        os.link(old, target)
    except OSError:
        return False
    return True


def _write(target: Path, data: bytes) -> None:
    target.write_bytes(data)
    target.chmod(_FILE_MODE)


def _is_manifest(path: Path) -> bool:
    """Whether the file is a manifest of sitegen's, of whatever version."""
    if not path.is_file():  # a pipe would keep us waiting
        return False
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and {"version", "figures"} <= value.keys()


@dataclass(frozen=True)
class ServedFolder:
    """What lies in a folder, by relative URI; the names are those that the folder itself tells.

    files: the size of each regular file in bytes
    others: symbolic links, pipes and the like, each with what it is
    seal: the SHA-256 of each file, where nothing else may be read from now on
    """

    root: Path
    files: Mapping[str, int]
    others: Mapping[str, str] = field(default_factory=dict)
    seal: Mapping[str, str] = field(default_factory=dict)

    def served(self, name: str) -> str | None:
        """The file that answers for a path as GitHub Pages does: itself, its index, its .html."""
        choices = [name, posixpath.join(name, INDEX)]
        choices += [] if not name or name.endswith("/") else [f"{name}.html"]
        return next((each for each in choices if each in self.files), None)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises PlatformError if it cannot be read, PublishError if it is not as it was sealed.
        """
        path = self.root / name
        with platform_errors(path, "read"):
            data = path.read_bytes()
        if self.seal.get(name) not in (None, digest_bytes(data)):
            raise PublishError(f"{shown(path)}: has changed since it was looked at; try again")
        return data

    def sealed(self) -> "ServedFolder":
        """The same, with what its files hold now. Raises PlatformError if one cannot be read."""
        with platform_errors(self.root, "read"):
            return replace(self, seal={name: _digest(self.root / name) for name in self.files})


def read_folder(root: Path) -> ServedFolder:
    """List a folder without following any link. Raises PlatformError if it cannot be read."""
    files: dict[str, int] = {}
    others: dict[str, str] = {}
    with platform_errors(root, "read"):
        for name, entry in below(root):
            if entry.is_symlink():
                others[name] = "a symbolic link"
            elif entry.is_file():
                files[name] = entry.stat().st_size
            elif not entry.is_dir():
                others[name] = "no regular file"
    return ServedFolder(root, dict(sorted(files.items())), dict(sorted(others.items())))
