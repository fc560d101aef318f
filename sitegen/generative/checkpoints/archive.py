"""Checkpoint files, read without torch: their contents, digests and numbers.

`scan` opens a file once and reads all of it. Its result is cached until the file changes, and
serves to inspect a model, to check that it fits its card, and to load it.

The published checkpoints and related ones are zip files of `torch.save`. The pickle is read as data
(`pickles.py`), the zip's checksums are verified, and tensors are read in parts, which are kept only
on request. Memory does not grow with the file. Five layouts are supported:

- "published": `model`, `ema` and `step` of the paper's own code;
- "state dict": only named tensors, as improved-diffusion and guided-diffusion save them;
- "spectral": `ema_state_dict`, `schedule` and `step` of IHDM-spectral;
- "torchcfm": `net_model`, `ema_model` and `step`;
- "averaged": `model` and `step`, with averages by name under `ema`, as cold diffusion and
  lucidrains' programs save them; of those only the network is kept.

Our own files are read by `weights.py`.
"""

import contextlib
import hashlib
import struct
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BufferedReader
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import sitegen.generative.checkpoints.weights as ours
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import cached_by_stat, format_of, regular_size, sha256
from sitegen.generative.card.card import BlurSchedule
from sitegen.generative.checkpoints.floats import is_finite
from sitegen.generative.checkpoints.limits import (
    PART_BYTES,
    PICKLE_BYTES,
    SCHEDULE_NUMBERS,
    UNPACKED,
    UNPACKED_BYTES,
)
from sitegen.generative.checkpoints.pickles import Storage, StoredTensor, read_pickle
from sitegen.generative.untrusted.pickles import NAME_LENGTH, ForbiddenError, PickleError
from sitegen.generative.untrusted.zips import ZIP_DAMAGE, open_zip

ArchiveLayout = Literal["published", "state dict", "spectral", "torchcfm", "averaged"]

Numbers = dict[Any, bytearray]
"""Bytes of stored tensors, little-endian; an empty value is a request to read them."""

UNKNOWN_NETWORK = (
    "sitegen does not have this network; record its samples (`sitegen add NAME --recording FILE`) "
    'or write a sampler file: the page "Your own method" of the manual'
)

_VERSION = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns")
"""Values of `os.stat` that differ once a file has been written or replaced."""
_WRAPPERS = ("ema_model.", "module.", "denoise_fn.", "model.")
"""Prefixes of a network inside others: of averages, DataParallel, and the diffusions of Cold
Diffusion and lucidrains, which also hold kernels and noise schedules."""
_WORD_BYTES = 64


@dataclass(frozen=True)
class Published:
    """The content of a checkpoint: the weights by name (without `module.`), and their averages.

    Only in the layout "published" are the averages separate: an unnamed list in the order of the
    parameters, with the `decay` and number of `updates` of the average. In "spectral", "torchcfm"
    and "averaged" the weights are averages. `schedule` is the blur in a file of "spectral".
    """

    layout: ArchiveLayout
    weights: Mapping[str, StoredTensor]
    step: int | None = None
    averages: tuple[StoredTensor, ...] | None = None
    decay: float | None = None
    updates: int | None = None
    schedule: BlurSchedule | None = None

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """All tensors that a model could use."""
        return *self.weights.values(), *(self.averages or ())


Contents = Published | ours.Header
"""Content of a file without its numbers."""
Stored = StoredTensor | ours.Entry
"""A stored tensor that has not been read."""
HEAD = ("out.2.weight", "out.2.bias")
"""Tensors of the last convolution. If it has twice the channels, the second half is a learned
variance.
"""


class Archive:
    """An open checkpoint. Every method raises RefusedError for a damaged file."""

    def __init__(self, path: Path, file: BufferedReader, zipped: zipfile.ZipFile) -> None:
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
            return _spectral(self.path, value, self._floats)
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
        """Read the whole file, and check that every tensor is present, and every checksum.

        Returns the SHA-256 of the file and the tensors of storages with numbers that are not
        finite. Fills in the requested `numbers`. Besides those, one part of a tensor is in memory
        at a time.
        """
        stored, wanted = self._by_entry(known.tensors), self._allocated(numbers)
        broken: set[StoredTensor] = set()
        for info in sorted(self._zip.infolist(), key=lambda info: info.header_offset):
            kinds = {tensor.dtype for tensor in stored.get(info.filename, ())}
            bad: set[str] = set()
            for start, part in self._parts(info):
                _keep(numbers, wanted.get(info.filename, ()), start, part)
                bad.update(kind for kind in kinds - bad if not is_finite(kind, part))
            broken.update(each for each in stored.get(info.filename, ()) if each.dtype in bad)
        with _damage(self.path):
            self._file.seek(0)
            return hashlib.file_digest(self._file, "sha256").hexdigest(), frozenset(broken)

    def read(self, numbers: Numbers) -> None:
        """Fill in the requested numbers; each entry is read once."""
        for name, tensors in self._allocated(numbers).items():
            for start, part in self._parts(self._zip.NameToInfo[name]):
                _keep(numbers, tensors, start, part)

    def _allocated(self, numbers: Numbers) -> dict[str, list[StoredTensor]]:
        """Allocate the requested numbers, and return their tensors by entry."""
        wanted = [tensor for tensor, data in numbers.items() if not data]
        for tensor in wanted:
            numbers[tensor] = bytearray(tensor.bytes)
        return self._by_entry(wanted)

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


def _keep(numbers: Numbers, tensors: Iterable[StoredTensor], start: int, part: bytes) -> None:
    """Copy a part of a storage, which begins at byte `start`, to the tensors of the storage."""
    for tensor in tensors:
        first, data = tensor.start, numbers[tensor]
        begin, end = max(first, start), min(first + len(data), start + len(part))
        if begin < end:
            data[begin - first : end - first] = memoryview(part)[begin - start : end - start]


def open_file(path: Path) -> BufferedReader:
    """Open a checkpoint. Raises RefusedError if it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def open_archive(path: Path, file: BufferedReader) -> Iterator[Archive]:
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
    named = _named(path, weights)
    try:
        blur = BlurSchedule(tuple(values))
    except (ConfigError, OverflowError) as error:
        raise RefusedError(f"{path}: its schedule: {error}") from None
    return Published("spectral", named, _step(value), schedule=blur)


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


@dataclass(frozen=True, eq=False)
class Scan:
    """The result of reading a whole file: its content, size and digest.

    `broken` are the tensors with numbers that are not finite.
    """

    contents: Contents
    bytes: int
    sha256: str
    broken: frozenset[Stored]


@cached_by_stat
def scan(path: Path, select: Callable[[Contents], Numbers] | None = None) -> Scan:
    """Open a checkpoint once and read all of it: its contents, digest, checksums and numbers.

    `select` returns, for the contents, the numbers to fill in on the way; it is not called if the
    scan was cached. Raises RefusedError for a file that is missing, unsafe, damaged, not a
    checkpoint or written meanwhile, and as `select` does, before the numbers are read.
    """
    size, before = regular_size(path, "checkpoint"), _VERSION(path.stat())
    with open_file(path) as file:
        if format_of(path, file.read(10), size) == "pth":
            with open_archive(path, file) as archive:
                published = archive.contents()
                numbers = select(published) if select else {}
                found = Scan(published, size, *archive.scan(published, numbers))
        else:
            header = ours.read_header(path)
            found = Scan(header, size, *ours.scan(path, header, select(header) if select else {}))
    if not path.exists() or _VERSION(path.stat()) != before:
        raise RefusedError(f"{path}: changed while it was read; try again when it is finished")
    return found


def read_numbers(path: Path, numbers: Numbers) -> None:
    """Fill in the requested numbers of a checkpoint that are still empty."""
    wanted = [stored for stored, data in numbers.items() if not data]
    if wanted and isinstance(wanted[0], ours.Entry):
        numbers |= {entry: ours.read_numbers(path, entry) for entry in wanted}
    elif wanted:
        with open_file(path) as file, open_archive(path, file) as archive:
            archive.read(numbers)


def checkpoint_digest(path: Path) -> str:
    """Return the SHA-256 of a checkpoint; the scan is cached for loading it.

    Also works for a file that is not a checkpoint. Raises RefusedError if it cannot be read.
    """
    try:
        return scan(path).sha256
    except RefusedError:
        return sha256(path)


def has_learned_variance(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether a U-Net with these shapes has two outputs per channel: noise and variance."""
    first, last = (shapes.get(name, ()) for name in ("input_blocks.0.0.weight", HEAD[0]))
    return len(first) == 4 and len(last) == 4 and last[0] == 2 * first[1]
