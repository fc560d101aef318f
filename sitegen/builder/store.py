"""The store of a site: rendered files, and the record of each figure under its key.

objects/<sha256>      a rendered file, named by its content
records/<key>.json    the files and settings of a figure; written last
samplers/<name>.toml  card of an author's sampler, so that its class need not run again
seconds.json          seconds per evaluation of a network in the last build, for --dry-run
work/                 temporary folders
lock                  held by the command that writes here

Objects and records contain neither times nor paths, so git can track them, and a machine without
torch can build pages from them.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sitegen.core.errors import ConfigError, LockedError, PlatformError, RefusedError
from sitegen.core.files import lock, platform_errors, readable_json, temporary_folder
from sitegen.generative.card.card import ModelCard, read_card
from sitegen.media.manifest import MediaFile, Record, record_from_json, record_to_json

Records = dict[str, Record]
"""Records of figures, by key."""

_FOR_GIT = {".gitignore": "/lock\n/seconds.json\n/work/\n", ".gitattributes": "* -text\n"}
"""Rules for authors who track the store with git: results only, byte for byte."""

OWN_NAMES = {*_FOR_GIT, "objects", "records", "samplers", "work", "lock", "seconds.json"}
"""Names of all files and folders that a store has."""


@dataclass(frozen=True)
class Store:
    """Records and their files in the folder `root`, which is created when it is needed.

    warn: called with one line for each damaged record or missing file
    """

    root: Path
    warn: Callable[[str], None] = lambda line: None

    def get(self, key: str) -> Record | None:
        """Return the record of `key`; None if it, or one of its files, is missing or damaged.

        Raises PlatformError for a record that cannot be read.
        """
        path = self.root / "records" / f"{key}.json"
        if not path.is_file():
            return None
        try:
            with platform_errors(path, "read"):
                record = record_from_json(path.read_text("utf-8", "replace"))
        except RefusedError as error:
            self.warn(f"{path}: {error}; its figure is rendered again")
            return None
        for file in record.files.values():
            stored = self.object(file)
            # A copy that ended early has another size. The content is verified when it is copied.
            if not stored.is_file() or stored.stat().st_size != file.bytes:
                self.warn(f"{stored}: missing, or of another size; its figure is rendered again")
                return None
        return record

    def sampler_card(self, name: str) -> ModelCard | None:
        """Return the card of an author's sampler at its last rendering, or None."""
        with contextlib.suppress(ConfigError, RefusedError):
            return read_card(self.root / "samplers" / f"{name}.toml")
        return None

    def put_sampler_card(self, name: str, card: ModelCard) -> None:
        """Store the card of an author's sampler. Raises PlatformError."""
        if card != self.sampler_card(name):
            with platform_errors(self.root / "samplers"):
                (self.root / "samplers").mkdir(parents=True, exist_ok=True)
            self.write(f"samplers/{name}.toml", card.to_toml())

    def find(self, keys: Iterable[str]) -> Records:
        """Return the stored records of some keys; the others are not there, or damaged."""
        records = {key: self.get(key) for key in dict.fromkeys(keys)}
        return {key: record for key, record in records.items() if record is not None}

    def all_records(self) -> Iterator[Record]:
        """Yield every undamaged record."""
        for path in (self.root / "records").glob("*.json"):
            if record := self.get(path.stem):
                yield record

    def put(self, key: str, record: Record, folder: Path) -> None:
        """Store `record` under `key`, and move its files from `folder`, a workspace.

        Raises PlatformError if the disk is full or not writable. After an interruption `get` finds
        the old record or the new one.
        """
        for name in ("objects", "records"):
            with platform_errors(self.root / name):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        for file in record.files.values():
            with platform_errors(self.object(file)):
                (folder / file.path).replace(self.object(file))
        for name, rules in _FOR_GIT.items():
            if not (self.root / name).exists():
                self.write(name, rules)
        self.write(f"records/{key}.json", record_to_json(record))

    def write(self, name: str, text: str) -> None:
        """Replace a text file of the store, as a whole. Raises PlatformError."""
        with self.workspace() as folder, platform_errors(self.root / name):
            (folder / "file").write_text(text, "utf-8")
            (folder / "file").replace(self.root / name)

    def seconds(self) -> dict[str, float]:
        """Return the measured seconds per evaluation of a network; empty if there are none."""
        with contextlib.suppress(OSError, ValueError):
            seconds = json.loads((self.root / "seconds.json").read_bytes())
            return {str(work): float(duration) for work, duration in seconds.items()}
        return {}

    def put_seconds(self, seconds: Mapping[str, float]) -> None:
        """Add measurements; a disk that refuses them only costs the next estimate."""
        with contextlib.suppress(PlatformError):
            self.write("seconds.json", readable_json(self.seconds() | dict(seconds)))

    def object(self, file: MediaFile) -> Path:
        """Return the path of a stored file. Copy it; never change it."""
        return self.root / "objects" / file.sha256

    def workspace(self) -> contextlib.AbstractContextManager[Path]:
        """Create a temporary folder on the store's disk for the block."""
        return temporary_folder(self.root / "work")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the site for the block; remove workspaces of killed builds and threads.

        Raises LockedError if another process holds it.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock(self.root / "lock"))
            except LockedError as error:
                raise LockedError(f"{self.root.parent}: {error}") from None
            # Only the holder of the lock has workspaces: those at the start were left by a kill,
            # those at the end by a thread that was interrupted.
            work = self.root / "work"
            shutil.rmtree(work, ignore_errors=True)
            stack.callback(shutil.rmtree, work, ignore_errors=True)
            yield

    def prune(self, keys: Collection[str]) -> tuple[int, int]:
        """Remove all records but those of `keys`, and the files that no record names any more.

        Requires the lock. Returns the numbers of records and of bytes removed. Raises PlatformError
        for a record that cannot be read or a file that cannot be removed.
        """
        records = (self.get(key) for key in keys)
        needed = {file.sha256 for record in records if record for file in record.files.values()}
        unused = [path for path in self._files("records") if path.stem not in keys]
        count = len(unused)
        unused += [path for path in self._files("objects") if path.name not in needed]
        size = 0
        for path in unused:  # records first: after a kill, no record lacks its files
            with platform_errors(path, "remove"):
                size += path.stat().st_size
                path.unlink()
        return count, size

    def _files(self, folder: str) -> list[Path]:
        return sorted(path for path in (self.root / folder).glob("*") if path.is_file())
