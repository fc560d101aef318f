"""Reading the pickle inside a `.pth` file as data, without a pickle machine.

`torch.save` writes few of pickle's instructions, whatever the protocol that it is asked for:
dicts, lists, numbers, texts, and calls of a handful of constructors. `read_pickle` knows these and
nothing else. A call never reaches a function that the file names: it is matched against `CALLS`,
whose values are ours and build inert records. Tensors come out as descriptions of where their
numbers lie (`StoredTensor`), so that shapes and types can be checked before a byte of them is
read. NumPy's scalars, which the published training leaves in the optimizer's state, become plain
Python numbers, and its arrays records that say no more than that they are arrays.
"""

import struct
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from sitegen.generative.checkpoints.limits import (
    DIMENSIONS,
    NAME_LENGTH,
    NESTING,
    OPERATIONS,
    PICKLE_BYTES,
)


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def push(self, value: Any) -> None:
        """Lay a value on top."""
        self.stack.append(value)

    def pop_mark(self) -> list[Any]:
        """The items since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items


def read_pickle(data: bytes) -> object:
    """The value that a pickle of `torch.save` holds, tensors as `StoredTensor`.

    Raises ForbiddenError for a global that is not allowed and PickleError for anything else that
    is not understood. No code of the file, or named by it, is run.
    """
    if len(data) > PICKLE_BYTES:
        raise PickleError("its list of tensors is far too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of odd escapes in odd texts
            return _run(data)
    except PickleError:
        raise
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error) as error:
        raise PickleError(
            f"the pickle inside makes no sense ({error or 'it ends early'})"
        ) from None


def _run(data: bytes) -> object:
    import pickletools  # which only the process that reads a file needs

    machine = _Machine()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if number >= OPERATIONS:
            raise PickleError(f"the pickle inside has more than {OPERATIONS:,} operations")
        if opcode.name == "STOP":
            return machine.stack.pop()
        _step(machine, opcode.name, argument)
    raise PickleError("the pickle inside has no end")


def _step(machine: _Machine, name: str, argument: Any) -> None:
    if name in _PUSH_ARGUMENT:
        machine.stack.append(argument)
    elif name in _PUSH_NEW:
        machine.stack.append(_PUSH_NEW[name]())
    elif name in _INSTRUCTIONS:
        _INSTRUCTIONS[name](machine, argument)
    else:
        raise PickleError(f"the pickle inside uses {name}, which torch.save does not write")


def _protocol(_machine: _Machine, argument: int) -> None:
    if not 2 <= argument <= 5:
        raise PickleError(f"the pickle inside has protocol {argument}; torch.save writes 2 to 5")


def _stack_global(machine: _Machine, _argument: None) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise PickleError("the pickle inside names a global by what is not a text")
    _push_name(machine, f"{module}.{name}")


def _push_name(machine: _Machine, name: str) -> None:
    if name not in CALLS and name not in STORAGES and name not in TYPES:
        raise ForbiddenError(
            f"it asks for {name[:100]}, which no checkpoint needs; nothing of it was run"
        )
    machine.stack.append(Name(name))


def _reduce(machine: _Machine, _argument: None) -> None:
    arguments = machine.stack.pop()
    called = machine.stack.pop()
    if not isinstance(called, Name) or called.name not in CALLS:
        raise PickleError("the pickle inside calls what cannot be called")
    machine.stack.append(CALLS[called.name](*arguments))


def _build(machine: _Machine, _argument: None) -> None:
    """Apply the state of an object; only the byte order of a NumPy type matters to us."""
    state = machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, NumpyArray):
        return
    if isinstance(target, NumpyType) and state[1] in ("<", ">", "|", "="):
        target.order = {"|": "<", "=": "<"}.get(state[1], state[1])
    elif not isinstance(target, dict):  # state dicts carry version numbers of modules: not needed
        raise PickleError("the pickle inside sets the state of what has none")


def _storage(machine: _Machine, _argument: None) -> None:
    match machine.stack.pop():
        case ("storage", Name(name), str(key), str(), int(count)) if name in STORAGES:
            if count < 0:
                raise PickleError("a storage has a negative size")
            if len(key) > NAME_LENGTH:
                raise PickleError("the name of a storage is far too long")
            machine.stack.append(Storage(STORAGES[name], key, count))
        case _:
            raise PickleError("the pickle inside refers to what is not a storage")


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(target) is not dict or not isinstance(key, str | int):
            raise PickleError("the pickle inside fills what is not a dict, or under odd keys")
        target[key] = value


def _extend(machine: _Machine, items: list[Any]) -> None:
    if type(machine.stack[-1]) is not list:
        raise PickleError("the pickle inside appends to what is not a list")
    machine.stack[-1].extend(items)


def _tuple(length: int) -> Callable[[_Machine, None], None]:
    def _make(machine: _Machine, _argument: None) -> None:
        items = [machine.stack.pop() for _ in range(length)]
        machine.stack.append(tuple(reversed(items)))

    return _make


def _mark(machine: _Machine, _argument: None) -> None:
    if len(machine.marks) >= NESTING:
        raise PickleError("the pickle inside is nested too deeply")
    machine.marks.append(machine.stack)
    machine.stack = []


def _put(machine: _Machine, argument: int) -> None:
    machine.memo[argument] = machine.stack[-1]


_PUSH_ARGUMENT = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
    | {"SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_PUSH_NEW: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_INSTRUCTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _protocol,
    "FRAME": lambda *_: None,  # how long it is does not matter where all of it is in memory
    "GLOBAL": lambda machine, name: _push_name(machine, name.replace(" ", ".", 1)),
    "STACK_GLOBAL": _stack_global,
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    "REDUCE": _reduce,
    "BUILD": _build,
    "BINPERSID": _storage,
    "MARK": _mark,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "SETITEM": lambda machine, _: _set_items(machine, [machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.pop_mark()),
    "APPEND": lambda machine, _: _extend(machine, [machine.stack.pop()]),
    "APPENDS": lambda machine, _: _extend(machine, machine.pop_mark()),
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
}


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

    @property
    def dtype(self) -> str:
        """Torch's name of their type."""
        return self.storage.dtype


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
    if not isinstance(values, tuple) or len(values) > DIMENSIONS:
        return False
    return all(type(v) is int and 0 <= v < 2**62 for v in values)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise PickleError("a text is encoded in an odd way")
    return text.encode("latin1")


def _scalar(kind: object, data: bytes) -> int | float | bool:
    code = kind.code if isinstance(kind, NumpyType) else None
    if not isinstance(kind, NumpyType) or type(code) is not str or code not in _NUMPY_FORMATS:
        raise PickleError("a NumPy number has an odd type")
    value: int | float | bool = struct.unpack(kind.order + _NUMPY_FORMATS[code], data)[0]
    return value


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
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "_codecs.encode": _encode,
    "numpy.dtype": lambda code, *_: NumpyType(code),
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    **dict.fromkeys(_ARRAYS, lambda *_: NumpyArray()),
}
TYPES = frozenset({"numpy.ndarray"})
"""Types that may be named, but not called."""
