"""The published checkpoints and their relatives: zip files of `torch.save`, read without torch.

The pickle is read as data (`pickles.py`), the zip's checksums are verified, and tensors are read
one by one, only those that are asked for. Three layouts are known. "published": `model`, `ema` and
`step` of the paper's own code. "state dict": nothing but named tensors, as improved-diffusion and
guided-diffusion save them. "spectral": `ema_state_dict`, `schedule` and `step` of IHDM-spectral.

What a file holds is read in a process of its own (`apart.py`), which imports no more than this.
"""

import contextlib
import hashlib
import io
import struct
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.checkpoints.floats import is_finite
from sitegen.generative.checkpoints.limits import (
    DIRECTORY_BYTES,
    NAME_LENGTH,
    PICKLE_BYTES,
    UNPACKED,
    UNPACKED_BYTES,
)
from sitegen.generative.checkpoints.pickles import (
    ForbiddenError,
    PickleError,
    Storage,
    StoredTensor,
    read_pickle,
)

if TYPE_CHECKING:
    from sitegen.generative.card.card import BlurSchedule

ArchiveLayout = Literal["published", "state dict", "spectral"]

Take = Callable[[StoredTensor, memoryview], None]
"""What is done with a tensor and its numbers, little-endian, in the order that they lie in."""

_CHUNK = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # an entry is encrypted, or packed in an odd way
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    KeyError,
)


@dataclass(frozen=True)
class Published:
    """What a checkpoint holds: the weights by name (without `module.`), and their averages.

    Only of the layout "published" the averages stand apart, an unnamed list in the order of the
    parameters, with the `decay` and number of `updates` of the average; of "spectral" they are the
    weights, and `sigmas` is the blur that lies in the file.
    """

    layout: ArchiveLayout
    weights: Mapping[str, StoredTensor]
    step: int | None = None
    averages: tuple[StoredTensor, ...] | None = None
    decay: float | None = None
    updates: int | None = None
    sigmas: tuple[float, ...] | None = None

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """All that a model could be made of."""
        return *self.weights.values(), *(self.averages or ())

    @cached_property
    def schedule(self) -> "BlurSchedule | None":
        """The blur that lies in the file. Raises ConfigError or OverflowError if it can be none."""
        from sitegen.generative.card.card import (
            BlurSchedule,
        )  # whoever only reads has no need of cards

        return None if self.sigmas is None else BlurSchedule(self.sigmas)

    def checked(self, path: Path) -> Self:
        """The same, if its schedule can be one; RefusedError, naming `path`, if not."""
        try:
            _ = self.schedule
        except (ConfigError, OverflowError) as error:
            raise RefusedError(f"{path}: its schedule: {error}") from None
        return self


class _HashedFile(io.FileIO):
    """A file that is hashed on the way, once that is begun, while it is read from start to end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._sum, self._hashed, self._begun = hashlib.sha256(), 0, False

    def begin(self) -> None:
        """Hash what is read from now on, and what is skipped."""
        self._begun = True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does."""
        start = self.tell()
        if self._begun and self._hashed < start:
            self.seek(self._hashed)
            while (left := start - self._hashed) > 0:
                self._add(super().read(min(left, _CHUNK)))
        data = super().read(size)
        if self._begun and start <= self._hashed < start + len(data):
            self._add(data[self._hashed - start :])
        return data

    def _add(self, data: bytes) -> None:
        if not data:
            raise EOFError("the file became shorter")
        self._sum.update(data)
        self._hashed += len(data)

    def digest(self) -> str:
        """SHA-256 of the file, once the rest of it is read."""
        self.seek(self._hashed)
        while self.read(_CHUNK):
            pass
        return self._sum.hexdigest()


class Archive:
    """An open checkpoint. Every method raises RefusedError for a damaged file."""

    def __init__(self, path: Path, file: _HashedFile, zipped: zipfile.ZipFile) -> None:
        self.path = path
        self._file, self._zip = file, zipped
        self._root = _check_entries(path, zipped)
        order = self._entry("byteorder") or b"little"
        if order.strip() != b"little":
            raise RefusedError(f"{path}: written on a big-endian machine, which is not supported")

    def _entry(self, name: str) -> bytes | None:
        full = f"{self._root}{name}"
        with _damage(self.path):
            return self._zip.read(full) if full in self._zip.NameToInfo else None

    def contents(self) -> Published:
        """What its pickle says that it holds; no tensor is read but that of a schedule."""
        try:
            value = read_pickle(self._entry("data.pkl") or b"")
        except ForbiddenError as error:
            raise RefusedError(f"{self.path}: refused as unsafe: {error}") from None
        except PickleError as error:
            raise _damaged(self.path, error) from None
        if not isinstance(value, dict):
            raise _damaged(self.path, f"it holds a {type(value).__name__}, not a dict")
        if value and all(isinstance(item, StoredTensor) for item in value.values()):
            return Published("state dict", _named(self.path, value))
        if "ema_state_dict" in value and "schedule" in value:
            return _spectral(self.path, value, self._floats)
        if {"state", "param_groups"} <= value.keys():
            raise RefusedError(
                f"{self.path}: the state of an optimizer, not a model; give the model*.pt or, "
                "better, the ema_*.pt beside it"
            )
        return _published(self.path, value)

    def scan(self, known: Published, take: Take) -> tuple[str, frozenset[StoredTensor]]:
        """Read all of the file once, and check that every tensor is there, and every checksum.

        Returns the SHA-256 of the file, and the tensors of it that hold numbers not finite; the
        numbers of each are given to `take` on the way.
        """
        parts = defaultdict(list)
        for tensor in known.tensors:
            parts[self._find(tensor.storage).filename].append(tensor)
        self._file.begin()
        broken: set[StoredTensor] = set()
        for info in sorted(self._zip.infolist(), key=lambda info: info.header_offset):
            data = self._checked(info, keep=info.filename in parts)
            for tensor in parts[info.filename]:
                take(tensor, _part(tensor, data))
            broken |= _broken({*parts[info.filename]}, data)
        with _damage(self.path):
            return self._file.digest(), frozenset(broken)

    def _checked(self, info: zipfile.ZipInfo, *, keep: bool) -> bytes:
        """Read an entry to its end, where its checksum is compared; b"" unless it is to `keep`."""
        try:
            with _damage(self.path), self._zip.open(info) as entry:
                if keep:
                    return entry.read()
                while entry.read(_CHUNK):
                    pass
                return b""
        except RefusedError as error:
            if "Bad CRC-32" not in str(error):
                raise
            why = f"the checksum of {info.filename[:100]} is wrong"
            raise _damaged(self.path, why) from None

    def numbers(self, tensor: StoredTensor) -> memoryview:
        """The bytes of a tensor's numbers, little-endian, in the order that they lie in."""
        info = self._find(tensor.storage)
        with _damage(self.path):
            return _part(tensor, self._zip.read(info))

    def _floats(self, tensor: StoredTensor) -> tuple[float, ...]:
        code = {"Double": "d", "Float": "f"}.get(tensor.dtype)
        if code is None:
            raise RefusedError(f"{self.path}: its schedule holds {tensor.dtype}")
        return struct.unpack(f"<{tensor.count}{code}", self.numbers(tensor))

    def _find(self, storage: Storage) -> zipfile.ZipInfo:
        name = f"{self._root}data/{storage.key}"
        info = self._zip.NameToInfo.get(name)
        if info is None or info.file_size != storage.bytes:
            raise _damaged(self.path, f"{name[:100]} is missing or not of the size told")
        return info


def _broken(tensors: Collection[StoredTensor], data: bytes) -> set[StoredTensor]:
    """Those of the tensors of one storage that hold numbers that are not finite."""
    if all(is_finite(dtype, data) for dtype in {tensor.dtype for tensor in tensors}):
        return set()  # looked at once, however many tensors share it
    return {each for each in tensors if not is_finite(each.dtype, _part(each, data))}


def _part(tensor: StoredTensor, data: bytes) -> memoryview:
    """The numbers of a tensor in those of its storage."""
    width = tensor.storage.bytes // max(tensor.storage.count, 1)
    return memoryview(data)[tensor.offset * width : (tensor.offset + tensor.count) * width]


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a `.pth` file; nothing of what it holds is read yet."""
    with _damage(path):
        file = _HashedFile(path)
    with file:
        with _damage(path):
            if _directory_bytes(file) > DIRECTORY_BYTES:
                raise ValueError("the zip holds far too many files")
            zipped = zipfile.ZipFile(file)
        yield Archive(path, file, zipped)


def _directory_bytes(file: _HashedFile) -> int:
    """How long the list of a zip's entries is, by the record that `zipfile` takes for its end.

    That is the last 22 bytes where they are one without a comment, whatever they hold, else the
    last that there is; a locator before it leads to a longer one, of 56 bytes.
    """
    start = max(0, file.seek(0, io.SEEK_END) - (1 << 17))
    file.seek(start)
    end = file.read(1 << 17)
    file.seek(0)
    at, last = end.rfind(b"PK\x05\x06"), max(0, len(end) - 22)
    if end.startswith(b"PK\x05\x06", last) and end.endswith(b"\0\0"):
        at = last
    if end.startswith(b"PK\x06\x07", max(0, at - 20)) and at >= 76:
        return int(struct.unpack_from("<Q", end, at - 36)[0])
    return int(struct.unpack_from("<I", end, at + 12)[0]) if 0 <= at <= len(end) - 22 else 0


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
    most = UNPACKED * path.stat().st_size + UNPACKED_BYTES
    if sum(info.file_size for info in infos) > most:
        raise _damaged(path, "the zip would unpack to far more than its size")
    pickles = [info for info in infos if info.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].filename.count("/") != 1:
        raise _damaged(path, f"a zip with {len(pickles)} data.pkl inside; torch.save writes one")
    if pickles[0].file_size > PICKLE_BYTES:
        raise _damaged(path, "its list of tensors is far too long")
    root = pickles[0].filename.removesuffix("data.pkl")
    if f"{root}constants.pkl" in zipped.NameToInfo:
        raise RefusedError(f"{path}: a TorchScript program, not a checkpoint; save a state dict")
    return root


def _published(path: Path, value: dict[Any, Any]) -> Published:
    weights = value.get("model")
    if not isinstance(weights, dict) or not weights:
        names = ", ".join(str(key)[:40] for key in list(value)[:8])
        why = f"it holds {names or 'nothing'}; a published checkpoint has model and ema"
        raise RefusedError(f"{path}: not a checkpoint of this kind: {why}")
    found = Published("published", _named(path, weights), _step(value))
    return found if value.get("ema") is None else replace(found, **_averages(path, value["ema"]))


def _spectral(
    path: Path, value: dict[Any, Any], floats: Callable[[StoredTensor], tuple[float, ...]]
) -> Published:
    weights, schedule = value["ema_state_dict"], value["schedule"]
    values = schedule.get("values") if isinstance(schedule, dict) else None
    if isinstance(values, StoredTensor) and len(values.shape) == 1:
        values = floats(values)
    elif not isinstance(values, list | tuple) or any(type(v) not in (int, float) for v in values):
        raise RefusedError(f"{path}: its schedule has no list of values, as IHDM-spectral saves")
    if not isinstance(weights, dict) or not weights:
        raise RefusedError(f"{path}: its ema_state_dict holds no weights")
    return Published("spectral", _named(path, weights), _step(value), sigmas=tuple(values))


def _step(value: Mapping[Any, Any]) -> int | None:
    step = value.get("step")
    return step if isinstance(step, int) and 0 <= step < 1 << 63 else None


def _named(path: Path, weights: Mapping[Any, Any]) -> dict[str, StoredTensor]:
    """The state dict, without the prefix that DataParallel puts before every name."""
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise RefusedError(
                f"{path}: {str(name)[:100]} in its model is not a tensor with a name"
            )
        if len(name) > NAME_LENGTH:
            raise RefusedError(f"{path}: {name[:100]}… in its model has far too long a name")
    prefix = "module." if all(name.startswith("module.") for name in weights) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def _averages(path: Path, ema: object) -> dict[str, Any]:
    tensors = ema.get("shadow_params") if isinstance(ema, dict) else None
    if not isinstance(ema, dict) or not isinstance(tensors, list | tuple):
        raise RefusedError(f"{path}: its ema has no list shadow_params, as published ones have")
    if not all(isinstance(tensor, StoredTensor) for tensor in tensors):
        raise RefusedError(f"{path}: its ema.shadow_params holds what is not a tensor")
    decay, updates = ema.get("decay"), ema.get("num_updates")
    if isinstance(decay, int | float) and not 0 <= decay <= 1:
        raise RefusedError(f"{path}: the decay of its ema is not from 0 to 1")
    return {
        "averages": tuple(tensors),
        "decay": float(decay) if isinstance(decay, int | float) else None,
        "updates": updates if isinstance(updates, int) else None,
    }
