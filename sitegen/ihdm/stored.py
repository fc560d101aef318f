"""What a checkpoint's pickle may hold: inert records, and the few calls that make them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

DTYPES: Mapping[str, int] = {
    "Double": 8,
    "Float": 4,
    "Half": 2,
    "BFloat16": 2,
    "Long": 8,
    "Int": 4,
    "Short": 2,
    "Char": 1,
    "Byte": 1,
    "Bool": 1,
}
"""Torch's storage types and the bytes of one element of each."""

_NUMPY_FORMATS = dict(
    zip("f8 f4 f2 b1 i8 i4 i2 i1 u8 u4 u2 u1".split(), "dfe?qihbQIHB", strict=True)  # noqa: SIM905
)


class PickleError(ValueError):
    """The bytes are not a pickle that this reader understands."""


class ForbiddenError(PickleError):
    """The pickle names a function or class that no checkpoint needs."""


@dataclass(frozen=True)
class Storage:
    """One block of numbers of the file: its type, its entry's name, and how many there are."""

    dtype: str
    key: str
    count: int

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.count * DTYPES[self.dtype]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read: a part of a storage without gaps, and inside of it.

    `strides` say how far apart neighbours along each axis lie; None if row by row.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)


@dataclass(frozen=True)
class Name:
    """A global that the pickle names; nothing is imported for it."""

    name: str


@dataclass(frozen=True)
class NumpyArray:
    """An array of NumPy, of which nothing is kept."""


@dataclass
class NumpyType:
    """The type of a NumPy number: its code, such as f8, and its byte order."""

    code: str
    order: str = "<"


def _ordered_dict(*items: object) -> dict[str | int, Any]:
    if items:
        raise PickleError("an ordered dict is made from what torch.save does not write")
    return {}


def _tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> Any:
    """A tensor's record. Strides that repeat or skip numbers are refused, other orders of the axes
    than the usual one are not; so is a tensor that is larger than its storage.
    """
    if not isinstance(storage, Storage) or not _is_size((offset,)) or not _is_size(shape):
        raise PickleError("a tensor is described by what is not a storage and numbers")
    assert isinstance(offset, int)
    assert isinstance(shape, tuple)
    if not isinstance(strides, tuple) or not _is_size(strides) or len(strides) != len(shape):
        raise PickleError("a tensor has strides that do not fit its shape")
    if prod(shape) and not _is_dense(shape, strides):
        raise PickleError(f"a tensor of shape {shape} is not contiguous: strides {strides}")
    if offset + prod(shape) > storage.count:
        raise PickleError(f"a tensor of shape {shape} is larger than its storage")
    steps = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
    plain = all(a == b for a, b, size in zip(strides, steps, shape, strict=True) if size > 1)
    return StoredTensor(storage, offset, shape, None if plain or not prod(shape) else strides)


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether each number has a place of its own and there are no gaps, in any order of axes."""
    step = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def _is_size(values: object) -> bool:
    return isinstance(values, tuple) and all(type(v) is int and 0 <= v < 2**62 for v in values)


def _parameter(data: object, *_: object) -> object:
    return data


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise PickleError("a text is encoded in an odd way")
    return text.encode("latin1")


def _numpy_type(code: str, *_: object) -> NumpyType:
    if not isinstance(code, str):
        raise PickleError("a NumPy number has an odd type")
    return NumpyType(code)


def _scalar(kind: object, data: bytes) -> int | float | bool:
    if not isinstance(kind, NumpyType):
        raise PickleError("a NumPy number has no type")
    if kind.code not in _NUMPY_FORMATS:
        raise PickleError("a NumPy number has an odd type")
    value: int | float | bool = struct.unpack(kind.order + _NUMPY_FORMATS[kind.code], data)[0]
    return value


def _array(*_: object) -> NumpyArray:
    return NumpyArray()


_ARRAYS = (
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
)
STORAGES: Mapping[str, str] = {f"torch.{dtype}Storage": dtype for dtype in DTYPES}
CALLS: Mapping[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "_codecs.encode": _encode,
    "numpy.dtype": _numpy_type,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    **dict.fromkeys(_ARRAYS, _array),
}
TYPES = frozenset({"numpy.ndarray"})
"""Types that may be named, but not called."""
