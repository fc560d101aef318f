"""The built folder: compared with its intended content, and replaced as a whole in one step.

Nothing inside it is changed. A new folder is built next to it, and the two are exchanged, so that a
reader sees the old site or the new one. A note in the store identifies the files of earlier builds
by name and content. Files that sitegen did not write, or that were edited by hand, are copied out
of the folder before it is replaced.
"""

import contextlib
import json
import os
import posixpath
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from types import MappingProxyType

from sitegen.builder.cache import errors_of_now
from sitegen.builder.store_folder import LOCK_NAME, claim, is_system_file, write_own
from sitegen.config.schema import Site
from sitegen.core.errors import ConfigError, LockedError, PlatformError, PublishError, TargetError
from sitegen.core.files import (
    below,
    cached_by_stat,
    digest,
    digest_bytes,
    exchange,
    flush_tree,
    platform_errors,
    read_file,
    require_writable,
    temporary_folder,
)
from sitegen.core.locks import lock
from sitegen.core.site_files import OwnFile
from sitegen.core.source import shown
from sitegen.core.urls import INDEX, MANIFEST
from sitegen.media.manifest import MediaFile

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644  # whatever the umask: web servers read it


@dataclass(frozen=True)
class CopiedFile:
    """A file to copy from the store or the author's folder, with its expected digest."""

    source: Path
    file: MediaFile | OwnFile

    def read(self) -> bytes:
        """Return the content. Raises TargetError if its digest is not the expected one."""
        with platform_errors(self.source, "read"):
            data = self.source.read_bytes()
        if digest_bytes(data) != self.file.sha256:
            raise TargetError(f"{self.source} changed while it was copied; build again")
        return data

    def is_unchanged(self) -> bool:
        """Return whether the file is not a link and has the expected content; it is read once."""
        with contextlib.suppress(OSError):
            return not self.source.is_symlink() and _digest(self.source) == self.file.sha256
        return False


_digest = cached_by_stat(digest)


Tree = Mapping[str, bytes | CopiedFile]
"""Content of a built folder, by relative URI."""


def is_current(output: Path, tree: Tree) -> bool:
    """Return whether `output` has exactly the files and folders of `tree`. Reads only.

    Raises PlatformError if something in it cannot be read.
    """
    with platform_errors(output, "read"):
        if not output.is_dir():
            return False
        there = {name for name, _ in below(output)}
        names = {*_folders(tree), *tree} - {"."}
        return there == names and all(_same(output / uri, tree[uri]) for uri in tree)


def _folders(tree: Tree) -> list[str]:
    """Return the folders of a tree, itself as ".", each before those in it."""
    return sorted({str(each) for uri in tree for each in PurePosixPath(uri).parents})


def differences(output: Path, tree: Tree) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the URIs that are missing or different in `output`, and those that `tree` lacks.

    Reads only. Raises PlatformError if something in it cannot be read.
    """
    with platform_errors(output, "read"):
        changed = (uri for uri in sorted(tree) if not _same(output / uri, tree[uri]))
        found = below(output) if output.is_dir() else ()
        listed = sorted(found, key=lambda each: each[0].split("/"))
        names = (name for name, entry in listed if not entry.is_dir(follow_symlinks=False))
        return tuple(changed), tuple(name for name in names if name not in tree)


def put_tree(tree: Tree, output: Path) -> None:
    """Replace the content of `output` with `tree`, in one step.

    Unchanged files are linked, and keep their time. Raises ConfigError as `require_ours` does,
    PlatformError and TargetError with the old folder still in place.
    """
    require_ours(output)
    with platform_errors(output), temporary_folder(output.parent) as folder:
        for name in _folders(tree):
            (folder / name).mkdir(exist_ok=True)
            (folder / name).chmod(_FOLDER_MODE)
        for uri, content in tree.items():
            if not _linked(output / uri, folder / uri, content):
                _write(folder / uri, content if isinstance(content, bytes) else content.read())
        exchange(folder, output)


def weight(tree: Tree) -> int:
    """Return the total size of the files of `tree` in bytes."""
    return sum(map(_size, tree.values()))


def require_present(site: Site) -> None:
    """Raise PlatformError if the site's folder is missing, perhaps because it was moved."""
    if not site.root.is_dir():
        raise PlatformError(
            f"{shown(site.root)}: the folder of the site is missing; if it was moved, move it back"
        )


@contextlib.contextmanager
def locked(site: Site, *, reading: bool = False) -> Iterator[None]:
    """Hold the site's lock for the block. Raises LockedError with the site if another process does.

    reading: everything is in the store, so a read-only store needs no lock
    Raises ConfigError if the site's `cache_dir` is not a store, PlatformError if the site's folder
    is missing.
    """
    store = site.cache_dir
    with contextlib.ExitStack() as held:
        try:
            if not (reading and store.is_dir() and not os.access(store, os.W_OK)):
                require_present(site)
                with platform_errors(store):
                    store.parent.mkdir(parents=True, exist_ok=True)
                claim(store)
                held.enter_context(lock(store / LOCK_NAME))
        except LockedError as error:
            raise LockedError(f"{site.root}: {error}") from None
        yield


def alone(site: Site) -> contextlib.AbstractContextManager[None]:
    """Hold the site's lock for the block, if there is a store. Raises as `locked` does."""
    return locked(site) if site.cache_dir.is_dir() else contextlib.nullcontext()


def require_ours(output: Path) -> None:
    """Raise ConfigError unless `output` is missing, empty, or a folder that sitegen built.

    The folder is replaced as a whole, so a folder with a git repository is refused as well.
    """
    with platform_errors(output, "read"):
        if not output.exists():
            return
        if not output.is_dir():
            raise ConfigError(f"{output}: is not a folder; choose another --output")
        names = {path.name for path in output.iterdir()}
        if names and not _is_manifest(output / MANIFEST):
            raise ConfigError(
                f"{output}: holds files, and no {MANIFEST} of sitegen; a build "
                "replaces the whole folder, so choose an empty or new one"
            )
        if ".git" in names:
            raise ConfigError(
                f"{output}: holds a git repository, and a build replaces the whole folder; "
                "choose another --output"
            )


def is_built(output: Path) -> bool:
    """Return whether `output` is a folder that sitegen built, without a git repository."""
    with platform_errors(output, "read"):
        return _is_manifest(output / MANIFEST) and not (output / ".git").exists()


def require_room(output: Path) -> None:
    """Raise, before anything is sampled, unless a new folder can replace `output`.

    Raises ConfigError as `require_ours` does, PlatformError if the disk refuses.
    """
    require_ours(output)
    if os.path.ismount(output):
        raise PlatformError(
            f"{output}: a file system is mounted here, and a build replaces the whole folder; "
            "choose a folder inside it"
        )
    require_writable(output.parent, output)


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


def _linked(old: Path, target: Path, content: bytes | CopiedFile) -> bool:
    """Link an unchanged file of the old folder into the new one, so that it is not written again.

    Returns False if the file differs or the disk has no links.
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
    if not path.is_file():  # opening a pipe would block
        return False
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and {"version", "figures"} <= value.keys()


@dataclass(frozen=True)
class ServedFolder:
    """The content of a folder, by relative URI, with names as the folder spells them.

    files: size of each regular file in bytes
    others: symbolic links, pipes and so on, each with a description
    seal: SHA-256 of each file, if only unchanged files may be read from now on
    """

    root: Path
    files: Mapping[str, int]
    others: Mapping[str, str] = field(default_factory=dict)
    seal: Mapping[str, str] = field(default_factory=dict)

    def served(self, name: str) -> str | None:
        """Return the file that GitHub Pages serves for a path: itself, its index, or its .html."""
        choices = [name, posixpath.join(name, INDEX)]
        choices += [] if not name or name.endswith("/") else [f"{name}.html"]
        return next((each for each in choices if each in self.files), None)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises PlatformError if it cannot be read, PublishError if it has changed since it was
        sealed.
        """
        path = self.root / name
        with platform_errors(path, "read"):
            data = path.read_bytes()
        if self.seal.get(name) not in (None, digest_bytes(data)):
            raise PublishError(f"{shown(path)}: has changed since it was checked; try again")
        return data

    def sealed(self) -> "ServedFolder":
        """Return this folder sealed with its current content. Raises PlatformError if
        unreadable.
        """
        with platform_errors(self.root, "read"):
            return replace(self, seal={name: _digest(self.root / name) for name in self.files})


def read_folder(root: Path) -> ServedFolder:
    """List a folder without following links. Raises PlatformError if it cannot be read."""
    files: dict[str, int] = {}
    others: dict[str, str] = {}
    with platform_errors(root, "read"):
        for name, entry in below(root):
            if entry.is_symlink():
                others[name] = "a symbolic link"
            elif entry.is_file():
                files[name] = entry.stat().st_size
            elif not entry.is_dir():
                others[name] = "not a regular file"
    return ServedFolder(root, dict(sorted(files.items())), dict(sorted(others.items())))


_BY_CONTENT = re.compile(r"([a-z0-9-]+/)?(assets|media)/[\w-]+-[0-9a-f]{8}(\.\w+|/[\w-]+\.\w+)")
"""Files whose name has a part of their digest: sitegen's, where no note tells."""

Files = frozenset[tuple[str, str]]
"""URIs and SHA-256 of files; after a kill a URI may have two."""


def install(tree: Tree, output: Path, site: Site) -> bool:
    """Replace `output` by `tree`; return False if it has exactly these files already.

    Raises ConfigError for a folder that sitegen did not build, PlatformError and TargetError with
    the old folder still in place.
    """
    before, files = built(site, output), _files(tree)
    if is_current(output, tree):
        if not files <= before:
            _write_note(files, output, site)
        return False
    _write_note(before | files, output, site)  # either folder is known after a kill
    require_present(site)
    put_tree(tree, output)
    _write_note(files, output, site)
    return True


def is_installed(tree: Tree, output: Path, site: Site) -> bool:
    """Return whether `output` has exactly `tree`, and the store knows that. Reads only."""
    return is_current(output, tree) and _files(tree) <= built(site, output)


def built(site: Site, output: Path) -> Files:
    """Return the files that the last build put into `output`; empty if unknown.

    Raises PlatformError if the note cannot be read at present.
    """
    path = _note(site, output)
    with contextlib.suppress(OSError, ValueError, RecursionError, TypeError, LookupError):
        with errors_of_now(path):
            files = json.loads(read_file(path))["files"]
        return frozenset((str(uri), str(sha256)) for uri, sha256 in files)
    return frozenset()


def _files(tree: Tree) -> Files:
    return frozenset((uri, _sha256_of(tree[uri])) for uri in tree)


def _sha256_of(content: bytes | CopiedFile) -> str:
    return content.file.sha256 if isinstance(content, CopiedFile) else digest_bytes(content)


def _write_note(files: Files, output: Path, site: Site) -> None:
    """Write the note, unless the store is read-only. Raises PlatformError."""
    if os.access(site.cache_dir, os.W_OK) or not site.cache_dir.exists():
        value = {"files": sorted(files), "kept": {}, "own": {}}  # older versions read all three
        write_own(_note(site, output), f"{json.dumps(value)}\n".encode())


def _note(site: Site, output: Path) -> Path:
    way = os.path.relpath(os.path.realpath(output), os.path.realpath(site.root))
    return site.cache_dir / "built" / f"{digest_bytes(os.fsencode(way))[:16]}.json"


KEPT = "kept-from-build"
"""Folder of a site for files that others put into the built folder; no command removes them."""


def foreign(output: Path, site: Site, tree: Tree = MappingProxyType({})) -> tuple[str, ...]:
    """Return the URIs of files and links in a built folder that no build has written in this form.

    tree: content to be installed next, which counts as written
    Reads only; raises PlatformError if something in it cannot be read.
    """
    with platform_errors(output, "read"):
        listed = sorted(below(output), key=lambda each: each[0].split("/"))
        noted = built(site, output)
        known = noted | _files(tree)
        return tuple(
            name for name, entry in listed if _is_foreign(name, entry, known, by_name=not noted)
        )


def _is_foreign(name: str, entry: os.DirEntry[str], known: Files, by_name: bool) -> bool:
    if entry.is_symlink():
        return True
    if not entry.is_file() or is_system_file(Path(entry.path)):
        return False
    sha256 = digest(Path(entry.path))
    named = by_name and _BY_CONTENT.fullmatch(name) and Path(name).stem.endswith(f"-{sha256[:8]}")
    return not named and (name, sha256) not in known


def preserve_foreign_files(output: Path, site: Site, tree: Tree) -> list[str]:
    """Copy foreign files out of a folder that `tree` will replace; return a line for each.

    They go into a new, numbered folder of the site, which no command removes; links stay links.
    Raises PlatformError, with the built folder unchanged, if the disk refuses.
    """
    names = foreign(output, site, tree) if output.is_dir() else ()
    if not names:
        return []
    folder, lines = _numbered(site.root / KEPT), list[str]()
    with platform_errors(folder):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(output / name, folder / name, follow_symlinks=False)
            lines.append(
                f"{shown(output / name)}: was not written by sitegen, or was changed since; a "
                f"build replaces the whole folder, so it was copied to {shown(folder / name)}"
            )
        flush_tree(folder)
    return lines


def _numbered(parent: Path) -> Path:
    with platform_errors(parent):
        parent.mkdir(exist_ok=True)
        for number in count(1):
            with contextlib.suppress(FileExistsError):
                (parent / str(number)).mkdir()
                return parent / str(number)
    raise AssertionError
