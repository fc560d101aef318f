"""Putting a site in its place, and what of the one before stays there for its readers.

A reader who has the page of the last build fetches what it names, a picture or the stylesheet, a
moment later, perhaps when the next build is in place. Such files are named by their content. So
those of the last build that the new one does not name stay for one build longer: not those that it
had kept itself. They are no part of the site: nothing names them, `media.json` neither, and a
build in an empty folder has none. The store knows which they are, for each folder.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sitegen.builder.cache import errors_of_now
from sitegen.builder.output import CopiedFile, Tree, is_current, put_tree
from sitegen.config.schema import Site
from sitegen.core.files import below, digest, digest_bytes, read_file, write_atomic
from sitegen.core.site_files import OwnFile
from sitegen.core.urls import MANIFEST

_BY_CONTENT = re.compile(r"([a-z0-9-]+/)?(assets|media)/[\w-]+-[0-9a-f]{8}(\.\w+|/[\w-]+\.\w+)")
"""Files whose names, or that of their folder, tell their content."""
_NO_NOTE = (ValueError, RecursionError, TypeError, LookupError, AttributeError)
"""What a file of JSON that is none of our notes ends in."""

Digests = Mapping[str, str]
"""The SHA-256 of files, by their URI."""

Files = frozenset[tuple[str, str]]
"""URIs of files, each with the SHA-256 of what lies there; after a kill that may be one of two."""


@dataclass(frozen=True)
class _Note:
    """What sitegen has put into a folder, and what a kill may have left there instead.

    files: all of them, each with its SHA-256
    kept: those of them that are of the build before
    own: by the state of the folder, what is named by its content and of that build itself
    """

    files: Files = frozenset()
    kept: Digests = field(default_factory=dict)
    own: Mapping[str, Digests] = field(default_factory=dict)

    def data(self) -> bytes:
        """The note as a file."""
        value = {"files": sorted(self.files), "kept": self.kept, "own": self.own}
        return f"{json.dumps(value, sort_keys=True)}\n".encode()


def place(tree: Tree, output: Path, site: Site) -> bool:
    """Make `output` hold `tree` and what is kept beside it, in one step; False where it does.

    Raises ConfigError for a folder that is not ours; PlatformError and TargetError with the old
    folder still in place.
    """
    if is_placed(tree, output, site):
        return False
    path, before = _path(site, output), _read(site, output)
    kept = _last(before, output, tree)
    whole = {**tree, **{uri: _copied(output, uri, sha256) for uri, sha256 in kept.items()}}
    own = {_state(whole): {uri: _digest(whole[uri]) for uri in tree if _BY_CONTENT.fullmatch(uri)}}
    note = _Note(frozenset((uri, _digest(whole[uri])) for uri in whole), kept, own)
    both = _Note(note.files | before.files, {**before.kept, **kept}, {**before.own, **own})
    write_atomic(path, both.data())
    put_tree(whole, output)
    write_atomic(path, note.data())
    return True


def is_placed(tree: Tree, output: Path, site: Site) -> bool:
    """Whether `output` holds `tree`, with nothing beside it but what is kept. Reads only."""
    whole = {uri: _copied(output, uri, sha256) for uri, sha256 in kept(site, output).items()}
    return is_current(output, {**whole, **tree})


def kept(site: Site, output: Path) -> Digests:
    """What is in `output` of the build before the last one.

    After a kill that is told by the pages that are there: files that they name are theirs.
    """
    note = _read(site, output)
    own = _own(note, output) if len(note.own) > 1 else {}
    known = {uri: sha256 for uri, sha256 in note.kept.items() if uri not in own}
    return {uri: sha256 for uri, sha256 in known.items() if (output / uri).exists()}


def built(site: Site, output: Path) -> Files:
    """What the last build put into `output`; nothing where that is not known."""
    return _read(site, output).files


def _last(note: _Note, output: Path, tree: Tree) -> Digests:
    """What the last build has in `output` that `tree` has not, and is as it was."""
    if not note.own or not output.is_dir():
        return {}
    files = _files(output)
    gone = {uri: sha256 for uri, sha256 in _own(note, output).items() if uri not in tree}
    return {uri: sha256 for uri, sha256 in gone.items() if digest(files[uri]) == sha256}


def _own(note: _Note, output: Path) -> Digests:
    """What is in `output` and of the build itself whose pages are there."""
    files = _files(output)
    placed = {uri for uri, _ in note.files}  # others are not ours, and do not make it another site
    state = _state({uri: path.read_bytes for uri, path in files.items() if uri in placed})
    return {uri: sha256 for uri, sha256 in note.own.get(state, {}).items() if uri in files}


def _files(output: Path) -> Mapping[str, Path]:
    if not output.is_dir():
        return {}
    found = below(output)
    return {name: Path(entry.path) for name, entry in found if entry.is_file(follow_symlinks=False)}


def _state(files: Mapping[str, Any]) -> str:
    """A digest of the names in a folder, and of its pages and manifest."""
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
    """What is known of the builds before. PlatformError for what cannot be read now."""
    path = _path(site, output)
    with contextlib.suppress(OSError, *_NO_NOTE), errors_of_now(path):
        value = json.loads(read_file(path))
        own = {state: _digests(each) for state, each in value["own"].items()}
        files = frozenset((str(uri), str(sha256)) for uri, sha256 in value.get("files", ()))
        return _Note(files, _digests(value["kept"]), own)
    return _Note()


def _digests(value: Mapping[str, str]) -> Digests:
    """Those of a note: whatever else it says, they are of files named by their content."""
    return {uri: str(sha256) for uri, sha256 in value.items() if _BY_CONTENT.fullmatch(uri)}


def _path(site: Site, output: Path) -> Path:
    way = os.path.relpath(os.path.realpath(output), os.path.realpath(site.root))
    return site.cache_dir / "built" / f"{digest_bytes(os.fsencode(way))[:16]}.json"
