"""The published checkpoints: zip files of `torch.save`, read without torch or running anything.

The zip's checksums are verified, the pickle is read as data (`pickles.py`), and tensors are read
one by one, only those that are asked for.
"""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.ihdm.card.schedule import BlurSchedule
from sitegen.ihdm.checkpoints.layouts import contents
from sitegen.ihdm.checkpoints.pickles import (
    ForbiddenError,
    PickleError,
    Storage,
    StoredTensor,
    read_pickle,
)

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


class Archive:
    """An open checkpoint. Every method raises RefusedError for a damaged file."""

    def __init__(self, path: Path, zipped: zipfile.ZipFile) -> None:
        self.path = path
        self._zip = zipped
        self._root = _check_entries(path, zipped)
        order = self._entry("byteorder") or b"little"
        if order.strip() != b"little":
            raise RefusedError(f"{path}: written on a big-endian machine, which is not supported")
        self.published = contents(path, self._pickle())

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

    def schedule(self) -> BlurSchedule | None:
        """The blur schedule that the file has inside, if it has one."""
        values = self.published.schedule
        if isinstance(values, StoredTensor):
            code = {"Double": "d", "Float": "f"}.get(values.storage.dtype)
            if code is None:
                raise RefusedError(f"{self.path}: its schedule holds {values.storage.dtype}")
            values = struct.unpack(f"<{values.count}{code}", self.numbers(values))
        try:
            return None if values is None else BlurSchedule.explicit(values)
        except ConfigError as error:
            raise RefusedError(f"{self.path}: {error}") from None

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
