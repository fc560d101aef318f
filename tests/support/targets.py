"""What fuzzing reads: for each kind of input something good to begin with, and a reader of it."""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sitegen.generative.card.card import read_card
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.data.arrays import open_arrays
from sitegen.generative.data.images import read_images
from sitegen.media.manifest import record_from_json
from tests.support.builders import CARD
from tests.support.fabricated import ENTRY
from tests.support.making import entries_of, idx, npy_bytes, published, save, small_card, zipped
from tests.support.tinymodel import write_model

Target = tuple[bytes, Callable[[bytes], object]]


def _require_images(images: NDArray[np.uint8]) -> None:
    """Raise AssertionError unless these are images (N, C, H, W) of bytes."""
    assert images.dtype == np.uint8
    assert images.ndim == 4
    assert images.shape[2] == images.shape[3]


def _read_all_arrays(path: Path) -> None:
    """Read all of an `.npz` or `.npy`."""
    with open_arrays(path, 1 << 22) as file:
        for name, info in file.arrays.items():
            whole = file.read(name)
            assert whole.shape == info.shape
        for name in file.others:
            file.member(name)


def _file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return lambda data: (path.write_bytes(data), read(path))


def _card(folder: Path) -> Target:
    more = "[training]\nsteps = 3\n[quality]\nfid = 1.5\n"
    return (CARD + more).encode(), _file(folder / "model.toml", read_card)


def _record(_folder: Path) -> Target:
    kept = ("kind", "models", "seed", "parameters", "levels", "files")
    good = json.dumps({"version": 1, **{name: ENTRY[name] for name in kept}}).encode()
    return good, lambda data: record_from_json(data.decode(errors="replace"))


def _pickle(folder: Path) -> Target:
    entries = entries_of(save(published(small_card()), folder / "good.pth"))
    name, path = next(name for name in entries if name.endswith("data.pkl")), folder / "a.pth"
    read = _file(path, inspect_checkpoint)  # its sums are right
    return entries[name], lambda data: read(zipped(path, {**entries, name: data}).read_bytes())


def _archive(folder: Path) -> Target:
    entries = entries_of(save(published(small_card()), folder / "good.pth"))
    small = [(name, content) for name, content in entries.items() if len(content) < 3000][:6]
    good = zipped(folder / "b.pth", dict(small)).read_bytes()
    return good, _file(folder / "b.pth", inspect_checkpoint)


def _safetensors(folder: Path) -> Target:
    weights = (write_model(folder / "fuzzed") / "weights.safetensors").read_bytes()
    size = struct.unpack("<Q", weights[:8])[0]
    rest, read = weights[8 + size :], _file(folder / "a.safetensors", inspect_checkpoint)
    return weights[8 : 8 + size], lambda head: read(struct.pack("<Q", len(head)) + head + rest)


def _weights(folder: Path) -> Target:
    good = (write_model(folder / "fuzzed") / "weights.safetensors").read_bytes()
    return good, _file(folder / "b.safetensors", inspect_checkpoint)


def _batch(folder: Path) -> Target:
    path = folder / "data/cifar-100-binary/train.bin"
    read = _file(path, lambda path: _require_images(read_images(path.parents[1])))
    return bytes(range(256)) * 12 + bytes(2), read


def _idx(folder: Path) -> Target:
    path = folder / "train-images-idx3-ubyte"
    good = idx(np.arange(48, dtype=np.uint8).reshape(3, 4, 4))
    return good, _file(path, lambda _: _require_images(read_images(path)))


def _gzipped(folder: Path) -> Target:
    good, read = _idx(folder)
    return gzip.compress(good, mtime=0), read


def _array(folder: Path) -> Target:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    return npy_bytes(array), _file(folder / "a.npy", _read_all_arrays)


def _arrays(folder: Path) -> Target:
    entries = {"run.json": b"{}", "a.npy": _array(folder)[0]}
    good = zipped(folder / "a.npz", entries).read_bytes()
    return good, _file(folder / "a.npz", _read_all_arrays)


TARGETS: dict[str, Callable[[Path], Target]] = {
    "card": _card,
    "record": _record,
    "pickle": _pickle,
    "archive": _archive,
    "safetensors": _safetensors,
    "weights": _weights,
    "batch": _batch,
    "idx": _idx,
    "gzipped": _gzipped,
    "array": _array,
    "arrays": _arrays,
}
JSON = ("record", "safetensors")
