"""Installation of the built site.

Files that sitegen did not write, or that were edited by hand, are copied out of the folder before
it is replaced. A note in the store identifies the files of earlier builds by name and content.
"""

import contextlib
import json
import os
import re
import shutil
from itertools import count
from pathlib import Path
from types import MappingProxyType

from sitegen.builder.cache import errors_of_now
from sitegen.builder.output import CopiedFile, Tree, is_current, put_tree, require_present
from sitegen.builder.store_folder import write_own
from sitegen.config.schema import Site
from sitegen.core.files import below, digest, digest_bytes, flush_tree, platform_errors, read_file
from sitegen.core.source import shown

_BY_CONTENT = re.compile(r"([a-z0-9-]+/)?(assets|media)/[\w-]+-[0-9a-f]{8}(\.\w+|/[\w-]+\.\w+)")
"""Files that are named by their content, or are in a folder that is."""

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
            _write(files, output, site)
        return False
    _write(before | files, output, site)  # either folder is known after a kill
    require_present(site)
    put_tree(tree, output)
    _write(files, output, site)
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
    return frozenset((uri, _digest(tree[uri])) for uri in tree)


def _digest(content: bytes | CopiedFile) -> str:
    return content.file.sha256 if isinstance(content, CopiedFile) else digest_bytes(content)


def _write(files: Files, output: Path, site: Site) -> None:
    """Write the note, unless the store is read-only. Raises PlatformError."""
    if os.access(site.cache_dir, os.W_OK) or not site.cache_dir.exists():
        value = {"files": sorted(files), "kept": {}, "own": {}}  # older versions read all three
        write_own(_note(site, output), f"{json.dumps(value)}\n".encode())


def _note(site: Site, output: Path) -> Path:
    way = os.path.relpath(os.path.realpath(output), os.path.realpath(site.root))
    return site.cache_dir / "built" / f"{digest_bytes(os.fsencode(way))[:16]}.json"


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
        known = built(site, output) | _files(tree)
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
    with platform_errors(parent):
        parent.mkdir(exist_ok=True)
        for number in count(1):
            with contextlib.suppress(FileExistsError):
                (parent / str(number)).mkdir()
                return parent / str(number)
    raise AssertionError
