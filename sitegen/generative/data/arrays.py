"""Reading `.npy` and `.npz` files from someone else, an array at a time.

    with open_arrays(path) as file:
        file.arrays["state/00000"]             # ArrayInfo: dtype and shape; no numbers are read
        frame = file.read("state/00000")       # one whole array
        text = file.member("run.json")         # bytes of a member that is not an array

A `.npy` has a single array named "", which is mapped into memory. NumPy reads everything, without
pickles; sizes are checked before memory is allocated.
"""

import contextlib
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size
from sitegen.core.zips import ZIP_DAMAGE, open_zip
from sitegen.record import LARGEST_ARRAY, MOST_ARRAYS

SUFFIX = ".npy"
MOST_MEMBERS = MOST_ARRAYS + 1
"""Maximum number of files inside an `.npz`."""
HEADER_BYTES = 256
"""Maximum bytes of the header of an array; NumPy writes 118 for four axes, and parses slowly."""
_NUMBERS = "booleans, integers or floats"
# NumPy tokenizes headers that do not parse, because Python 2 wrote integers as 10L, and warns.
_DAMAGE = (*ZIP_DAMAGE, TypeError, SyntaxError, TokenError, MemoryError, RecursionError, Warning)


@dataclass(frozen=True)
class ArrayInfo:
    """Type and shape of a stored array, as its header claims."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * self.dtype.itemsize


class ArrayFile:
    """An open `.npy` or `.npz`; `arrays` describes its arrays by name, without the suffix.

    most_bytes: maximum bytes of the array or other member that is read at a time
    """

    def __init__(self, path: Path, zipped: zipfile.ZipFile | None, most_bytes: int) -> None:
        self.path = path
        self._zip, self._most_bytes = zipped, most_bytes
        sizes = {SUFFIX: path.stat().st_size}
        if zipped is not None:
            sizes = {info.filename: info.file_size for info in zipped.infolist()}
        if len(sizes) > MOST_MEMBERS:
            raise ValueError(f"it holds {len(sizes):,} members, more than {MOST_MEMBERS:,}")
        self._others = {name: size for name, size in sizes.items() if not name.endswith(SUFFIX)}
        self.arrays: Mapping[str, ArrayInfo] = {
            name.removesuffix(SUFFIX): self._info(name, size)
            for name, size in sizes.items()
            if name not in self._others
        }

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the members that are not arrays."""
        return tuple(self._others)

    def read(self, name: str) -> NDArray[Any]:
        """Return one whole array, in native byte order; a `.npy` is not read before it is used."""
        with damage(self.path):
            if self._zip is None:
                mapped: NDArray[Any] = np.load(self.path, mmap_mode="r", allow_pickle=False)
                return mapped
            self._require_small(name, self.arrays[name].nbytes)
            with self._zip.open(name + SUFFIX) as stream:
                numbers = npy.read_array(stream, allow_pickle=False)
                stream.read(1)  # at the end of a member, `zipfile` verifies its checksum
        native: NDArray[Any] = numbers.astype(numbers.dtype.newbyteorder("="), "C", copy=False)
        return native

    def rows(self, name: str, count: int) -> NDArray[Any]:
        """Return the first rows of an array, without reading the others of an uncompressed one."""
        info = self.arrays[name]
        if self._zip is None:
            return self.read(name)[:count]
        with damage(self.path), self._zip.open(name + SUFFIX) as stream:
            npy.read_magic(stream)
            _, is_fortran, _ = npy.read_array_header_1_0(stream)
            if is_fortran:
                return self.read(name)[:count]
            size = count * (info.nbytes // info.shape[0])
            self._require_small(name, size)
            return np.frombuffer(stream.read(size), info.dtype).reshape(count, *info.shape[1:])

    def member(self, name: str) -> bytes:
        """Return a member of an `.npz` that is not an array, such as `run.json`."""
        assert self._zip is not None
        with damage(self.path):
            self._require_small(name, self._others[name])
            return self._zip.read(name)

    def _require_small(self, name: str, size: int) -> None:
        if size > self._most_bytes:
            raise ValueError(f"{name[:100]} takes {size:,} bytes, more than {self._most_bytes:,}")

    def _info(self, name: str, size: int) -> ArrayInfo:
        """Return what the header of an array in a member of `size` bytes claims."""
        with self._zip.open(name) if self._zip else self.path.open("rb") as stream:
            version = npy.read_magic(stream)
            # Other versions are for structured types, with headers of up to 4 GB.
            if version != (1, 0):
                raise ValueError(f"an array of the .npy version {version}; save {_NUMBERS}")
            shape, _, dtype = npy.read_array_header_1_0(stream, HEADER_BYTES)
            start = stream.tell()
        called, info = name.removesuffix(SUFFIX)[:100] or "its array", ArrayInfo(dtype, shape)
        if dtype.hasobject:
            raise ValueError(f"{called} holds Python objects, which may run code; save {_NUMBERS}")
        if dtype.kind not in "biuf":
            raise ValueError(f"{called} has the type {dtype}; save {_NUMBERS}")
        if 0 in shape:
            raise ValueError(f"{called} is empty: its shape is {shape}")
        if start + info.nbytes != size:
            raise ValueError(f"{called} claims shape {shape}, which its {size:,} bytes do not hold")
        return info


@contextlib.contextmanager
def open_arrays(path: Path, most_bytes: int = LARGEST_ARRAY) -> Iterator[ArrayFile]:
    """Open a `.npy` or `.npz` and check the headers of its arrays; the first bytes decide.

    Raises RefusedError for a file that is missing, damaged, too large or not of these formats.
    """
    size = regular_size(path, "file of arrays")
    with contextlib.ExitStack() as stack:
        with damage(path), warnings.catch_warnings():
            warnings.simplefilter("error")  # a header of Python 2 takes milliseconds
            file = stack.enter_context(path.open("rb"))
            start = file.read(6)
            zipped = None
            if start.startswith(b"PK\x03\x04"):
                zipped = stack.enter_context(open_zip(file, size))
            elif start != npy.MAGIC_PREFIX:
                raise ValueError("neither an .npz nor an .npy")
            arrays = ArrayFile(path, zipped, most_bytes)
        yield arrays


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn the exceptions of a damaged file into RefusedError."""
    try:
        yield
    except _DAMAGE as error:
        why = str(error).partition("\n")[0]
        raise RefusedError(f"{path}: damaged or not a file of arrays: {why}") from None
