"""The store: whole or a miss. Damage and kills never give a wrong hit or a traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sitegen.build.cache import Store
from sitegen.core.errors import PlatformError, TargetError
from sitegen.core.files import digest_bytes, host_mark
from sitegen.media.manifest import MediaFile, ModelRef, Record
from tests.support.paths import TESTS

KEY = "ab" * 32
CONTENT = {"mp4": b"moving" * 1000, "gif": b"moving too", "poster": b"still"}
PUT = """
import os, pathlib, signal, sys
calls = 0
def deadly(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call
os.fsync = deadly(os.fsync)
pathlib.Path.replace = deadly(pathlib.Path.replace)
sys.path.insert(0, sys.argv[3])
import test_store as t
folder = pathlib.Path(sys.argv[1])
t.Store(folder / "store").put(t.KEY, t.make_record(), t.sources(folder))
"""


def make_record(seed: int = 0) -> Record:
    """A record of three files."""
    files = {
        name: MediaFile(f"clip.{name}", len(data), digest_bytes(data), 8, 8)
        for name, data in CONTENT.items()
    }
    return Record("trajectories", (ModelRef("mnist", "0" * 64),), seed, {"a": 0.1}, (1, 0), files)


def sources(folder: Path) -> dict[str, Path]:
    """The files of the record, freshly encoded as it were."""
    paths = {name: folder / f"clip.{name}" for name in CONTENT}
    for name, path in paths.items():
        path.write_bytes(CONTENT[name])
    return paths


class Filled:
    """A store with one record in it, and what it warned of."""

    def __init__(self, folder: Path) -> None:
        self.warnings: list[str] = []
        self.root = folder / "store"
        self.store = Store(self.root, self.warnings.append)
        self.sources = sources(folder)
        self.record = make_record()
        self.store.put(KEY, self.record, self.sources)
        self.path = self.root / "records" / f"{KEY}.json"


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    """A store with one record in it."""
    return Filled(tmp_path)


def test_what_was_put_is_got(filled: Filled) -> None:
    """The record comes back equal, also in a new store on the same folder, with no warning."""
    assert filled.store.get(KEY) == filled.record
    assert Store(filled.root).get(KEY) == filled.record
    for name, file in filled.record.files.items():
        path = filled.store.object(file)
        assert path.read_bytes() == CONTENT[name]
        assert path.stat().st_mode & 0o777 == 0o444
    assert filled.warnings == []


def test_layout_is_the_contracted_one(filled: Filled) -> None:
    """Objects by digest, records by key, and no temporary left."""
    digests = [file.sha256 for file in filled.record.files.values()]
    expected = {filled.root / "objects" / each[:2] / each for each in digests} | {filled.path}
    assert {each for each in filled.root.rglob("*") if each.is_file()} == expected


def test_unknown_key_is_a_quiet_miss(filled: Filled, tmp_path: Path) -> None:
    """A key that was never put is no damage, and asking makes no folder."""
    assert filled.store.get("cd" * 32) is None
    assert Store(tmp_path / "other").get(KEY) is None
    assert not (tmp_path / "other").exists()
    assert filled.warnings == []


@pytest.mark.parametrize("key", ["", "../a", "a/b", "A", ".a", "a" * 129, "a\n"])
def test_key_must_be_a_key(filled: Filled, key: str) -> None:
    """Nothing that could name another file is taken for a key."""
    with pytest.raises(ValueError, match="no key"):
        filled.store.get(key)
    with pytest.raises(ValueError, match="no key"):
        filled.store.put(key, filled.record, filled.sources)


def test_every_prefix_of_a_record_is_a_miss(filled: Filled) -> None:
    """A record cut anywhere is a miss and a warning; without its last line break it is whole."""
    data = filled.path.read_bytes()
    for length in range(len(data) - 1):
        filled.path.write_bytes(data[:length])
        assert filled.store.get(KEY) is None, length
        assert len(filled.warnings) == length + 1
    filled.path.write_bytes(data[:-1])
    assert filled.store.get(KEY) == filled.record


def test_every_changed_byte_of_a_record_is_noticed(filled: Filled) -> None:
    """One bit turned anywhere: a miss, or (in white space) the very same record."""
    data = filled.path.read_bytes()
    for index in range(len(data)):
        changed = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
        filled.path.write_bytes(changed)
        assert filled.store.get(KEY) in (None, filled.record), index
    filled.path.write_bytes(data.replace(b'"seed": 0', b'"seed": 7'))
    assert filled.store.get(KEY) is None


def test_record_under_another_key_is_a_miss(filled: Filled) -> None:
    """A record that was renamed does not answer for a figure it is not of."""
    other = filled.path.with_name("cd.json")
    other.write_bytes(filled.path.read_bytes())
    assert filled.store.get("cd") is None
    assert "cd.json" in filled.warnings[0]


@pytest.mark.parametrize(
    "data", [b"[]", b"1", b"\xff", b"[" * 99999, b'{"sha256": 1}', b"{}", b"\0"]
)
def test_no_record_at_all_is_a_miss(filled: Filled, data: bytes) -> None:
    """Whatever stands in the file, it is a miss; it goes to quarantine."""
    filled.path.write_bytes(data)
    assert filled.store.get(KEY) is None
    assert (filled.root / "quarantine" / filled.path.name).read_bytes() == data
    assert not filled.path.exists()


def test_folder_in_place_of_a_record(filled: Filled) -> None:
    """Even a folder under the record's name is moved away."""
    filled.path.unlink()
    filled.path.mkdir()
    assert filled.store.get(KEY) is None
    filled.store.put(KEY, filled.record, filled.sources)
    assert filled.store.get(KEY) == filled.record


@pytest.mark.parametrize("name", list(CONTENT))
@pytest.mark.parametrize("damage", ["bit", "cut", "longer", "empty", "folder"])
def test_damaged_object_is_a_miss_and_is_mended(filled: Filled, name: str, damage: str) -> None:
    """One bit, a missing end, more bytes: quarantine, a warning that names it, and put mends it."""
    path = filled.store.object(filled.record.files[name])
    data = CONTENT[name]
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        turned = data[:-1] + bytes([data[-1] ^ 1])
        path.write_bytes({"bit": turned, "cut": data[:-1], "longer": data + b"x"}.get(damage, b""))
    assert filled.store.get(KEY) is None
    assert not path.exists()
    assert (filled.root / "quarantine" / path.name).exists()
    assert len(filled.warnings) == 1
    assert str(path) in filled.warnings[0]
    filled.store.put(KEY, filled.record, filled.sources)
    assert filled.store.get(KEY) == filled.record


def test_missing_object_is_a_miss(filled: Filled) -> None:
    """An object that was deleted is told and made again."""
    path = filled.store.object(filled.record.files["gif"])
    path.unlink()
    assert filled.store.get(KEY) is None
    assert f"{path} is missing" in filled.warnings[0]


def test_put_replaces_a_damaged_object(filled: Filled) -> None:
    """Put trusts an object that is there no more than get does."""
    path = filled.store.object(filled.record.files["gif"])
    path.chmod(0o644)
    path.write_bytes(b"other")
    filled.store.put(KEY, filled.record, filled.sources)
    assert filled.store.get(KEY) == filled.record


def test_put_again_touches_nothing(filled: Filled) -> None:
    """The same record again leaves every file as it is."""
    before = {each: each.stat().st_mtime_ns for each in filled.root.rglob("*")}
    filled.store.put(KEY, filled.record, filled.sources)
    assert {each: each.stat().st_mtime_ns for each in filled.root.rglob("*")} == before


def test_put_replaces_a_record(filled: Filled) -> None:
    """A key can be put anew."""
    filled.store.put(KEY, make_record(seed=5), filled.sources)
    assert filled.store.get(KEY) == make_record(seed=5)


def test_source_that_is_not_what_the_record_says(filled: Filled) -> None:
    """A file that changed after it was encoded is not kept, nor is its record."""
    filled.store.object(filled.record.files["gif"]).unlink()
    filled.sources["gif"].write_bytes(b"changed")
    with pytest.raises(TargetError, match=r"clip\.gif changed"):
        filled.store.put("new", filled.record, filled.sources)
    assert filled.store.get("new") is None
    assert list((filled.root / "work").iterdir()) == []


def test_sources_must_be_the_record_s(filled: Filled) -> None:
    """A file too few is a mistake of ours."""
    with pytest.raises(ValueError, match="sources"):
        filled.store.put(KEY, filled.record, {"mp4": filled.sources["mp4"]})


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room: a PlatformError, no record, no temporary."""

    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store, paths = Store(tmp_path / "store"), sources(tmp_path)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PlatformError, match="No space left"):
        store.put(KEY, make_record(), paths)
    assert store.get(KEY) is None
    assert list((tmp_path / "store" / "work").iterdir()) == []


def test_unwritable_store(tmp_path: Path) -> None:
    """A file where the store should be: a PlatformError from put and workspace, a miss from get."""
    (tmp_path / "store").write_bytes(b"")
    store = Store(tmp_path / "store")
    assert store.get(KEY) is None
    with pytest.raises(PlatformError, match="store"):
        store.put(KEY, make_record(), sources(tmp_path))
    with pytest.raises(PlatformError, match="store"), store.workspace():
        pass


@pytest.mark.parametrize("call", range(1, 13))
def test_kill_during_put(tmp_path: Path, call: int) -> None:
    """Killed at any flush or rename: a miss or the whole record, no warning; then put works."""
    sources(tmp_path)
    command = [sys.executable, "-c", PUT, str(tmp_path), str(call), str(TESTS)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    warnings: list[str] = []
    store = Store(tmp_path / "store", warnings.append)
    assert store.get(KEY) == (make_record() if call == 12 else None)
    assert warnings == []
    store.put(KEY, make_record(), sources(tmp_path))
    assert store.get(KEY) == make_record()
    store.sweep()
    assert not list((tmp_path / "store").rglob(".sitegen-tmp-*"))


def test_workspace_is_inside_and_goes_away(filled: Filled) -> None:
    """The folder lies on the store's disk; its end and the next start clear everything."""
    left = filled.root / "work" / f".sitegen-tmp-{host_mark()}-999999999-1-abc"
    left.mkdir(parents=True)
    with filled.store.workspace() as folder:
        assert filled.root in folder.parents
        assert not left.exists()
        (folder / "a").write_bytes(b"")
    assert not folder.exists()
    assert filled.store.get(KEY) == filled.record
