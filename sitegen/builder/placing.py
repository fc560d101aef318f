"""Installation of the built site, with some files of the last build kept for its readers.

A reader who has opened a page of the last build may load its pictures or its stylesheet after the
next build is installed. Such files are named by their content. Files of the last build that the new
one does not name therefore stay for one more build, except those that were kept already. They are
not part of the site: no page and no `media.json` names them, and a build into an empty folder has
none. The store lists them for each folder.

Files that sitegen did not write, or that were edited by hand, are copied out of the folder before
it is replaced. The note of the last build identifies its own files by name and content.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sitegen.builder.cache import errors_of_now
from sitegen.builder.output import CopiedFile, Tree, is_current, put_tree, require_present
from sitegen.builder.store_folder import write_own
from sitegen.config.schema import Site
from sitegen.core.files import (
    below,
    digest,
    digest_bytes,
    flush_tree,
    platform_errors,
    read_file,
)
from sitegen.core.site_files import OwnFile
from sitegen.core.source import shown
from sitegen.core.urls import MANIFEST

_BY_CONTENT = re.compile(r"([a-z0-9-]+/)?(assets|media)/[\w-]+-[0-9a-f]{8}(\.\w+|/[\w-]+\.\w+)")
"""Files that are named by their content, or are in a folder that is."""
_NO_NOTE = (ValueError, RecursionError, TypeError, LookupError, AttributeError)
"""Exceptions from reading a JSON file that is not a valid note."""

Digests = Mapping[str, str]
"""SHA-256 of files, by their URI."""

Files = frozenset[tuple[str, str]]
"""URIs and SHA-256 of files; after a kill a URI may have two."""


@dataclass(frozen=True)
class _Note:
    """The files that sitegen put into a folder, including those of an interrupted build.

    files: all files, each with its SHA-256
    kept: those of them that belong to the previous build
    own: the build's own files that are named by their content, by the state of the folder
    """

    files: Files = frozenset()
    kept: Digests = field(default_factory=dict)
    own: Mapping[str, Digests] = field(default_factory=dict)

    def data(self) -> bytes:
        """Return the note as a file."""
        value = {"files": sorted(self.files), "kept": self.kept, "own": self.own}
        return f"{json.dumps(value, sort_keys=True)}\n".encode()


def place(tree: Tree, output: Path, site: Site) -> bool:
    """Install `tree` and the kept files in `output`; return False if they are there already.

    Raises ConfigError for a folder that sitegen did not build, PlatformError and TargetError with
    the old folder still in place.
    """
    path, before = _path(site, output), _read(site, output)
    if is_placed(tree, output, site):
        if not is_noted(tree, output, site):
            last = kept(site, output)
            files = {(uri, _digest(tree[uri])) for uri in tree} | {*last.items()}
            _write(path, _Note(frozenset(files), last, _own_files(tree, tree)), site)
        return False
    last = _last(before, output, tree)
    whole = {**tree, **{uri: _copied(output, uri, sha256) for uri, sha256 in last.items()}}
    own = _own_files(tree, whole)
    note = _Note(frozenset((uri, _digest(whole[uri])) for uri in whole), last, own)
    both = _Note(note.files | before.files, {**before.kept, **last}, {**before.own, **own})
    _write(path, both, site)
    require_present(site)
    put_tree(whole, output)
    _write(path, note, site)
    return True


def _own_files(tree: Tree, whole: Tree) -> Mapping[str, Digests]:
    """Return the files of a build that are named by their content, by the state of its folder."""
    return {_state(whole): {uri: _digest(tree[uri]) for uri in tree if _BY_CONTENT.fullmatch(uri)}}


def is_noted(tree: Tree, output: Path, site: Site) -> bool:
    """Return whether the store knows that the files of `tree` were put into `output`."""
    return {(uri, _digest(tree[uri])) for uri in tree} <= built(site, output)


def _write(path: Path, note: _Note, site: Site) -> None:
    """Write a note, unless the store is read-only. Raises PlatformError."""
    if os.access(site.cache_dir, os.W_OK) or not site.cache_dir.exists():
        write_own(path, note.data())


def is_placed(tree: Tree, output: Path, site: Site) -> bool:
    """Return whether `output` has exactly `tree` and the kept files. Reads only."""
    whole = {uri: _copied(output, uri, sha256) for uri, sha256 in kept(site, output).items()}
    return is_current(output, {**whole, **tree})


def kept(site: Site, output: Path) -> Digests:
    """Return the files in `output` that belong to the build before the last one.

    After a kill, the installed pages decide: the files that they name belong to their own build.
    """
    note = _read(site, output)
    own = _own(note, output) if len(note.own) > 1 else {}
    known = {uri: sha256 for uri, sha256 in note.kept.items() if uri not in own}
    return {uri: sha256 for uri, sha256 in known.items() if (output / uri).exists()}


def built(site: Site, output: Path) -> Files:
    """Return the files that the last build put into `output`; empty if unknown."""
    return _read(site, output).files


KEPT = "kept-from-build"
"""Folder of a site for files that others put into the built folder; no command removes them."""

_SYSTEM_FILE = re.compile(r"(.*/)?(\._.*|\.DS_Store|Thumbs\.db|desktop\.ini)")
"""Files that operating systems create in any folder they show."""


def foreign(output: Path, site: Site, tree: Tree = MappingProxyType({})) -> tuple[str, ...]:
    """Return the URIs of files and links in a built folder that no build has written in this form.

    tree: content to be installed next, which counts as written
    Reads only; raises PlatformError if something in it cannot be read.
    """
    with platform_errors(output, "read"):
        listed = sorted(below(output), key=lambda each: each[0].split("/"))
        known = built(site, output) | {(uri, _digest(tree[uri])) for uri in tree}
        return tuple(name for name, entry in listed if _is_foreign(name, entry, known))


def _is_foreign(name: str, entry: os.DirEntry[str], known: Files) -> bool:
    if entry.is_symlink():
        return True
    if not entry.is_file() or _SYSTEM_FILE.fullmatch(name):
        return False
    sha256 = digest(Path(entry.path))
    named = _BY_CONTENT.fullmatch(name) and Path(name).stem.endswith(f"-{sha256[:8]}")
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
    """Create a folder in `parent` with the first free number. Raises PlatformError."""
    with platform_errors(parent):
        parent.mkdir(exist_ok=True)
        for number in count(1):
            with contextlib.suppress(FileExistsError):
                (parent / str(number)).mkdir()
                return parent / str(number)
    raise AssertionError


def _last(note: _Note, output: Path, tree: Tree) -> Digests:
    """Return the last build's unchanged files in `output` that `tree` lacks."""
    if not note.own or not output.is_dir():
        return {}
    files = _files(output)
    gone = {uri: sha256 for uri, sha256 in _own(note, output).items() if uri not in tree}
    return {uri: sha256 for uri, sha256 in gone.items() if digest(files[uri]) == sha256}


def _own(note: _Note, output: Path) -> Digests:
    """Return the files in `output` that belong to the build of the installed pages."""
    files = _files(output)
    placed = {uri for uri, _ in note.files}  # foreign files do not change the state
    state = _state({uri: path.read_bytes for uri, path in files.items() if uri in placed})
    return {uri: sha256 for uri, sha256 in note.own.get(state, {}).items() if uri in files}


def _files(output: Path) -> Mapping[str, Path]:
    if not output.is_dir():
        return {}
    found = below(output)
    return {name: Path(entry.path) for name, entry in found if entry.is_file(follow_symlinks=False)}


def _state(files: Mapping[str, Any]) -> str:
    """Return a digest of the names in a folder, and of its pages and manifest."""
    told = sorted(files)
    for uri in sorted(files):
        if uri.endswith(".html") or uri == MANIFEST:
            told.append(digest_bytes(_bytes(files[uri])))
    return digest_bytes("\n".join(told).encode())


def _bytes(content: Any) -> bytes:
    read = content.read if isinstance(content, CopiedFile) else content
    return read if isinstance(read, bytes) else bytes(read())


def _digest(content: bytes | CopiedFile) -> str:
    return content.file.sha256 if isinstance(content, CopiedFile) else digest_bytes(content)


def _copied(output: Path, uri: str, sha256: str) -> CopiedFile:
    path = output / uri
    size = path.stat().st_size if path.is_file() else 0
    return CopiedFile(path, OwnFile(uri, path, size, sha256))


def _read(site: Site, output: Path) -> _Note:
    """Return the note on earlier builds. Raises PlatformError if it cannot be read at present."""
    path = _path(site, output)
    with contextlib.suppress(OSError, *_NO_NOTE), errors_of_now(path):
        value = json.loads(read_file(path))
        own = {state: _digests(each) for state, each in value["own"].items()}
        files = frozenset((str(uri), str(sha256)) for uri, sha256 in value.get("files", ()))
        return _Note(files, _digests(value["kept"]), own)
    return _Note()


def _digests(value: Mapping[str, str]) -> Digests:
    """Return the entries of a note that name files by their content; ignore all others."""
    return {uri: str(sha256) for uri, sha256 in value.items() if _BY_CONTENT.fullmatch(uri)}


def _path(site: Site, output: Path) -> Path:
    way = os.path.relpath(os.path.realpath(output), os.path.realpath(site.root))
    return site.cache_dir / "built" / f"{digest_bytes(os.fsencode(way))[:16]}.json"
