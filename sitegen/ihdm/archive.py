"""The published checkpoints: zip files of `torch.save`, read without torch or running anything.

The zip's checksums are verified, the pickle is read as data (`pickles.py`), and tensors are read
one by one, only those that are asked for.
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sitegen.errors import RefusedError
from sitegen.ihdm.pickles import read_pickle
from sitegen.ihdm.stored import ForbiddenError, PickleError, Storage, StoredTensor

_PICKLE_LIMIT = 64 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,  # an entry is encrypted
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    KeyError,
)


@dataclass(frozen=True)
class Averages:
    """The running average of the weights, an unnamed list in the order of the parameters."""

    tensors: tuple[StoredTensor, ...]
    decay: float | None
    updates: int | None


@dataclass(frozen=True)
class Published:
    """What a checkpoint holds: the weights by name (without `module.`), and their averages.

    `bare` says that the file is a state dict and nothing else; then the weights are all there is.
    """

    weights: Mapping[str, StoredTensor]
    averages: Averages | None
    step: int | None
    bare: bool


class Archive:
    """An open checkpoint. Every method raises RefusedError for a damaged file."""

    def __init__(self, path: Path, zipped: zipfile.ZipFile) -> None:
        self.path = path
        self._zip = zipped
        self._root = _check_entries(path, zipped)
        order = self._entry("byteorder") or b"little"
        if order.strip() != b"little":
            raise RefusedError(f"{path}: written on a big-endian machine, which is not supported")
        self.published = _published(path, self._pickle())

    def _entry(self, name: str) -> bytes | None:
        full = f"{self._root}{name}"
        with _damage(self.path):
            return self._zip.read(full) if full in self._zip.NameToInfo else None

    def _pickle(self) -> object:
        try:
            return read_pickle(self._entry("data.pkl") or b"")
        except ForbiddenError as error:
            raise RefusedError(f"{self.path}: refused as unsafe: {error}") from None
        except PickleError as error:
            raise RefusedError(f"{self.path}: damaged or not a checkpoint: {error}") from None

    def verify(self) -> None:
        """Check that every tensor is there, and the checksum of every entry, used or not."""
        averages = self.published.averages
        for tensor in (*self.published.weights.values(), *(averages.tensors if averages else ())):
            self._find(tensor.storage)
        with _damage(self.path):
            broken = self._zip.testzip()
        if broken:
            raise _damaged(self.path, f"the checksum of {broken[:100]} is wrong")

    def numbers(self, tensor: StoredTensor) -> bytearray:
        """The bytes of a tensor's numbers, little-endian, row by row."""
        storage = tensor.storage
        info = self._find(storage)
        with _damage(self.path):
            data = bytearray(self._zip.read(info))
        width = storage.bytes // max(storage.count, 1)
        return data[tensor.offset * width : (tensor.offset + tensor.count) * width]

    def _find(self, storage: Storage) -> zipfile.ZipInfo:
        name = f"{self._root}data/{storage.key}"
        info = self._zip.NameToInfo.get(name)
        if info is None or info.file_size != storage.bytes:
            raise _damaged(self.path, f"{name[:100]} is missing or not of the size told")
        return info


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a `.pth` file and read what it holds, but no tensor yet."""
    with contextlib.ExitStack() as stack:
        with _damage(path):
            zipped = stack.enter_context(zipfile.ZipFile(path))
        yield Archive(path, zipped)


def _damaged(path: Path, why: object) -> RefusedError:
    return RefusedError(f"{path}: damaged or not a checkpoint: {why}")


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _check_entries(path: Path, zipped: zipfile.ZipFile) -> str:
    """The folder inside the zip that holds everything; odd zips are refused."""
    infos = zipped.infolist()
    twice = [name for name, count in Counter(info.filename for info in infos).items() if count > 1]
    if twice:
        raise _damaged(path, f"the zip holds {twice[0][:100]} twice")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise _damaged(path, "the zip is packed in a way that torch.save does not use")
    if sum(info.file_size for info in infos) > 4 * path.stat().st_size + (1 << 20):
        raise _damaged(path, "the zip would unpack to far more than its size")
    pickles = [info for info in infos if info.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].filename.count("/") != 1:
        raise _damaged(path, f"a zip with {len(pickles)} data.pkl inside; torch.save writes one")
    if pickles[0].file_size > _PICKLE_LIMIT:
        raise _damaged(path, "its list of tensors is far too long")
    root = pickles[0].filename.removesuffix("data.pkl")
    if f"{root}constants.pkl" in zipped.NameToInfo:
        raise RefusedError(f"{path}: a TorchScript program, not a checkpoint; save a state dict")
    return root


def _published(path: Path, value: object) -> Published:
    if not isinstance(value, dict):
        raise _damaged(path, f"it holds a {type(value).__name__}, not a dict")
    bare = bool(value) and all(isinstance(item, StoredTensor) for item in value.values())
    weights = value if bare else value.get("model")
    if not isinstance(weights, dict) or not weights:
        names = ", ".join(str(key)[:40] for key in list(value)[:8])
        why = f"it holds {names or 'nothing'}; a published checkpoint has model and ema"
        raise RefusedError(f"{path}: not a checkpoint of this kind: {why}")
    step = value.get("step")
    return Published(
        weights=_named(path, weights),
        averages=None if bare else _averages(path, value.get("ema")),
        step=step if isinstance(step, int) else None,
        bare=bare,
    )


def _named(path: Path, weights: Mapping[Any, Any]) -> dict[str, StoredTensor]:
    """The state dict, without the prefix that DataParallel puts before every name."""
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise RefusedError(
                f"{path}: {str(name)[:100]} in its model is not a tensor with a name"
            )
    prefix = "module." if all(name.startswith("module.") for name in weights) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def _averages(path: Path, ema: object) -> Averages | None:
    if ema is None:
        return None
    tensors = ema.get("shadow_params") if isinstance(ema, dict) else None
    if not isinstance(ema, dict) or not isinstance(tensors, list | tuple):
        raise RefusedError(f"{path}: its ema has no list shadow_params, as published ones have")
    if not all(isinstance(tensor, StoredTensor) for tensor in tensors):
        raise RefusedError(f"{path}: its ema.shadow_params holds what is not a tensor")
    decay, updates = ema.get("decay"), ema.get("num_updates")
    return Averages(
        tuple(tensors),
        float(decay) if isinstance(decay, int | float) else None,
        updates if isinstance(updates, int) else None,
    )
