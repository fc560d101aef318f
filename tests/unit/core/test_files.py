"""Files: digests, canonical JSON, and writers that leave the old content or the new."""

import errno
import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from sitegen.core import files
from sitegen.core.errors import PlatformError


def names(folder: Path) -> set[str]:
    """Return the names in a folder."""
    return {path.name for path in folder.iterdir()}


def test_what_a_file_is(tmp_path: Path) -> None:
    """Digests, and canonical JSON, which has no space and no odd numbers."""
    data = bytes(3_000_001)
    (tmp_path / "a").write_bytes(data)
    assert files.digest(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    assert files.digest_bytes(data) == hashlib.sha256(data).hexdigest()
    assert files.canonical_json({"b": [1, 0.5], "a": "é"}) == '{"a":"\\u00e9","b":[1,0.5]}'
    for number in ("nan", "inf", "-inf"):
        with pytest.raises(ValueError, match="JSON"):
            files.canonical_json([float(number)])
    with pytest.raises(TypeError):
        files.canonical_json({"a": object()})


def test_write_atomic(tmp_path: Path) -> None:
    """A file has the usual permissions, a link stays, and an impossible path is reported."""
    path, plain, link = tmp_path / "new" / "a", tmp_path / "plain", tmp_path / "link"
    files.write_atomic(path, b"one")
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode
    link.symlink_to("new/a")
    files.write_atomic(link, b"two")
    assert (link.is_symlink(), path.read_bytes(), names(path.parent)) == (True, b"two", {"a"})
    for name in ("plain/inside", "new", "x" * 300):
        with pytest.raises(PlatformError, match="cannot write"):
            files.write_atomic(tmp_path / name, b"new")


def test_require_writable(tmp_path: Path) -> None:
    """It makes the folder, leaves nothing in it, and names what the caller wants to write."""
    files.require_writable(tmp_path / "folder")
    assert names(tmp_path / "folder") == set()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PlatformError, match="cannot write output"):
        files.require_writable(tmp_path / "file", Path("output"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The error names the file and its cause; the old content stays, and no temporary does."""
    path = tmp_path / "a"
    files.write_atomic(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(PlatformError, match=f"{path}: {os.strerror(code)}"):
        files.write_atomic(path, b"new")
    assert (path.read_bytes(), names(tmp_path)) == (b"old", {"a"})


def test_require_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is named with its folder, and one with space is not."""
    files.require_space(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=9))
    with pytest.raises(PlatformError, match=f"{tmp_path}: No space left on device; free some"):
        files.require_space(tmp_path)
