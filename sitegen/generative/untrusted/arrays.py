"""Reading `.npy` and `.npz` files from someone else, a member or a block of rows at a time.

    with open_arrays(path) as file:
        file.arrays["state/00000"]             # ArrayInfo: dtype and shape; no numbers are read
        frame = file.read("state/00000")       # one whole array
        for rows in file.blocks("states", 1):  # rows of the first axis, one at a time
            ...
        text = file.member("run.json")         # bytes of a member that is not an array

A `.npy` has a single array named "". Pickles are never read: only booleans, integers and floats are
accepted. Sizes are checked before memory is allocated, and the checksum of a zip member is verified
once its last byte is read. Everything wrong with a file raises RefusedError with its path.
"""

import contextlib
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size
from sitegen.generative.untrusted.zips import (
    UNPACKED,
    UNPACKED_BYTES,
    ZIP_DAMAGE,
    open_zip,
    up_to_last_end,
)
from sitegen.record import LARGEST_ARRAY, MOST_ARRAYS

Array = NDArray[Any]

NPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"
SUFFIX = ".npy"
MOST_MEMBERS = MOST_ARRAYS + 1
"""Maximum number of files inside an `.npz`."""
MOST_BYTES = 16 << 30
"""Maximum bytes of the packed ones, unpacked; also at most `UNPACKED` times the file."""
_AXES = 8
"""Maximum number of axes of an array."""
_HEADER_BYTES = 4096
"""Maximum bytes of the text that describes an array; NumPy writes 118."""
_PIECE = 1 << 20
_DESCR = r"'descr': *'(?P<descr>[<>|=][biuf][1248])'"
_ORDER = r"'fortran_order': *(?P<fortran>True|False)"
_SHAPE = r"'shape': *\((?P<shape>[\d, L]{0,400})\)"
_HEADER = re.compile(rf"\{{ *{_DESCR}, *{_ORDER}, *{_SHAPE} *,? *\}} *\n?")
_NUMBERS = "booleans, integers or floats"


@dataclass(frozen=True)
class ArrayInfo:
    """Type and shape of a stored array, as its header claims; `start` is the header's length."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_fortran: bool
    start: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * self.dtype.itemsize


class ArrayFile:
    """An open `.npy` or `.npz`; `arrays` describes its arrays by name, without the suffix.

    block_bytes: maximum bytes of the array, block of rows or other member that is read at a time
    """

    def __init__(self, path: Path, source: IO[bytes] | zipfile.ZipFile, block_bytes: int) -> None:
        self.path = path
        self._source, self._block_bytes = source, block_bytes
        found: dict[str, ArrayInfo] = {}
        self._others: dict[str, int] = {}
        for name, size in self._members().items():
            if not name.endswith(SUFFIX):
                self._others[name] = size
                continue
            with self._opened(name) as stream:
                found[name.removesuffix(SUFFIX)] = _info(name, stream, size)
        self.arrays: Mapping[str, ArrayInfo] = MappingProxyType(found)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the members that are not arrays."""
        return tuple(self._others)

    def read(self, name: str) -> Array:
        """Read one array whole, in native byte order and row by row."""
        info = self.arrays[name]
        self._require_small(name, info.nbytes)
        with self._opened(name + SUFFIX) as stream:
            stream.read(info.start)
            flat = _numbers(stream, info, prod(info.shape))
            _require_end(stream)
        if info.is_fortran:
            return np.ascontiguousarray(flat.reshape(info.shape[::-1]).T)
        return flat.reshape(info.shape)

    def blocks(self, name: str, rows: int) -> Iterator[Array]:
        """Read an array in blocks of `rows` entries of its first axis; the last may be shorter."""
        info = self.arrays[name]
        if info.is_fortran:  # its rows are scattered over the whole file
            whole = self.read(name)
            yield from (whole[at : at + rows] for at in range(0, len(whole), rows))
            return
        count, *row = info.shape
        self._require_small(name, min(rows, count) * prod(row) * info.dtype.itemsize)
        with self._opened(name + SUFFIX) as stream:
            stream.read(info.start)
            for at in range(0, count, rows):
                many = min(rows, count - at)
                yield _numbers(stream, info, many * prod(row)).reshape(many, *row)
            _require_end(stream)

    def member(self, name: str) -> bytes:
        """Read a member of an `.npz` that is not an array, such as `run.json`."""
        self._require_small(name, self._others[name])
        with self._opened(name) as stream:
            return stream.read()

    def _members(self) -> dict[str, int]:
        if not isinstance(self._source, zipfile.ZipFile):
            return {SUFFIX: self.path.stat().st_size}
        infos = self._source.infolist()
        if len(infos) > MOST_MEMBERS:
            raise self._refused(f"it holds {len(infos):,} members, more than {MOST_MEMBERS:,}")
        return {info.filename: info.file_size for info in infos}

    @contextlib.contextmanager
    def _opened(self, member: str) -> Iterator[IO[bytes]]:
        with damage(self.path):
            if isinstance(self._source, zipfile.ZipFile):
                with self._source.open(member) as stream:
                    yield stream
            else:
                self._source.seek(0)
                yield self._source

    def _require_small(self, name: str, size: int) -> None:
        if size > self._block_bytes:
            most, what = self._block_bytes, name[:100] or "its array"
            raise self._refused(f"{what} takes {size:,} bytes at a time, more than {most:,}")

    def _refused(self, why: str) -> RefusedError:
        return RefusedError(f"{self.path}: {why}")


@contextlib.contextmanager
def open_arrays(path: Path, block_bytes: int = LARGEST_ARRAY) -> Iterator[ArrayFile]:
    """Open a `.npy` or `.npz` and check the headers of its arrays; the first bytes decide the
    format.

    An `.npz` whose last write was cut off is read up to its last whole directory.

    Raises RefusedError for a file that is missing, damaged, too large or not of these formats.
    """
    size = regular_size(path, "file of arrays")
    most = min(MOST_BYTES, UNPACKED * size + UNPACKED_BYTES)
    with contextlib.ExitStack() as stack:
        with damage(path):
            file = stack.enter_context(path.open("rb"))
            first = file.read(len(NPY))
            if first.startswith(ZIP):
                try:
                    zipped = open_zip(file, most)
                except zipfile.BadZipFile:
                    zipped = open_zip(up_to_last_end(file), most)
                found = ArrayFile(path, stack.enter_context(zipped), block_bytes)
            elif first == NPY:
                found = ArrayFile(path, file, block_bytes)
            else:
                raise ValueError("neither an .npz nor an .npy")
        yield found


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn the exceptions of a damaged file into RefusedError."""
    try:
        yield
    except (*ZIP_DAMAGE, struct.error, TypeError) as error:
        raise RefusedError(f"{path}: damaged or not a file of arrays: {error}") from None


def _info(name: str, stream: IO[bytes], size: int) -> ArrayInfo:
    """Read the header of an array in a member of `size` bytes. Raises ValueError if it is wrong."""
    name = name.removesuffix(SUFFIX)[:100] or "its array"
    start = stream.read(8)
    if start[:6] != NPY or start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError(f"{name} does not begin as an .npy file does")
    width, code = (2, "<H") if start[6] == 1 else (4, "<I")
    (length,) = struct.unpack(code, stream.read(width))
    if length > _HEADER_BYTES:
        raise ValueError(f"the header of {name} claims {length:,} bytes")
    text = stream.read(length).decode("latin1")
    match = _HEADER.fullmatch(text.strip() if len(text) == length else "")
    if match is None:
        if "'O'" in text or "|O" in text:
            raise ValueError(f"{name} holds Python objects, which may run code; save {_NUMBERS}")
        raise ValueError(f"{name} has an unsupported header; save {_NUMBERS}")
    axes = re.findall(r"\d+", match["shape"])
    if len(axes) > _AXES or any(len(axis) > 18 for axis in axes):
        raise ValueError(f"{name} has an absurd shape")
    shape = tuple(map(int, axes))
    if 0 in shape:
        raise ValueError(f"{name} is empty: its shape is {shape}")
    at = 8 + width + length
    info = ArrayInfo(np.dtype(match["descr"]), shape, match["fortran"] == "True", at)
    if at + info.nbytes != size:
        raise ValueError(f"{name} claims shape {shape}, which its {size:,} bytes do not hold")
    return info


def _numbers(stream: IO[bytes], info: ArrayInfo, count: int) -> Array:
    data = bytearray(count * info.dtype.itemsize)
    view, filled = memoryview(data), 0
    while filled < len(data):
        piece = stream.read(min(_PIECE, len(data) - filled))
        if not piece:
            raise EOFError("it ends early")
        view[filled : filled + len(piece)] = piece
        filled += len(piece)
    if info.dtype.kind == "b":  # bytes other than 0 and 1 are not valid booleans
        return np.frombuffer(data, np.uint8).astype(bool)
    flat = np.frombuffer(data, info.dtype)
    native: Array = flat.astype(info.dtype.newbyteorder("="), copy=False)
    return native


def _require_end(stream: IO[bytes]) -> None:
    if stream.read(1):
        raise ValueError("it continues after its last number")
