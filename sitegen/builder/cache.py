"""The store: rendered files by the key of their figure, verified each time they are read.

objects/ab/<sha256>   an encoded file, read-only, named by its content
records/<key>.json    the files and settings of a figure's key; written last
asked/<sha256>.json   the request of a key, named by its digest
weights/<name>.json   the last digest of weights that no card pins, or the last card of a sampler
weights/<name>.<note>.json   an earlier card of a sampler
work/                 temporary folders
built/<output>.json   files that the last builds put into an output folder
.sitegen-store        the marker; nothing is removed without it (store_folder.py)

Only `work` and `built` contain times, paths or the order of events. The rest can be tracked by git
and copied to a machine that renders nothing. The modification time of a record is the time when a
page last needed it.

A record contains its own key and digest, and every object is read again before it is used. A file
that is truncated, changed, swapped or missing counts as a miss: the store warns, the figure is
rendered again, and the damaged file is replaced.
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
    make_folder,
    own_files,
    remove,
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
    is_sealed,
    platform_errors,
    read_file,
    remove_stale_temporaries,
    sealed_text,
    temporary_file,
    temporary_folder,
)
from sitegen.media.manifest import MediaFile, Record, record_from_json, record_to_json

_DAY = 24 * 3600.0  # seconds
_KEY = re.compile(r"[0-9a-z][0-9a-z_-]{0,127}")


class Store:
    """Records and their files in the folder `root`, which is created by the first write.

    warn: called with one line for each damaged record or object
    """

    def __init__(self, root: Path, warn: Callable[[str], None] = lambda line: None) -> None:
        self._root = root
        self._warn = warn

    def get(self, key: str) -> Record | None:
        """Return the record of `key`; None if it is missing, or if it or one of its objects is
        damaged.

        Reads every object, and warns about damage. Raises ValueError for an invalid key,
        PlatformError for a file that cannot be read at present.
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
        """Return the keys that start with `prefix`, sorted; their records may be damaged."""
        paths = (self._root / "records").glob(f"{prefix}*.json")
        return tuple(sorted(path.stem for path in paths if _KEY.fullmatch(path.stem)))

    def put(self, key: str, record: Record, sources: Mapping[str, Path]) -> None:
        """Store `record` under `key`, with a copy of the file `sources[name]` for each of its
        files.

        Raises ValueError if the names differ or `key` is invalid, TargetError if a source does not
        match the record, PlatformError if the disk is full or not writable. If it is interrupted,
        `get` finds the old record or the new one.
        """
        path = self._record_path(key)
        if set(sources) != set(record.files):
            raise ValueError(f"the record has {sorted(record.files)}, sources {sorted(sources)}")
        claim(self._root)
        for name, file in record.files.items():
            self._keep(file, sources[name])
        value = {**json.loads(record_to_json(record)), "key": key}
        write_own(path, sealed_text({**value, "sha256": digest_bytes(sealed_text(value))}))

    def remember(self, request_json: str) -> None:
        """Store a request, so that a later build can report what has changed since.

        Call this before the record is stored. It also writes the store's rules for git.
        """
        claim(self._root)
        write_rules(self._root)
        data = request_json.encode()
        write_own(self._root / "asked" / f"{digest_bytes(data)}.json", data)

    def remembered(self) -> list[dict[str, Any]]:
        """Return the stored requests that are undamaged, in order."""
        found = []
        for path in sorted((self._root / "asked").glob("*.json")):
            with contextlib.suppress(RefusedError, ValueError, RecursionError):
                data = self._read(path) or b""
                found += [json.loads(data)] if digest_bytes(data) == path.stem else []
        return [each for each in found if isinstance(each, dict)]

    def note_weights(self, name: str, note: str) -> None:
        """Store a note on a model's weights, replacing the previous one."""
        claim(self._root)
        write_own(self._root / "weights" / f"{name}.json", note.encode())

    def weights_notes(self, name: str) -> tuple[str, ...]:
        """Return all notes on a model's weights, the newest first."""
        with platform_errors(self._root, "read"):
            others = (self._root / "weights").glob(f"{name}.*.json")
            earlier = [(path.stat().st_mtime, path.stem) for path in others]
        names = [name, *(stem for _, stem in sorted(earlier, reverse=True))]
        notes = map(self.weights_note, names)
        return tuple(note for note in notes if note is not None)

    def weights_note(self, name: str) -> str | None:
        """Return the note on a model's weights; None if there is none or it cannot be read."""
        with contextlib.suppress(RefusedError, UnicodeDecodeError):
            data = self._read(self._root / "weights" / f"{name}.json")
            return None if data is None else data.decode("utf-8")
        return None

    def object(self, file: MediaFile) -> Path:
        """Return the path of `file`. It is read-only: copy it, never link to it."""
        return self._object(file.sha256)

    def _object(self, sha256: str) -> Path:
        return self._root / "objects" / sha256[:2] / sha256

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """Create a temporary folder on the store's disk; also remove those of dead processes."""
        claim(self._root)
        self.remove_stale_temporaries()
        make_folder(self._root / "work")
        with temporary_folder(self._root / "work") as folder:
            yield folder

    def touch(self, keys: Collection[str], *, always: bool) -> None:
        """Set the last use of records to now; unless `always`, at most once a day.

        Does nothing if the store is not writable.
        """
        now = time.time()
        for key in keys:
            path = self._record_path(key)
            with contextlib.suppress(OSError):
                if always or abs(now - path.stat().st_mtime) > _DAY:
                    os.utime(path, (now, now), follow_symlinks=False)

    def last_use(self) -> Mapping[str, float]:
        """Return when each record was last needed, in seconds since 1970.

        A time in the future, of a clock that was wrong, says nothing, and counts as long ago.
        """
        latest, times = time.time() + _DAY, dict[str, float]()
        for key in self.keys(""):
            with contextlib.suppress(OSError):
                used = self._record_path(key).lstat().st_mtime
                times[key] = used if used < latest else 0.0
        return times

    def digests_of(self, key: str) -> frozenset[str]:
        """Return the sha256 of a record's files, missing ones included; none if it is damaged.

        Raises PlatformError if the record cannot be read at present, since its files are then
        unknown.
        """
        try:
            data = self._read(self._record_path(key))
            files = {} if data is None else _unseal(data, key).files
        except RefusedError:
            return frozenset()
        return frozenset(file.sha256 for file in files.values())

    def files_of(self, key: str) -> Mapping[Path, int]:
        """Return the files of a record (itself and its objects), with their sizes in bytes."""
        objects = (self._object(sha256) for sha256 in self.digests_of(key))
        paths = (self._record_path(key), self._root / "asked" / f"{key}.json", *objects)
        return {path: path.lstat().st_size for path in paths if path.is_file()}

    def size(self) -> int:
        """Return the total size of the store's files in bytes."""
        size = 0
        for path in own_files(self._root).values():
            with contextlib.suppress(FileNotFoundError):  # another process has just removed it
                size += path.lstat().st_size
        return size

    def prune(self, keys: Collection[str], models: Collection[str]) -> tuple[int, int]:
        """Remove all records but those of `keys`, all unneeded files, and all notes but those on
        `models`.

        keys: of records, and of requests
        Returns the numbers of records and of bytes removed. Raises ConfigError as
        `require_removable` does, and PlatformError for files that cannot be removed, or, before
        anything is removed, for a record that cannot be read.
        """
        require_removable(self._root)
        if self._root.is_dir():
            claim(self._root)
        needed = frozenset().union(*map(self.digests_of, keys))
        spared = {"records": keys, "asked": keys, "weights": models, "objects": needed}
        unused = [
            path
            for name, path in own_files(self._root).items()
            if path.stem not in spared.get(name.partition("/")[0], [path.stem])
        ]
        records = [path for path in unused if path.parent.name == "records"]
        return len(records), remove(unused)

    def remove_stale_temporaries(self) -> None:
        """Remove temporaries of killed processes."""
        for name in ("asked", "built", "records", "weights", "work"):
            remove_stale_temporaries(self._root / name)

    def _record_path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a key: digits, small letters, '-' and '_'")
        return self._root / "records" / f"{key}.json"

    def _read(self, path: Path) -> bytes | None:
        """Return a file of the store; None if it is missing. Raises RefusedError for a
        non-regular file.
        """
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
            self._warn(f"{path} is missing from the store; its clip is rendered again")
        except OSError as error:
            self._report_damage(path, error.strerror or str(error))
        return False

    def _report_damage(self, path: Path, why: str) -> None:
        """Warn about a damaged file, which stays until `put` replaces it."""
        self._warn(f"{path} is damaged ({why}); its clip is rendered again")

    def _keep(self, file: MediaFile, source: Path) -> None:
        target = self.object(file)
        with platform_errors(target):
            if target.is_file() and digest(target) == file.sha256:
                return
            require_no_link(target)
            for folder in (self._root / "work", target.parent.parent, target.parent):
                make_folder(folder)
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
    """A store that is only read: nothing in it is written, moved or removed."""

    def put(self, key: str, record: Record, sources: Mapping[str, Path]) -> None:
        """Do nothing."""

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """Create a temporary folder outside the store."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


@contextlib.contextmanager
def errors_of_now(path: Path) -> Iterator[None]:
    """Raise PlatformError for read errors other than a missing file, since they prove no damage."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, NotRegularFileError):
        raise
    except OSError as error:
        with platform_errors(path, "read"):
            raise error


def _unseal(data: bytes, key: str) -> Record:
    """Read a record and verify its key and digest. Raises RefusedError if it was changed."""
    try:
        value = json.loads(data)
        if not is_sealed(value) or value["key"] != key:
            raise RefusedError("not the record that was written here")
        del value["sha256"], value["key"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise RefusedError("truncated, or not a record") from error
    return record_from_json(json.dumps(value))
