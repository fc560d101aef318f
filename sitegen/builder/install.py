"""The built folder: compared with its intended content, and replaced as a whole.

A new folder is written next to it, and two renames exchange the two. A build that fails or is
killed therefore leaves the old site, or none if it was killed between the two, and the next build
finds nothing half written.
"""

import contextlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sitegen.core.errors import ConfigError, TargetError
from sitegen.core.files import below, digest, digest_bytes, platform_errors
from sitegen.core.site_files import OwnFile
from sitegen.core.urls import MANIFEST
from sitegen.media.manifest import MediaFile


@dataclass(frozen=True)
class CopiedFile:
    """A file to copy from the store or the author's folder, with its expected digest."""

    source: Path
    file: MediaFile | OwnFile

    def __len__(self) -> int:
        """Return its size in bytes."""
        return self.file.bytes

    def read(self) -> bytes:
        """Return the content. Raises TargetError if its digest is not the expected one."""
        with platform_errors(self.source, "read"):
            data = self.source.read_bytes()
        if digest_bytes(data) != self.file.sha256:
            raise TargetError(
                f"{self.source}: damaged, or changed during the build; build again, and remove "
                "the file first if sitegen rendered it"
            )
        return data


Tree = Mapping[str, bytes | CopiedFile]
"""Content of a built folder, by relative URI."""


def is_current(output: Path, tree: Tree) -> bool:
    """Return whether `output` has exactly the files of `tree`, and no leftovers of a killed build.

    Reads only. Clips are compared by name and size: their names have part of their digest, and
    hashing them took a tenth of the time of an up-to-date build. Raises PlatformError if something
    in it cannot be read.
    """
    if any(_beside(output, word).exists() for word in ("new", "old")):
        return False
    return output.is_dir() and differences(output, tree, quick=True) == ((), ())


def differences(
    output: Path, tree: Tree, *, quick: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the URIs that are missing or different in `output`, and those that `tree` lacks.

    quick: compare clips by name and size alone
    Reads only. Raises PlatformError if something in it cannot be read.
    """
    with platform_errors(output, "read"):
        changed = []
        for uri, content in sorted(tree.items()):
            path = output / uri
            is_same = path.is_file() and not path.is_symlink()
            is_same = is_same and path.stat().st_size == len(content)
            if isinstance(content, bytes):
                is_same = is_same and path.read_bytes() == content
            elif not (quick and isinstance(content.file, MediaFile)):
                is_same = is_same and digest(path) == content.file.sha256
            if not is_same:
                changed.append(uri)
        entries = below(output) if output.is_dir() else ()
        names = sorted(name for name, entry in entries if not entry.is_dir(follow_symlinks=False))
        return tuple(changed), tuple(name for name in names if name not in tree)


def install(tree: Tree, output: Path) -> bool:
    """Replace `output` by `tree`; return False if it has these files already, by `is_current`.

    Requires the lock. Raises ConfigError for a folder that sitegen did not build, PlatformError and
    TargetError with the old folder still in place.
    """
    require_ours(output)
    new, old = _beside(output, "new"), _beside(output, "old")
    for leftover in (new, old):  # a build may be killed after the renames, too
        shutil.rmtree(leftover, ignore_errors=True)
    if is_current(output, tree):
        return False
    with platform_errors(output):
        try:
            for folder in sorted({parent for uri in tree for parent in PurePosixPath(uri).parents}):
                (new / folder).mkdir(parents=True, exist_ok=True)
            # Copies, not hard links: an edit in the built folder would change a link's object in
            # the store.
            for uri, content in tree.items():
                (new / uri).write_bytes(content if isinstance(content, bytes) else content.read())
            # Two renames: exchanging two folders in one step needs renameat2, which only Linux has.
            if output.exists():
                output.rename(old)
            new.rename(output)
        finally:
            if old.exists() and not output.exists():  # a signal, too, may arrive between renames
                old.rename(output)
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    return True


def remove_folder(folder: Path) -> bool:
    """Remove a folder, and leftovers of a killed build; return False if there is no such folder.

    It is renamed first, so that an interruption leaves no part of it under its name. Raises
    PlatformError.
    """
    exists = folder.is_dir()
    with platform_errors(folder, "remove"):
        for word in ("new", "old"):
            if _beside(folder, word).is_dir():
                shutil.rmtree(_beside(folder, word))
        if exists:
            shutil.rmtree(folder.rename(_beside(folder, "old")))
    return exists


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f".sitegen-{word}-{folder.name}")


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
    if names and not is_built(output):
        fault = f"holds files, and no {MANIFEST} of sitegen"
        if ".git" in names:
            fault = "holds a git repository"
        raise ConfigError(
            f"{output}: {fault}; a build replaces the whole folder, so choose an empty or new one"
        )


def is_built(output: Path) -> bool:
    """Return whether `output` is a folder that sitegen built, without a git repository."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        manifest = json.loads((output / MANIFEST).read_bytes())
        is_manifest = isinstance(manifest, dict) and {"version", "figures"} <= manifest.keys()
        return is_manifest and not (output / ".git").exists()
    return False
