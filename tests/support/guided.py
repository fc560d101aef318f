"""Input that atheris makes: it watches which lines of ours are reached, and goes on from there.

    python -m tests.support.guided TARGET FOLDER OPTIONS-OF-LIBFUZZER

An exception that is none of ours ends the process with another code than 0, as do a hang and much
memory. FOLDER, which is empty, gets the good input to begin with, and what was found.
"""

import json
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sitegen"]):
    import sitegen.generative.untrusted.arrays  # noqa: F401  # which tests.support imports, too
    from sitegen.config.loader import load_site
    from sitegen.content.pages import read_pages
    from sitegen.core.errors import SitegenError
    from sitegen.generative.card.card import read_card
    from sitegen.generative.checkpoints.inspection import inspect_checkpoint
    from sitegen.generative.data.images import read_images
    from sitegen.media.manifest import Manifest, record_from_json
    from sitegen.media.mp4 import clip_faults, mp4_size

from tests.support.builders import CARD, SITE, box, fake_mp4, write_site
from tests.support.datafiles import (
    array_file,
    batches,
    mnist_file,
    read_all_arrays,
    require_images,
)
from tests.support.fabricated import ENTRY, FULL, PAGE
from tests.support.making import published, save, small_card
from tests.support.tinymodel import write_model

Target = tuple[bytes, Callable[[bytes], object]]


def _file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    return lambda data: (path.write_bytes(data), read(path))


def _config(folder: Path) -> Target:
    return FULL.replace("mnist", "tiny").encode(), _file(folder / "site.toml", load_site)


def _page(folder: Path) -> Target:
    (folder / "site.toml").write_text(SITE)
    site = load_site(folder / "site.toml")
    return PAGE.encode(), _file(folder / "pages/index.md", lambda _: read_pages(site))


def _card(folder: Path) -> Target:
    return CARD.encode(), _file(folder / "model.toml", read_card)


def _manifest(_folder: Path) -> Target:
    good = json.dumps({"version": 1, "figures": [ENTRY]}).encode()
    return good, lambda data: Manifest.from_json(data.decode(errors="replace"))


def _record(_folder: Path) -> Target:
    kept = ("kind", "models", "seed", "parameters", "levels", "files")
    good = json.dumps({"version": 1, **{name: ENTRY[name] for name in kept}}).encode()
    return good, lambda data: record_from_json(data.decode(errors="replace"))


def _pickle(folder: Path) -> Target:
    with zipfile.ZipFile(save(published(small_card()), folder / "good.pth")) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    name = next(name for name in entries if name.endswith("data.pkl"))

    def read(data: bytes) -> None:
        with zipfile.ZipFile(folder / "a.pth", "w") as file:
            for each, content in {**entries, name: data}.items():
                file.writestr(each, content)
        inspect_checkpoint(folder / "a.pth")

    return entries[name], read


def _safetensors(folder: Path) -> Target:
    weights = (write_model(folder / "tiny") / "weights.safetensors").read_bytes()
    size = struct.unpack("<Q", weights[:8])[0]
    rest, path = weights[8 + size :], folder / "a.safetensors"

    def read(header: bytes) -> None:
        path.write_bytes(struct.pack("<Q", len(header)) + header + rest)
        inspect_checkpoint(path)

    return weights[8 : 8 + size], read


def _batch(folder: Path) -> Target:
    path = folder / "cifar-100-python/train"
    path.parent.mkdir()
    return batches()[0], _file(path, lambda _: require_images(read_images(folder)))


def _idx(folder: Path) -> Target:
    path = folder / "train-images-idx3-ubyte"
    return mnist_file(), _file(path, lambda _: require_images(read_images(path)))


def _array(folder: Path) -> Target:
    return array_file(), _file(folder / "a.npy", read_all_arrays)


def _clip(folder: Path) -> Target:
    read = _file(folder / "a.mp4", clip_faults)
    good = fake_mp4(64, 48, bytes(16)) + box(b"free", bytes(8))
    return good, lambda data: (read(data), mp4_size(data))


TARGETS: dict[str, Callable[[Path], Target]] = {
    "config": _config,
    "page": _page,
    "card": _card,
    "manifest": _manifest,
    "record": _record,
    "pickle": _pickle,
    "safetensors": _safetensors,
    "batch": _batch,
    "idx": _idx,
    "array": _array,
    "clip": _clip,
}


def main(name: str, folder: Path, *options: str) -> None:
    """Try inputs of a target until libFuzzer's options say that it is enough."""
    write_site(folder / "site", site=SITE)
    good, read = TARGETS[name](folder / "site")
    (folder / "good").mkdir()
    (folder / "good" / "0").write_bytes(good)

    def once(data: bytes) -> None:
        try:
            read(data)
        except SitegenError as error:
            if not str(error).strip() or error.exit_code not in range(1, 7):
                raise RuntimeError("an error without words or code") from error

    found = f"-artifact_prefix={folder}/found-"
    atheris.Setup([sys.argv[0], str(folder / "good"), found, *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
