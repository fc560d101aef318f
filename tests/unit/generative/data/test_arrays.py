"""Arrays from someone else are read in bounded memory, or refused with the path and a reason."""

import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sitegen.core.errors import RefusedError
from sitegen.generative.data import arrays
from sitegen.generative.data.arrays import open_arrays
from tests.support.making import Call, npy_bytes, zipped

MB = 1 << 20
DTYPES = ("<f4", ">f4", "<f2", "<f8", "|u1", "|i1", "<i8", ">u2", "|b1")


def header(text: str, *, version: bytes = b"\1\0", length: int | None = None) -> bytes:
    """Return an `.npy` header with this text."""
    data = text.encode()
    code = "<H" if version == b"\1\0" else "<I"
    return b"\x93NUMPY" + version + struct.pack(code, length or len(data)) + data


def described(shape: str, descr: str = "'<f4'", order: str = "False") -> bytes:
    """Return the header of an array of this shape."""
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_as_numpy_reads_them(tmp_path: Path, dtype: str, order: Any) -> None:
    """Every type, order and packing gives the numbers of np.load."""
    numbers = np.random.default_rng(0).integers(0, 2, (5, 3, 2)) * 3
    array = np.asarray(numbers.astype(dtype), order=order)
    np.savez(tmp_path / "a.npz", a=array, scalar=array[0, 0, 0])
    np.savez_compressed(tmp_path / "packed.npz", a=array)
    np.save(tmp_path / "a.npy", array)
    for name, key in (("a.npz", "a"), ("packed.npz", "a"), ("a.npy", "")):
        with open_arrays(tmp_path / name) as file:
            assert file.arrays[key].shape == (5, 3, 2)
            assert np.array_equal(file.read(key), array)
            if key:
                assert file.read(key).dtype.isnative
                assert file.read(key).flags.c_contiguous


HEADERS = {
    "objects": (npy_bytes(np.array([1, "x"], dtype=object)), "Python objects, which may run code"),
    "text": (npy_bytes(np.array(["x"])), "has the type <U1; save booleans"),
    "record": (npy_bytes(np.zeros(2, [("a", "f4")])), "has the type "),
    "complex": (npy_bytes(np.zeros(2, complex)), "has the type complex128"),
    "times": (npy_bytes(np.zeros(2, "M8[s]")), "has the type datetime64"),
    "quarter float": (described("(4,)", "'<f1'") + bytes(4), "damaged"),
    "code": (described("(__import__('os').getpid(),)") + bytes(4), "damaged"),
    "nested": (header("(" * 4000), "damaged"),
    "long header": (header(" " * 50_000), "damaged"),
    "200 axes": (described(f"({'1,' * 200})") + bytes(4), "Header info length"),
    "Python 2": (described("(1L,)") + bytes(4), "Python 2"),
    "endless header": (header("{", version=b"\2\0", length=0xFFFFFFFF), "version"),
    "huge": (described("(1000000000000,)"), "which its .* bytes do not hold"),
    "beyond integers": (described(f"({'9' * 150},)"), "do not hold"),
    "negative": (described("(-1,)") + bytes(4), "do not hold"),
    "rows of nothing": (described("(999999999999, 0)"), "is empty"),
    "short": (described("(3,)") + bytes(11), "do not hold"),
    "long": (described("(3,)") + bytes(13), "do not hold"),
    "cut": (described("(3,)")[:20], "damaged"),
    "no array": (b"words", "damaged"),
    "version": (header("{}", version=b"\x09\0"), "version"),
}


@pytest.mark.parametrize(("data", "words"), HEADERS.values(), ids=HEADERS)
def test_odd_arrays_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    """Objects, absurd shapes and damaged headers are refused before memory is taken for them."""
    path, single = zipped(tmp_path / "a.npz", {"x.npy": data}), tmp_path / "a.npy"
    single.write_bytes(data)
    tracemalloc.start()
    for each in (path, single):
        told = words if each == path else "."
        with pytest.raises(RefusedError, match=told) as caught, open_arrays(each):
            raise AssertionError("it was opened")
        assert str(each) in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 16 * MB
    tracemalloc.stop()


def test_bounds_on_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many members, too large a member, and more bytes than the file may hold are refused."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros((3, MB), np.uint8), b=np.zeros(3))
    with open_arrays(path, 2 * MB) as file, pytest.raises(RefusedError, match="a takes 3,145,728"):
        file.read("a")
    monkeypatch.setattr(arrays, "MOST_MEMBERS", 1)
    with pytest.raises(RefusedError, match="2 members, more than 1"), open_arrays(path):
        pass
    monkeypatch.undo()
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros((64, MB), np.uint8))
    with (
        pytest.raises(RefusedError, match=r"bomb\.npz: .* far more than its"),
        open_arrays(tmp_path / "bomb.npz"),
    ):
        pass
    zipped(path, {"run.json": bytes(3 * MB)}, zipfile.ZIP_DEFLATED)
    with open_arrays(path, 2 * MB) as file, pytest.raises(RefusedError, match=r"run\.json takes"):
        file.member("run.json")


def test_damaged_zips_of_arrays(tmp_path: Path) -> None:
    """Wrong checksums, members twice, encrypted, oddly packed or cut zips, and pickles: refused."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(1000))
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[600] ^= 1
    path.write_bytes(changed)
    with open_arrays(path) as file, pytest.raises(RefusedError, match=r"a\.npz: .*Bad CRC-32"):
        file.read("a")
    for cut in range(1, len(whole), 211):
        path.write_bytes(whole[:cut])
        with pytest.raises(RefusedError, match=r"a\.npz"), open_arrays(path) as file:
            file.read("a")
    zipped(path, {"a.npy": npy_bytes(np.zeros(3)), "b.npy": npy_bytes(np.zeros(3))})
    path.write_bytes(path.read_bytes().replace(b"b.npy", b"a.npy"))
    with pytest.raises(RefusedError, match="twice"), open_arrays(path):
        pass
    zipped(path, {"a.npy": npy_bytes(np.zeros(3))}, zipfile.ZIP_LZMA)
    with pytest.raises(RefusedError, match="neither stored nor deflated"), open_arrays(path):
        pass
    trap = tmp_path / "trap"
    path.write_bytes(pickle.dumps(Call(Path.mkdir, trap)))
    with pytest.raises(RefusedError, match=r"neither an \.npz nor an \.npy"), open_arrays(path):
        pass
    assert not trap.exists()
    with pytest.raises(RefusedError, match="no such file of arrays"), open_arrays(tmp_path / "b"):
        pass
