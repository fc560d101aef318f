"""Reading of a pickle as data, without Python's `pickle`.

A `.pth` and a batch of CIFAR use few of pickle's instructions: dicts, lists, numbers, texts, bytes,
and calls of a handful of constructors. `read_pickle` supports only these. A call never reaches a
function named in the file: the name is looked up in the caller's `Vocabulary`, with functions that
build inert records. Memory and time grow only with the length of the pickle: bytes are not copied
out of it, and no record is copied, hashed or printed as a whole.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

NAME_LENGTH = 1_000
"""Maximum characters in the name of a function, a tensor, or a storage."""
_ARGUMENTS = 16
"""Maximum arguments of a call; the supported constructors take up to six."""
_LARGEST_KEY = 1 << 60
"""Bound on numeric keys of dicts: larger ones can be chosen so that all hashes collide."""
_NESTING = 100
"""Maximum depth of unfinished lists, dicts and tuples."""
_SHORT = 255
"""Maximum bytes of an encoded text that is decoded to bytes at once."""


class PickleError(ValueError):
    """The bytes are not a pickle that this reader supports."""


class ForbiddenError(PickleError):
    """The pickle names a function or class that is not in the vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """Names that a pickle may use, and its maximum sizes.

    writer: the program that writes such pickles, for messages
    kind: the kind of file, for messages
    calls: functions by their name in the pickle
    names: globals that may be named, but not called
    records: classes whose objects become empty dicts; their content is read and dropped
    persistent: makes a record of a persistent id; None if these are not allowed
    bytes: length of the pickle
    operations: number of instructions, which also limits the memo
    """

    writer: str
    kind: str
    calls: Mapping[str, Callable[..., object]]
    names: frozenset[str]
    bytes: int
    operations: int
    records: frozenset[str] = frozenset()
    persistent: Callable[[object], object] | None = None


@dataclass(frozen=True)
class Name:
    """A global that the pickle names; nothing is imported for it."""

    name: str


@dataclass
class NumpyType:
    """The type of a NumPy number: its code, such as f8, and its byte order."""

    code: str
    order: str = "<"


@dataclass(eq=False)
class NumpyArray:
    """A NumPy array as the pickle describes it, unchecked."""

    shape: object = None
    dtype: object = None
    is_fortran: object = False
    data: object = None


@dataclass(frozen=True)
class EncodedText:
    """Bytes written as a Latin-1 text, as Python 3 does for old protocols."""

    text: str


@dataclass
class _Machine:
    data: memoryview
    words: Vocabulary
    at: int = 0
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def take(self, count: int) -> memoryview:
        """Return the next bytes of the pickle."""
        start, self.at = self.at, self.at + count
        if count < 0 or self.at > len(self.data):
            raise PickleError("the pickle inside ends early")
        return self.data[start : self.at]

    def take_line(self) -> str:
        """Return the next bytes up to the end of their line."""
        line, end, _ = bytes(self.data[self.at : self.at + NAME_LENGTH]).partition(b"\n")
        if not end:
            raise PickleError("the pickle inside has far too long a name")
        self.at += len(line) + 1
        return line.decode("ascii")

    def pop_mark(self) -> list[Any]:
        """Remove and return the items since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items


def read_pickle(data: bytes, words: Vocabulary) -> object:
    """Return the value of a pickle, in plain Python values and records.

    Raises ForbiddenError for a global that is not allowed and PickleError for any other unsupported
    content. No code in the file, or named by it, is run.
    """
    if len(data) > words.bytes:
        raise PickleError(f"the pickle inside is longer than {words.bytes >> 20} MiB")
    try:
        return _run(_Machine(memoryview(data), words))
    except PickleError:
        raise
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error) as error:
        raise PickleError(f"the pickle inside makes no sense ({error})") from None


def _run(machine: _Machine) -> object:
    data, known, most = machine.data, _INSTRUCTIONS, machine.words.operations
    for _ in range(most):
        if machine.at >= len(data):
            raise PickleError("the pickle inside has no end")
        code = data[machine.at]
        machine.at += 1
        if code == _STOP:
            return machine.stack.pop()
        if code not in known:
            raise _unknown(code, machine.words)
        read, act = known[code]
        act(machine, read(machine) if read else None)
    raise PickleError(f"the pickle inside has more than {most:,} operations")


def _unknown(code: int, words: Vocabulary) -> PickleError:
    import pickletools  # only needed for messages

    names = {opcode.code: opcode.name for opcode in pickletools.opcodes}
    name = names.get(chr(code), f"instruction {code}")
    return PickleError(f"the pickle inside uses {name}, which {words.writer} does not write")


def _number(code: str) -> Callable[[_Machine], Any]:
    packed = struct.Struct(code)
    return lambda machine: packed.unpack(machine.take(packed.size))[0]


_u1, _u2, _u4, _u8, _i4 = map(_number, ("<B", "<H", "<I", "<Q", "<i"))


def _long(machine: _Machine) -> int:
    return int.from_bytes(machine.take(_u1(machine)), "little", signed=True)


def _global(machine: _Machine) -> str:
    return f"{machine.take_line()}.{machine.take_line()}"


def _text(length: Callable[[_Machine], int], encoding: str = "utf-8") -> Callable[[_Machine], str]:
    return lambda machine: str(machine.take(length(machine)), encoding, "surrogatepass")


def _view(length: Callable[[_Machine], int]) -> Callable[[_Machine], memoryview]:
    return lambda machine: machine.take(length(machine))


def _protocol(machine: _Machine, argument: int) -> None:
    if not 2 <= argument <= 5:
        writer = machine.words.writer
        raise PickleError(f"the pickle inside has protocol {argument}; {writer} writes 2 to 5")


def _stack_global(machine: _Machine, _argument: None) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise PickleError("the pickle inside names a global by a value that is not text")
    _push_name(machine, f"{module[:NAME_LENGTH]}.{name[:NAME_LENGTH]}")


def _push_name(machine: _Machine, name: str) -> None:
    words = machine.words
    if name not in words.calls and name not in words.names | words.records:
        raise ForbiddenError(f"it names {name[:100]}, which no {words.kind} needs; no code was run")
    machine.stack.append(Name(name))


def _reduce(machine: _Machine, _argument: None) -> None:
    arguments, called = machine.stack.pop(), machine.stack.pop()
    if not isinstance(called, Name) or called.name not in machine.words.calls:
        raise PickleError("the pickle inside calls a value that is not callable")
    if type(arguments) is not tuple or len(arguments) > _ARGUMENTS:
        raise PickleError(f"the pickle inside makes no sense (the arguments of {called.name})")
    machine.stack.append(machine.words.calls[called.name](*arguments))


def _new_object(machine: _Machine, _argument: None) -> None:
    arguments, made = machine.stack.pop(), machine.stack.pop()
    known = isinstance(made, Name) and made.name in machine.words.records
    if not known or type(arguments) is not tuple or arguments:
        raise PickleError("the pickle inside makes an object of a class that is not a record")
    machine.stack.append({})


def _build(machine: _Machine, _argument: None) -> None:
    """Apply the state of an object: the content of an array, or the byte order of its type."""
    state, target = machine.stack.pop(), machine.stack[-1]
    if isinstance(target, NumpyArray):
        if type(state) is not tuple or len(state) != 5:
            raise PickleError("the pickle inside has an array of NumPy with an odd state")
        _version, target.shape, target.dtype, target.is_fortran, target.data = state
    elif isinstance(target, NumpyType):
        if type(state) is not tuple or state[1] not in ("<", ">", "|", "="):
            raise PickleError("the pickle inside has a type of NumPy with an odd byte order")
        target.order = ">" if state[1] == ">" else "<"
    elif not isinstance(target, dict):  # a record's content, or version numbers of modules
        raise PickleError("the pickle inside sets the state of a value without one")


def _persistent(machine: _Machine, _argument: None) -> None:
    if machine.words.persistent is None:
        raise PickleError("the pickle inside refers to another file")
    machine.stack.append(machine.words.persistent(machine.stack.pop()))


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    for key, value in zip(items[::2], items[1::2], strict=True):
        good = isinstance(key, str | bytes) or (isinstance(key, int) and abs(key) < _LARGEST_KEY)
        if type(target) is not dict or not good:
            raise PickleError(
                "the pickle inside fills a value that is not a dict, or uses odd keys"
            )
        target[key] = value


def _extend(machine: _Machine, items: list[Any]) -> None:
    if type(machine.stack[-1]) is not list:
        raise PickleError("the pickle inside appends to a value that is not a list")
    machine.stack[-1].extend(items)


def _tuple(length: int) -> Callable[[_Machine, None], None]:
    def make(machine: _Machine, _argument: None) -> None:
        items = [machine.stack.pop() for _ in range(length)]
        machine.stack.append(tuple(reversed(items)))

    return make


def _mark(machine: _Machine, _argument: None) -> None:
    if len(machine.marks) >= _NESTING:
        raise PickleError("the pickle inside is nested too deeply")
    machine.marks.append(machine.stack)
    machine.stack = []


def _push(machine: _Machine, value: object) -> None:
    machine.stack.append(value)


def _put(machine: _Machine, argument: int) -> None:
    machine.memo[argument] = machine.stack[-1]


def _get(machine: _Machine, argument: int) -> None:
    machine.stack.append(machine.memo[argument])


_Read = Callable[[_Machine], Any] | None
_Act = Callable[[_Machine, Any], None]
_STOP = ord(".")
_INSTRUCTIONS: Mapping[int, tuple[_Read, _Act]] = {
    0x80: (_u1, _protocol),
    0x95: (_u8, lambda *_: None),  # FRAME: its length does not matter in memory
    ord("N"): (None, lambda machine, _: _push(machine, None)),
    0x88: (None, lambda machine, _: _push(machine, True)),
    0x89: (None, lambda machine, _: _push(machine, False)),
    ord("}"): (None, lambda machine, _: _push(machine, {})),
    ord("]"): (None, lambda machine, _: _push(machine, [])),
    ord(")"): (None, lambda machine, _: _push(machine, ())),
    ord("K"): (_u1, _push),
    ord("M"): (_u2, _push),
    ord("J"): (_i4, _push),
    0x8A: (_long, _push),
    ord("G"): (_number(">d"), _push),
    ord("X"): (_text(_u4), _push),
    0x8C: (_text(_u1), _push),
    0x8D: (_text(_u8), _push),
    ord("U"): (_text(_u1, "latin1"), _push),  # Python 2 strings
    ord("T"): (_view(_i4), _push),
    ord("C"): (lambda machine: bytes(machine.take(_u1(machine))), _push),
    ord("B"): (_view(_u4), _push),
    0x8E: (_view(_u8), _push),
    0x96: (_view(_u8), _push),
    ord("c"): (_global, _push_name),
    0x93: (None, _stack_global),
    ord("R"): (None, _reduce),
    0x81: (None, _new_object),
    ord("b"): (None, _build),
    ord("Q"): (None, _persistent),
    ord("("): (None, _mark),
    ord("t"): (None, lambda machine, _: _push(machine, tuple(machine.pop_mark()))),
    0x85: (None, _tuple(1)),
    0x86: (None, _tuple(2)),
    0x87: (None, _tuple(3)),
    ord("s"): (None, lambda m, _: _set_items(m, [m.stack.pop(-2), m.stack.pop()])),
    ord("u"): (None, lambda machine, _: _set_items(machine, machine.pop_mark())),
    ord("a"): (None, lambda machine, _: _extend(machine, [machine.stack.pop()])),
    ord("e"): (None, lambda machine, _: _extend(machine, machine.pop_mark())),
    0x94: (None, lambda machine, _: _put(machine, len(machine.memo))),
    ord("q"): (_u1, _put),
    ord("r"): (_u4, _put),
    ord("h"): (_u1, _get),
    ord("j"): (_u4, _get),
}


def _encode(text: str, encoding: str = "latin1") -> bytes | EncodedText:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise PickleError("a text is encoded in an odd way")
    # A long text is encoded where it is used, since a pickle may name one many times.
    return text.encode("latin1") if len(text) <= _SHORT else EncodedText(text)


def _dtype(code: object, *_: object) -> NumpyType:
    if type(code) is not str or len(code) > NAME_LENGTH:
        raise PickleError("a NumPy number has an odd type")
    return NumpyType(code)


_FORMATS = dict(
    zip("f8 f4 f2 b1 i8 i4 i2 i1 u8 u4 u2 u1".split(), "dfe?qihbQIHB", strict=True)  # noqa: SIM905
)


def _scalar(kind: object, data: bytes) -> int | float | bool:
    if not isinstance(kind, NumpyType) or kind.code not in _FORMATS:
        raise PickleError("a NumPy number has an odd type")
    value: int | float | bool = struct.unpack(kind.order + _FORMATS[kind.code], data)[0]
    return value


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> NumpyArray:
    return NumpyArray(shape, dtype, order == "F", data)


NUMPY_CALLS: Mapping[str, Callable[..., object]] = {
    "_codecs.encode": _encode,
    "numpy.dtype": _dtype,
    **{
        f"numpy.{core}.{name}": call
        for core in ("core", "_core")
        for name, call in (
            ("multiarray.scalar", _scalar),
            ("multiarray._reconstruct", lambda *_: NumpyArray()),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}
"""Constructors of NumPy's types, numbers and arrays, by their names in NumPy 1 and 2."""
NUMPY_NAMES = frozenset({"numpy.ndarray"})
"""Types that may be named, but not called."""
