"""The pickle in a `.pth` file, as `torch.save` writes it, read as records.

Tensors become descriptions of the location of their numbers (`StoredTensor`), so that shapes and
types can be checked before their data is read. NumPy's scalars, which the published training code
leaves in the optimizer's state, become plain Python numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from sitegen.generative.checkpoints.limits import DIMENSIONS, OPERATIONS, PICKLE_BYTES
from sitegen.generative.untrusted.pickles import (
    NAME_LENGTH,
    NUMPY_CALLS,
    NUMPY_NAMES,
    Name,
    PickleError,
    Vocabulary,
)
from sitegen.generative.untrusted.pickles import read_pickle as read_any_pickle

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
"""Torch's storage types, with the bytes per element."""


def read_pickle(data: bytes) -> object:
    """Return the value of a pickle of `torch.save`, with tensors as `StoredTensor`.

    Raises ForbiddenError for a global that is not allowed and PickleError for any other unsupported
    content. No code in the file, or named by it, is run.
    """
    return read_any_pickle(data, _TORCH)


@dataclass(frozen=True)
class Storage:
    """A block of numbers in the file: its type, its entry's name, and their count."""

    dtype: str
    key: str
    count: int

    @property
    def bytes(self) -> int:
        """Return the size in bytes."""
        return self.count * DTYPES[self.dtype]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read: a part of a storage without gaps.

    `strides` are the distances between neighbours along each axis; None for row-major order.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """Return the number of elements."""
        return prod(self.shape)

    @property
    def dtype(self) -> str:
        """Return torch's name of the element type."""
        return self.storage.dtype

    @property
    def start(self) -> int:
        """Return the first byte of the numbers in the storage."""
        return self.offset * DTYPES[self.dtype]

    @property
    def bytes(self) -> int:
        """Return the size of the numbers in bytes."""
        return self.count * DTYPES[self.dtype]


def _storage(reference: object) -> Storage:
    match reference:
        case ("storage", Name(name), str(key), str(), int(count)) if name in STORAGES:
            if count < 0:
                raise PickleError("a storage has a negative size")
            if len(key) > NAME_LENGTH:
                raise PickleError("the name of a storage is far too long")
            return Storage(STORAGES[name], key, count)
    raise PickleError("the pickle inside refers to an object that is not a storage")


def _ordered_dict(*items: object) -> dict[str | int, Any]:
    if items:
        raise PickleError("an ordered dict has arguments that torch.save does not write")
    return {}


def _tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> Any:
    """Return a tensor's record.

    Strides that repeat or skip numbers are refused; unusual orders of the axes are accepted. A
    tensor that is larger than its storage is refused.
    """
    if not isinstance(storage, Storage) or not _is_size((offset,)) or not _is_size(shape):
        raise PickleError("a tensor is not described by a storage and numbers")
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
    """Return whether all numbers are distinct and without gaps, in any order of axes."""
    step = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def _is_size(values: object) -> bool:
    if not isinstance(values, tuple) or len(values) > DIMENSIONS:
        return False
    return all(type(v) is int and 0 <= v < 2**62 for v in values)


STORAGES: Mapping[str, str] = {f"torch.{dtype}Storage": dtype for dtype in DTYPES}
_TORCH = Vocabulary(
    writer="torch.save",
    kind="checkpoint",
    calls={
        **NUMPY_CALLS,
        "collections.OrderedDict": _ordered_dict,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": lambda data, *_: data,
    },
    names=NUMPY_NAMES | STORAGES.keys(),
    bytes=PICKLE_BYTES,
    operations=OPERATIONS,
    records=frozenset({"argparse.Namespace"}),
    persistent=_storage,
)
