"""The store: what was rendered, by the key of the figure, and never trusted unseen.

    objects/ab/<sha256>   the bytes of an encoded file, read-only, named by their content
    records/<key>.json    what a figure's key stands for; written last
    asked/<sha256>.json   what a key is the digest of, so named by it
    weights/<name>.json   the digest of the weights that a model without a pinned one had last
    work/                 temporary folders
    built/<output>.json   what the last builds put into a folder
    .sitegen-store        the marker without which nothing is removed (store_folder.py)

Only `work` and `built` hold times, paths or the order of events, so that the store may be tracked
by git and travel to a machine that renders nothing. The modification time of a record says when a
page last needed it.

A record carries its own key and digest, and every object is read again before it counts: anything
truncated, changed, swapped or missing is a miss and a warning, and the figure is rendered again,
which replaces the damaged file.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from sitegen.builder.store_folder import (
    claim,
    own_files,
    require_no_link,
    require_removable,
    write_own,
    write_rules,
)
from sitegen.core.errors import RefusedError, TargetError
from sitegen.core.files import (
    NotRegularFileError,
    digest,
    digest_bytes,
    flush_folder,
    is_lfs_pointer,
    platform_errors,
    read_file,
    remove_stale_temporaries,
    temporary_file,
    temporary_folder,
)
from sitegen.media.manifest import MediaFile, Record, record_from_json, record_to_json

_DAY = 24 * 3600.0  # seconds
_KEY = re.compile(r"[0-9a-z][0-9a-z_-]{0,127}")


class Store:
    """Records and their files below the folder `root`, which is made when something is kept.

    warn: called with one line for each record or object that was found damaged
    """

    def __init__(self, root: Path, warn: Callable[[str], None] = lambda line: None) -> None:
        self._root = root
        self._warn = warn

    def get(self, key: str) -> Record | None:
        """The record of `key`; None if there is none, or it or one of its objects is damaged.

        Reads every object, and warns of what is damaged. Raises ValueError for a key that is no
        key, PlatformError for what cannot be read now.
        """
        path = self._record_path(key)
        try:
            data = self._read(path)
            if data is None:
                return None
            record = _unseal(data, key)
        except RefusedError as error:
            self._report_damage(path, str(error))
            return None
        whole = [self._is_whole(file) for file in record.files.values()]
        return record if all(whole) else None

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys that start with `prefix`, sorted; their records may still prove damaged."""
        paths = (self._root / "records").glob(f"{prefix}*.json")
        return tuple(sorted(path.stem for path in paths if _KEY.fullmatch(path.stem)))

    def put(self, key: str, record: Record, sources: Mapping[str, Path]) -> None:
        """Keep `record` under `key`, with a copy of the file `sources[name]` for each of its files.

        Raises ValueError if the names differ or `key` is no key, TargetError if a source is not
        what the record says, PlatformError if the disk is full or unwritable. Whatever stops it,
        `get` finds the old record or the new one.
        """
        path = self._record_path(key)
        if set(sources) != set(record.files):
            raise ValueError(f"the record has {sorted(record.files)}, sources {sorted(sources)}")
        claim(self._root)
        for name, file in record.files.items():
            self._keep(file, sources[name])
        value = {**json.loads(record_to_json(record)), "key": key}
        write_own(path, _dump({**value, "sha256": digest_bytes(_dump(value))}))

    def remember(self, request_json: str) -> None:
        """Keep what was asked for, so that a later build can tell what has changed since.

        Comes before the record of it; tells git how to keep the store, too.
        """
        claim(self._root)
        write_rules(self._root)
        data = request_json.encode()
        write_own(self._root / "asked" / f"{digest_bytes(data)}.json", data)

    def remembered(self) -> list[dict[str, Any]]:
        """The objects that were asked for and are still as they were written, in order."""
        found = []
        for path in sorted((self._root / "asked").glob("*.json")):
            with contextlib.suppress(RefusedError, ValueError, RecursionError):
                data = self._read(path) or b""
                found += [json.loads(data)] if digest_bytes(data) == path.stem else []
        return [each for each in found if isinstance(each, dict)]

    def note_weights(self, name: str, note: str) -> None:
        """Keep a note on the weights of a model, in the place of the one before."""
        claim(self._root)
        write_own(self._root / "weights" / f"{name}.json", note.encode())

    def weights_note(self, name: str) -> str | None:
        """The note on the weights of a model; None if there is none that can be read."""
        with contextlib.suppress(RefusedError, UnicodeDecodeError):
            data = self._read(self._root / "weights" / f"{name}.json")
            return None if data is None else data.decode("utf-8")
        return None

    def object(self, file: MediaFile) -> Path:
        """Where the bytes of `file` lie. Read-only: copy it, never link it."""
        return self._object(file.sha256)

    def _object(self, sha256: str) -> Path:
        return self._root / "objects" / sha256[:2] / sha256

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A new folder on the store's disk, gone at the end; what dead processes left goes too."""
        claim(self._root)
        self.remove_stale_temporaries()
        with temporary_folder(self._root / "work") as folder:
            yield folder

    def touch(self, keys: Collection[str], *, always: bool) -> None:
        """Note that records are needed now: in their times, and unless `always` once a day.

        A store that may not be written stays as it is.
        """
        now = time.time()
        for key in keys:
            path = self._record_path(key)
            with contextlib.suppress(OSError):
                if always or abs(now - path.stat().st_mtime) > _DAY:
                    os.utime(path, (now, now), follow_symlinks=False)

    def last_use(self) -> Mapping[str, float]:
        """Return when each record was last needed, in seconds since 1970; at most now."""
        now, times = time.time(), dict[str, float]()
        for key in self.keys(""):
            with contextlib.suppress(OSError):
                path = self._record_path(key)
                times[key] = path.lstat().st_mtime
                if times[key] > now:  # a clock was wrong; from now on its age counts
                    os.utime(path, (now, now), follow_symlinks=False)
                    times[key] = now
        return times

    def digests_of(self, key: str) -> frozenset[str]:
        """The sha256 of the files of a record, whether they are there or not; none if damaged.

        Raises PlatformError for a record that cannot be read now: nothing is known of its files.
        """
        try:
            data = self._read(self._record_path(key))
            files = {} if data is None else _unseal(data, key).files
        except RefusedError:
            return frozenset()
        return frozenset(file.sha256 for file in files.values())

    def files_of(self, key: str) -> Mapping[Path, int]:
        """The files that a record is of, itself and its objects, and how many bytes each has."""
        objects = (self._object(sha256) for sha256 in self.digests_of(key))
        paths = (self._record_path(key), self._root / "asked" / f"{key}.json", *objects)
        return {path: path.lstat().st_size for path in paths if path.is_file()}

    def size(self) -> int:
        """How many bytes the records have, what was asked for, and the objects."""
        folders = [self._root / "records", self._root / "asked"]
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root / "objects") as parts:
            folders += [Path(entry.path) for entry in parts if entry.is_dir()]
        size = 0
        for folder in folders:
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
                size += sum(each.stat(follow_symlinks=False).st_size for each in entries)
        return size

    def drop(self, keys: Collection[str]) -> int:
        """Remove these records and the files that no other record needs; return the bytes removed.

        Raises ConfigError as `require_removable` does, PlatformError before anything is removed if
        a record cannot be read, and for what cannot be removed.
        """
        require_removable(self._root)
        gone = dict[Path, int]()
        for key in keys:
            gone |= self.files_of(key)
        others = {*self.keys("")} - {*keys}
        needed = {self._object(each) for key in others for each in self.digests_of(key)}
        records = {self._record_path(key) for key in keys}
        return self._remove(gone.keys() & {*own_files(self._root).values()} - needed, records)

    def prune(self, keys: Collection[str], models: Collection[str]) -> tuple[int, int]:
        """Remove all but the records of `keys`, what they need, and the notes on `models`.

        keys: of records, and of requests
        Returns the numbers of records and of bytes removed. Raises as `drop` does.
        """
        require_removable(self._root)
        needed = frozenset().union(*map(self.digests_of, keys))
        spared = {"records": keys, "asked": keys, "weights": models, "objects": needed}
        unused = {
            path
            for name, path in own_files(self._root).items()
            if path.stem not in spared.get(name.partition("/")[0], [path.stem])
        }
        records = {path for path in unused if path.parent.name == "records"}
        return len(records), self._remove(unused, records)

    def _remove(self, paths: Collection[Path], records: Collection[Path]) -> int:
        """Remove files, and return their bytes; records go first, so that a kill breaks none."""
        size = 0
        for path in sorted(paths, key=lambda path: (path not in records, path)):
            with platform_errors(path, "remove"):
                size += path.lstat().st_size
                path.unlink()
        return size

    def remove_stale_temporaries(self, *, leaving: bool = False) -> None:
        """Remove what processes that were killed left behind; `leaving`, this one's as well."""
        for name in ("asked", "built", "records", "weights", "work"):
            remove_stale_temporaries(self._root / name, leaving=leaving)

    def _record_path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key: digits, small letters, '-' and '_'")
        return self._root / "records" / f"{key}.json"

    def _read(self, path: Path) -> bytes | None:
        """A file of the store; None where there is none. RefusedError for what is no file."""
        try:
            with errors_of_now(path):
                return read_file(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RefusedError(error.strerror or str(error)) from None

    def _is_whole(self, file: MediaFile) -> bool:
        path = self.object(file)
        try:
            with errors_of_now(path):
                if digest(path) == file.sha256:
                    return True
                pointer = is_lfs_pointer(path)
            if pointer:
                self._warn(f"{path} is a pointer of Git LFS; `git lfs pull` brings its clip")
            else:
                self._report_damage(path, "its content has changed")
        except FileNotFoundError:
            self._warn(f"{path} is missing from the store; its clip is made again")
        except OSError as error:
            self._report_damage(path, error.strerror or str(error))
        return False

    def _report_damage(self, path: Path, why: str) -> None:
        """Warn of a damaged file, which stays until `put` replaces it."""
        self._warn(f"{path} is damaged ({why}); its clip is made again")

    def _keep(self, file: MediaFile, source: Path) -> None:
        target = self.object(file)
        with platform_errors(target):
            if target.is_file() and digest(target) == file.sha256:
                return
            require_no_link(target)
            for folder in (self._root / "work", target.parent):
                folder.mkdir(parents=True, exist_ok=True)
            with temporary_file(self._root / "work") as temporary:
                shutil.copyfile(source, temporary)
                if digest(temporary) != file.sha256:
                    raise TargetError(f"{source} changed while it was stored; build again")
                temporary.chmod(0o444)
                with temporary.open("rb") as copy:
                    os.fsync(copy.fileno())
                temporary.replace(target)
            flush_folder(target.parent)


class ReadOnlyStore(Store):
    """A store that is only looked at: nothing in it is written, moved or removed."""

    def put(self, key: str, record: Record, sources: Mapping[str, Path]) -> None:
        """Keep nothing."""

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A new folder elsewhere, gone at the end."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


@contextlib.contextmanager
def errors_of_now(path: Path) -> Iterator[None]:
    """What could not be read is not damaged: PlatformError, unless no such file is there."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, NotRegularFileError):
        raise
    except OSError as error:
        with platform_errors(path, "read"):
            raise error


def _unseal(data: bytes, key: str) -> Record:
    """Read a record with its key and its digest. RefusedError if anything is not as it was put."""
    try:
        value = json.loads(data)
        seal = value.pop("sha256")
        # The bytes without the seal are what was sealed, unless the file is of another hand.
        line = f'\n  "sha256": "{seal}",'.encode()
        whole = seal == digest_bytes(data.replace(line, b"", 1)) or seal == digest_bytes(
            _dump(value)
        )
        if not whole or value.pop("key") != key:
            raise RefusedError("it is not the record that was written here")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise RefusedError("it is cut short or not a record") from error
    return record_from_json(json.dumps(value))


def _dump(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()
