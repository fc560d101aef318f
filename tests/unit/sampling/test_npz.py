"""Arrays written piece by piece are the arrays that NumPy reads; the file comes whole or not."""

from __future__ import annotations

import errno
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sitegen.core.errors import PlatformError
from sitegen.core.files import host_mark
from sitegen.sampling import npz
from tests.support.builders import temporaries


def test_pieces_in_any_order(tmp_path: Path) -> None:
    """What was filled is there, the rest is 0; scalars and small arrays keep their type."""
    wanted = np.random.default_rng(0).random((3, 5, 2, 4), np.float32)
    path = tmp_path / "new folder" / "x.npz"
    with npz.writing(path) as file:
        file.declare("a", wanted.shape)
        file.keep("seed", np.int64(2**63 - 1))
        file.keep("levels", np.arange(3, -1, -1))
        for row in (2, 0):
            for start, stop in ((3, 5), (0, 3)):
                file.fill("a", (row, start), wanted[row, start:stop])
        assert not path.exists()
    wanted[1] = 0
    with np.load(path, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["a"], wanted)
        assert found["a"].dtype == np.float32
        assert found["seed"] == 2**63 - 1
        assert found["seed"].shape == ()
        assert found["levels"].tolist() == [3, 2, 1, 0]
        assert sorted(found.files) == ["a", "levels", "seed"]
    assert temporaries(tmp_path) == []


def test_same_arrays_same_bytes(tmp_path: Path) -> None:
    """No times and no order of declaration in the file; nothing is compressed."""
    for name, order in (("a", "xy"), ("b", "yx")):
        with npz.writing(tmp_path / f"{name}.npz") as file:
            for array in order:
                file.declare(array, (2,))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert archive.testzip() is None
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def test_memory_does_not_grow_with_the_array(tmp_path: Path) -> None:
    """An array of 64 MB takes no more than a few."""
    piece = np.ones((16, 1024), np.float32)
    tracemalloc.start()
    with npz.writing(tmp_path / "x.npz") as file:
        file.declare("a", (16 * 1024, 1024))
        for start in range(0, 16 * 1024, 16):
            file.fill("a", (start,), piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6
    assert (tmp_path / "x.npz").stat().st_size > 64 * 2**20


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    """The old file stays when the block fails, and no temporary."""
    path = tmp_path / "x.npz"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with npz.writing(path) as file:
            file.declare("a", (2,))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["x.npz"]


def test_full_disk_is_found_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is taken when an array is announced, before anything is computed."""

    def full(handle: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    path = tmp_path / "x.npz"
    with pytest.raises(PlatformError, match=r"x\.npz: No space left"), npz.writing(path) as file:
        file.declare("a", (2,))
    assert list(tmp_path.iterdir()) == []


def test_file_system_that_reserves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the file grows as it is filled."""

    def unable(handle: int, offset: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(os, "posix_fallocate", unable)
    with npz.writing(tmp_path / "x.npz") as file:
        file.declare("a", (2,))
        file.fill("a", (0,), np.ones(1, np.float32))
    with np.load(tmp_path / "x.npz") as found:
        assert found["a"].tolist() == [1.0, 0.0]


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    """A file where the folder should be: the output is named, not the temporary."""
    (tmp_path / "file").touch()
    writing = npz.writing(tmp_path / "file" / "x.npz")
    with pytest.raises(PlatformError, match=r"cannot write .*file/x\.npz"):
        writing.__enter__()


def test_dead_temporaries_go(tmp_path: Path) -> None:
    """What a killed run left beside the output is removed by the next."""
    (tmp_path / f".sitegen-tmp-{host_mark()}-999999999-1-abc").mkdir()
    with npz.writing(tmp_path / "x.npz"):
        pass
    assert temporaries(tmp_path) == []
