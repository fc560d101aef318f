"""The reader of idx files: plain and gzipped alike, and one clear line for anything else."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.mnist import as_floats, read_dataset, read_idx


def test_gzipped_files_are_the_same_data(data_folder: Path, tmp_path: Path) -> None:
    """A folder of .gz files has the arrays and the digest of the plain ones."""
    for path in data_folder.iterdir():
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    plain, zipped = read_dataset(data_folder), read_dataset(tmp_path)
    assert plain.digest == zipped.digest
    assert np.array_equal(plain.test_images, zipped.test_images)
    assert plain.train_images.shape == (600, 28, 28)
    assert plain.classes == 4


def test_digest_tells_data_apart(data_folder: Path, tmp_path: Path) -> None:
    """One changed pixel changes the digest, so a cached classifier is not used for other data."""
    shutil.copytree(data_folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "train-images-idx3-ubyte"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert read_dataset(tmp_path).digest != read_dataset(data_folder).digest


def test_missing_file_is_named(tmp_path: Path) -> None:
    """An empty folder: the message names a file and how to get it."""
    with pytest.raises(SystemExit, match=r"train-images-idx3-ubyte.*make data"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "holds 199 values where its header says 200"),
        (lambda data: b"PNG" + data[3:], "not an idx file"),
        (lambda _: b"", "not an idx file"),
    ],
    ids=["cut", "other format", "empty"],
)
def test_damaged_file_is_refused(data_folder: Path, tmp_path: Path, change, message) -> None:  # type: ignore[no-untyped-def]
    """A cut, foreign or empty file is refused by name."""
    path = tmp_path / "labels"
    path.write_bytes(change((data_folder / "t10k-labels-idx1-ubyte").read_bytes()))
    with pytest.raises(SystemExit, match=message):
        read_idx(path)


def test_floats_are_in_the_unit_range() -> None:
    """0 is 0 and 255 is 1."""
    assert as_floats(np.array([0, 255], np.uint8)).tolist() == [0.0, 1.0]
