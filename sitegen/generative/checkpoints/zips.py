"""The published checkpoints and related ones: zip files of `torch.save`, read without torch.

The pickle is read as data (`pickles.py`), the zip's checksums are verified, and tensors are read in
parts, which are kept only on request. Memory does not grow with the file. Five layouts are
supported. "published": `model`, `ema` and `step` of the paper's own code. "state dict": only named
tensors, as improved-diffusion and guided-diffusion save them. "spectral": `ema_state_dict`,
`schedule` and `step` of IHDM-spectral. "torchcfm": `net_model`, `ema_model` and `step`. "averaged":
`model` and `step`, with averages by name under `ema`, as cold diffusion and lucidrains' programs
save them; of those only the network is kept.
"""

import contextlib
import hashlib
import io
import itertools
import struct
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.checkpoints.floats import FLOATS, not_finite
from sitegen.generative.checkpoints.limits import (
    NAME_LENGTH,
    PART_BYTES,
    PICKLE_BYTES,
    SCHEDULE_NUMBERS,
    UNPACKED,
    UNPACKED_BYTES,
)
from sitegen.generative.checkpoints.pickles import DTYPES, Storage, StoredTensor, read_pickle
from sitegen.generative.untrusted.pickles import ForbiddenError, PickleError
from sitegen.generative.untrusted.zips import ZIP_DAMAGE, open_zip

if TYPE_CHECKING:
    from sitegen.generative.card.card import BlurSchedule

ArchiveLayout = Literal["published", "state dict", "spectral", "torchcfm", "averaged"]

Numbers = dict[Any, bytearray]
"""Bytes of stored tensors, little-endian; an empty value is a request to read them."""

UNKNOWN_NETWORK = (
    "sitegen does not have this network; record its samples (`sitegen add NAME --recording FILE`) "
    'or write a sampler file: the page "Your own method" of the manual'
)

_WRAPPERS = ("ema_model.", "module.", "denoise_fn.", "model.")
"""Prefixes of a network inside others: of averages, DataParallel, and the diffusions of Cold
Diffusion and lucidrains, which also hold kernels and noise schedules."""
_CHUNK = 1 << 20
_WORD_BYTES = 64


@dataclass(frozen=True)
class Published:
    """The content of a checkpoint: the weights by name (without `module.`), and their averages.

    Only in the layout "published" are the averages separate: an unnamed list in the order of the
    parameters, with the `decay` and number of `updates` of the average. In "spectral", "torchcfm"
    and "averaged" the weights are averages. `sigmas` is the blur in a file of "spectral".
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
        """All tensors that a model could use."""
        return *self.weights.values(), *(self.averages or ())

    @cached_property
    def schedule(self) -> "BlurSchedule | None":
        """Return the blur in the file. Raises ConfigError or OverflowError if it is not valid."""
        # Imported here, since reading a file does not need cards.
        from sitegen.generative.card.card import BlurSchedule

        return None if self.sigmas is None else BlurSchedule(self.sigmas)

    def checked(self, path: Path) -> Self:
        """Return self if the schedule is valid. Raises RefusedError, with `path`, if not."""
        try:
            _ = self.schedule
        except (ConfigError, OverflowError) as error:
            raise RefusedError(f"{path}: its schedule: {error}") from None
        return self


class HashedFile(io.FileIO):
    """A file that is hashed, once `begin` is called, while it is read from start to end.

    start: its first 10 bytes
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.start = super().read(10)
        self._sum, self._hashed, self._begun = hashlib.sha256(), 0, False

    def begin(self) -> None:
        """Hash everything that is read or skipped from now on."""
        self._begun = True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any file."""
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
        """Return the SHA-256 of the file, after reading the rest of it."""
        self.seek(self._hashed)
        while self.read(_CHUNK):
            pass
        return self._sum.hexdigest()


class Archive:
    """An open checkpoint. Every method raises RefusedError for a damaged file."""

    def __init__(self, path: Path, file: HashedFile, zipped: zipfile.ZipFile) -> None:
        self.path = path
        self._file, self._zip = file, zipped
        self._root = _check_entries(path, zipped)
        order = self._small("byteorder", _WORD_BYTES) or b"little"
        if order.strip() != b"little":
            raise RefusedError(f"{path}: written on a big-endian machine, which is not supported")

    def _small(self, name: str, most: int) -> bytes | None:
        info = self._zip.NameToInfo.get(f"{self._root}{name}")
        if info is None:
            return None
        if info.file_size > most:
            raise _damaged(self.path, f"its {name} is far too long")
        with _damage(self.path):
            return self._zip.read(info)

    def contents(self) -> Published:
        """Return the content of the pickle; no tensor is read except a schedule's."""
        try:
            value = read_pickle(self._small("data.pkl", PICKLE_BYTES) or b"")
        except ForbiddenError as error:
            raise RefusedError(f"{self.path}: refused as unsafe: {error}") from None
        except PickleError as error:
            raise _damaged(self.path, error) from None
        if not isinstance(value, dict):
            raise _damaged(self.path, f"it holds a {type(value).__name__}, not a dict")
        if value and all(isinstance(item, StoredTensor) for item in value.values()):
            return Published("state dict", _named(self.path, value))
        if "ema_state_dict" in value and "schedule" in value:
            return _spectral(self.path, value, self._floats).checked(self.path)
        if {"state", "param_groups"} <= value.keys():
            raise RefusedError(
                f"{self.path}: the state of an optimizer, not a model; give the model*.pt or, "
                "better, the ema_*.pt next to it"
            )
        if isinstance(value.get("net_model"), dict):
            weights = value.get("ema_model") or value["net_model"]
            return Published("torchcfm", _named(self.path, _table(weights)), _step(value))
        if averages := _named_averages(value.get("ema")):
            return Published("averaged", _named(self.path, averages), _step(value))
        return _published(self.path, value)

    def scan(self, known: Published, numbers: Numbers) -> tuple[str, frozenset[StoredTensor]]:
        """Read the whole file once, and check that every tensor is present, and every checksum.

        Returns the SHA-256 of the file and the tensors with numbers that are not finite. Fills in
        the requested `numbers`. Besides those, one part of a tensor is in memory at a time.
        """
        tensors = self._by_entry(known.tensors)
        wanted = self._by_entry(tensor for tensor, data in numbers.items() if not data)
        self._file.begin()
        broken: set[StoredTensor] = set()
        for info in sorted(self._zip.infolist(), key=lambda info: info.header_offset):
            checks = _checks(tensors.get(info.filename, ()))
            takes = [_Kept.of(numbers, tensor) for tensor in wanted.get(info.filename, ())]
            for start, part in self._parts(info):
                for check in checks:
                    check.take(start, part)
                for take in takes:
                    take.take(start, part)
            broken.update(*(check.broken() for check in checks))
        with _damage(self.path):
            return self._file.digest(), frozenset(broken)

    def read(self, numbers: Numbers) -> None:
        """Fill in the requested numbers; each entry is read once."""
        wanted = self._by_entry(tensor for tensor, data in numbers.items() if not data)
        for name, tensors in wanted.items():
            takes = [_Kept.of(numbers, tensor) for tensor in tensors]
            for start, part in self._parts(self._zip.NameToInfo[name]):
                for each in takes:
                    each.take(start, part)

    def _by_entry(self, tensors: Iterable[StoredTensor]) -> dict[str, list[StoredTensor]]:
        found = defaultdict(list)
        for tensor in dict.fromkeys(tensors):
            found[self._find(tensor.storage).filename].append(tensor)
        return found

    def _parts(self, info: zipfile.ZipInfo) -> Iterator[tuple[int, bytes]]:
        """Yield an entry in parts, each with its offset, and check the checksum at the end."""
        start = 0
        try:
            with _damage(self.path), self._zip.open(info) as entry:
                while part := entry.read(PART_BYTES):
                    yield start, part
                    start += len(part)
        except RefusedError as error:
            if "Bad CRC-32" not in str(error):
                raise
            why = f"the checksum of {info.filename[:100]} is wrong"
            raise _damaged(self.path, why) from None

    def _floats(self, tensor: StoredTensor) -> tuple[float, ...]:
        code = {"Double": "d", "Float": "f"}.get(tensor.dtype)
        if code is None:
            raise RefusedError(f"{self.path}: its schedule holds {tensor.dtype}")
        if tensor.count > SCHEDULE_NUMBERS:
            raise RefusedError(f"{self.path}: its schedule holds {tensor.count:,} numbers")
        numbers: Numbers = {tensor: bytearray()}
        self.read(numbers)
        return struct.unpack(f"<{tensor.count}{code}", numbers[tensor])

    def _find(self, storage: Storage) -> zipfile.ZipInfo:
        name = f"{self._root}data/{storage.key}"
        info = self._zip.NameToInfo.get(name)
        if info is None or info.file_size != storage.bytes:
            raise _damaged(self.path, f"{name[:100]} is missing or has the wrong size")
        return info


@dataclass(frozen=True)
class _Kept:
    """The bytes of a tensor, collected while its storage is read."""

    first: int
    data: bytearray

    @classmethod
    def of(cls, numbers: Numbers, tensor: StoredTensor) -> "_Kept":
        """Allocate memory for a tensor among the numbers."""
        first, end = _span(tensor)
        numbers[tensor] = bytearray(end - first)
        return cls(first, numbers[tensor])

    def take(self, start: int, part: bytes) -> None:
        """Copy the tensor's part of a part of the storage."""
        begin, end = max(self.first, start), min(self.first + len(self.data), start + len(part))
        if begin < end:
            view = memoryview(part)[begin - start : end - start]
            self.data[begin - self.first : end - self.first] = view


class _Finiteness:
    """Finds tensors of one storage and type with numbers that are not finite.

    Numbers are checked once, even if many tensors share them.
    """

    def __init__(self, dtype: str, tensors: Sequence[StoredTensor]) -> None:
        import numpy as np

        self._dtype, self._tensors = dtype, tensors
        spans = np.array([_span(tensor) for tensor in tensors], np.int64).reshape(-1, 2)
        self._first, self._end = spans.T // DTYPES[dtype]
        self._broken = np.zeros(len(tensors), bool)

    def take(self, start: int, part: bytes) -> None:
        """Check a part of the storage."""
        import numpy as np

        if not len(places := not_finite(self._dtype, part)):
            return
        places = places + start // DTYPES[self._dtype]
        at = np.searchsorted(places, self._first)
        found = at < len(places)
        self._broken[found] |= places[at[found]] < self._end[found]

    def broken(self) -> Iterator[StoredTensor]:
        """Return the tensors with numbers that are not finite."""
        return itertools.compress(self._tensors, self._broken)


def _checks(tensors: Sequence[StoredTensor]) -> list[_Finiteness]:
    return [
        _Finiteness(dtype, [tensor for tensor in tensors if tensor.dtype == dtype])
        for dtype in {tensor.dtype for tensor in tensors} & FLOATS.keys()
    ]


def _span(tensor: StoredTensor) -> tuple[int, int]:
    width = DTYPES[tensor.dtype]
    return tensor.offset * width, (tensor.offset + tensor.count) * width


def open_file(path: Path) -> HashedFile:
    """Open a checkpoint. Raises RefusedError if it cannot be read."""
    try:
        return HashedFile(path)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def open_archive(path: Path, file: HashedFile) -> Iterator[Archive]:
    """Open a `.pth` in an open file; no entry is read yet."""
    with _damage(path):
        zipped = open_zip(file, UNPACKED * path.stat().st_size + UNPACKED_BYTES)
    with zipped:
        yield Archive(path, file, zipped)


def _damaged(path: Path, why: object) -> RefusedError:
    return RefusedError(f"{path}: damaged or not a checkpoint: {why}")


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except ZIP_DAMAGE as error:
        raise _damaged(path, error) from None


def _check_entries(path: Path, zipped: zipfile.ZipFile) -> str:
    """Return the top folder in the zip. Raises RefusedError for unusual zips."""
    pickles = [info for info in zipped.infolist() if info.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].filename.count("/") != 1:
        raise _damaged(path, f"a zip with {len(pickles)} data.pkl inside; torch.save writes one")
    root = pickles[0].filename.removesuffix("data.pkl")
    if f"{root}constants.pkl" in zipped.NameToInfo:
        raise RefusedError(f"{path}: a TorchScript program, not a checkpoint; save a state dict")
    return root


def _published(path: Path, value: dict[Any, Any]) -> Published:
    weights = value.get("model")
    if not isinstance(weights, dict) or not weights:
        names = ", ".join(str(key)[:40] for key in list(value)[:8])
        why = f"it holds {names or 'nothing'}; a published checkpoint has model and ema"
        raise RefusedError(f"{path}: not a checkpoint of this kind: {why}; {UNKNOWN_NETWORK}")
    found = Published("published", _named(path, weights), _step(value))
    return found if value.get("ema") is None else replace(found, **_averages(path, value["ema"]))


def _table(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _named_averages(ema: object) -> dict[Any, Any]:
    """Return averages that are stored by name; empty for others."""
    table = {name: value for name, value in _table(ema).items() if isinstance(name, str)}
    if not table or not all(isinstance(value, StoredTensor) for value in table.values()):
        return {}
    for prefix in _WRAPPERS:
        inner = {
            name.removeprefix(prefix): v for name, v in table.items() if name.startswith(prefix)
        }
        table = inner or table
    return table


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
        raise RefusedError(f"{path}: its ema.shadow_params has an item that is not a tensor")
    decay, updates = ema.get("decay"), ema.get("num_updates")
    if isinstance(decay, int | float) and not 0 <= decay <= 1:
        raise RefusedError(f"{path}: the decay of its ema is not from 0 to 1")
    return {
        "averages": tuple(tensors),
        "decay": float(decay) if isinstance(decay, int | float) else None,
        "updates": updates if isinstance(updates, int) else None,
    }
