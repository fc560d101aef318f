"""The store: whole or a miss. Damage and kills never give a wrong hit or a traceback."""

import errno
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from sitegen.builder.cache import ReadOnlyStore, Store
from sitegen.core.errors import ConfigError, PlatformError, TargetError
from sitegen.core.files import digest_bytes, host_id
from sitegen.media.manifest import MediaFile, ModelRef, Record
from tests.support.builders import traces

KEY = "ab" * 32
CONTENT = {"mp4": b"moving" * 1000, "gif": b"moving too", "poster": b"still"}


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


def test_what_was_put_is_got(filled: Filled, tmp_path: Path) -> None:
    """What was put comes back equal; put again, it changes nothing, and mends what is damaged."""
    assert filled.store.get(KEY) == filled.record
    assert Store(filled.root).get(KEY) == filled.record
    assert filled.store.get("cd" * 32) is None
    assert Store(tmp_path / "other").get(KEY) is None
    assert not (tmp_path / "other").exists()
    for name, file in filled.record.files.items():
        path = filled.store.object(file)
        assert path.read_bytes() == CONTENT[name]
        assert path.stat().st_mode & 0o777 == 0o444
    assert filled.warnings == []
    digests = [file.sha256 for file in filled.record.files.values()]
    expected = {filled.root / "objects" / each[:2] / each for each in digests}
    expected |= {filled.path, filled.root / ".sitegen-store"}
    assert {each for each in filled.root.rglob("*") if each.is_file()} == expected
    before = traces(filled.root)
    filled.store.put(KEY, filled.record, filled.sources)
    assert traces(filled.root) == before
    path = filled.store.object(filled.record.files["gif"])
    path.chmod(0o644)
    path.write_bytes(b"other")
    filled.store.put(KEY, make_record(seed=5), filled.sources)
    assert filled.store.get(KEY) == make_record(seed=5)


def test_damaged_record_is_a_miss(filled: Filled) -> None:
    """Cut anywhere, with a bit turned, under another name, or no record at all: a miss."""
    data = filled.path.read_bytes()
    lengths = (*range(0, len(data) - 9, 7), *range(len(data) - 9, len(data) - 1))
    for count, length in enumerate(lengths, 1):
        filled.path.write_bytes(data[:length])
        assert filled.store.get(KEY) is None, length
        assert len(filled.warnings) == count
    filled.path.write_bytes(data[:-1])
    assert filled.store.get(KEY) == filled.record
    for index in range(0, len(data), 3):
        changed = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
        filled.path.write_bytes(changed)
        assert filled.store.get(KEY) in (None, filled.record), index
    filled.path.write_bytes(data.replace(b'"seed": 0', b'"seed": 7'))
    assert filled.store.get(KEY) is None
    filled.path.with_name("cd.json").write_bytes(data)  # nor does it answer for another figure
    assert filled.store.get("cd") is None
    assert "cd.json" in filled.warnings[-1]
    for data in [b"[]", b"1", b"\xff", b"[" * 99999, b'{"sha256": 1}', b"{}", b"\0"]:
        filled.path.write_bytes(data)
        assert filled.store.get(KEY) is None
        assert filled.path.read_bytes() == data


@pytest.mark.parametrize("damage", ["bit", "cut", "longer", "empty"])
def test_damaged_object_is_a_miss_and_is_mended(filled: Filled, damage: str) -> None:
    """One bit, a missing end, more bytes: a warning that names it, and put replaces it."""
    path, data = filled.store.object(filled.record.files["gif"]), CONTENT["gif"]
    path.unlink()
    turned = data[:-1] + bytes([data[-1] ^ 1])
    path.write_bytes({"bit": turned, "cut": data[:-1], "longer": data + b"x"}.get(damage, b""))
    assert filled.store.get(KEY) is None
    assert len(filled.warnings) == 1
    assert str(path) in filled.warnings[0]
    filled.store.put(KEY, filled.record, filled.sources)
    assert filled.store.get(KEY) == filled.record
    path.unlink()
    assert filled.store.get(KEY) is None
    assert f"{path} is missing" in filled.warnings[1]


@pytest.mark.parametrize("part", ["objects", "records"])
def test_a_link_or_folder_in_the_store_is_not_replaced(
    filled: Filled, tmp_path: Path, part: str
) -> None:
    """A link or folder under the name of an entry is named, and stays with what it leads to."""
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    path = filled.path if part == "records" else filled.store.object(filled.record.files["gif"])
    path.unlink()
    path.symlink_to(mine)
    assert filled.store.get(KEY) is None
    with pytest.raises(PlatformError, match=f"{path.name}: it is a symbolic link"):
        filled.store.put(KEY, filled.record, filled.sources)
    assert (path.is_symlink(), mine.read_text()) == (True, "mine")
    path.unlink()
    (path / "more").mkdir(parents=True)
    assert filled.store.get(KEY) is None
    with pytest.raises(PlatformError, match=path.name):
        filled.store.put(KEY, filled.record, filled.sources)
    assert (path / "more").is_dir()


def test_source_that_is_not_what_the_record_says(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed file is not kept, no other name is a key, and a full disk is told."""
    filled.store.object(filled.record.files["gif"]).unlink()
    filled.sources["gif"].write_bytes(b"changed")
    with pytest.raises(TargetError, match=r"clip\.gif changed"):
        filled.store.put("new", filled.record, filled.sources)
    assert filled.store.get("new") is None
    assert list((filled.root / "work").iterdir()) == []
    with pytest.raises(ValueError, match="sources"):
        filled.store.put(KEY, filled.record, {"mp4": filled.sources["mp4"]})
    for key in ["", "../a", "a/b", "A", ".a", "a" * 129, "a\n"]:
        with pytest.raises(ValueError, match="not a key"):
            filled.store.get(key)
        with pytest.raises(ValueError, match="not a key"):
            filled.store.put(key, filled.record, filled.sources)
    tmp_path = tmp_path / "more"
    tmp_path.mkdir()
    store, paths = Store(tmp_path / "full"), sources(tmp_path)
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patch.setattr(os, "fsync", Mock(side_effect=full))
        with pytest.raises(PlatformError, match="No space left"):
            store.put(KEY, make_record(), paths)
    assert store.get(KEY) is None
    assert list((tmp_path / "full").glob("*")) == []
    (tmp_path / "store").write_bytes(b"")
    store = Store(tmp_path / "store")
    assert store.get(KEY) is None
    with pytest.raises(ConfigError, match="store: is not a folder"):
        store.put(KEY, make_record(), paths)
    with pytest.raises(ConfigError, match="store: is not a folder"), store.workspace():
        pass


def test_workspaces(filled: Filled) -> None:
    """A workspace lies in the store and goes away; a store that only reads changes nothing."""
    left = filled.root / "work" / f".sitegen-tmp-{host_id()}-999999999-1-abc"
    left.mkdir(parents=True)
    with filled.store.workspace() as folder:
        assert filled.root in folder.parents
        assert not left.exists()
        (folder / "a").write_bytes(b"")
    assert not folder.exists()
    store = ReadOnlyStore(filled.root, filled.warnings.append)
    assert store.get(KEY) == filled.store.get(KEY) == filled.record
    filled.path.write_bytes(b"damaged")
    before = traces(filled.root)
    assert store.get(KEY) is None
    assert "is damaged" in filled.warnings[0]
    with store.workspace() as folder:
        assert filled.root not in folder.parents
        store.put("new", filled.record, filled.sources)
    assert not folder.exists()
    assert traces(filled.root) == before
