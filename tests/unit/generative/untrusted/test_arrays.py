"""Arrays from someone else are read in bounded memory, or refused with the path and a reason."""

import json
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy

from sitegen.core.errors import RefusedError
from sitegen.generative.untrusted import arrays
from sitegen.generative.untrusted.arrays import open_arrays
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
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_as_numpy_reads_them(tmp_path: Path, dtype: str, order: Any, packed: bool) -> None:
    """Every type, order and packing gives the numbers of np.load, whole and in blocks of rows."""
    numbers = np.random.default_rng(0).integers(0, 2, (5, 3, 2)) * 3
    array = np.asarray(numbers.astype(dtype), order=order)
    path = tmp_path / "a.npz"
    (np.savez_compressed if packed else np.savez)(path, a=array, scalar=array[0, 0, 0])
    np.save(tmp_path / "a.npy", array)
    with open_arrays(path) as file, open_arrays(tmp_path / "a.npy") as single:
        assert file.arrays.keys() == {"a", "scalar"}
        assert file.arrays["a"].shape == single.arrays[""].shape == (5, 3, 2)
        assert file.read("scalar") == array[0, 0, 0]
        for found in (file.read("a"), single.read("")):
            assert found.dtype == array.dtype.newbyteorder("=")
            assert found.flags.c_contiguous
            assert np.array_equal(found, array)
        for rows in (1, 2, 5, 9):
            for blocks in (list(file.blocks("a", rows)), list(single.blocks("", rows))):
                assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
                assert np.array_equal(np.concatenate(blocks), array)


def test_other_members_and_writers(tmp_path: Path) -> None:
    """Members that are not arrays are read as bytes; headers of other writers are understood."""
    array = np.arange(6, dtype="<f8").reshape(2, 3)
    plain = described("(2, 3)", "'<f8'") + array.tobytes()
    wide = header("{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L)}", version=b"\3\0")
    members = {"run.json": b'{"seed": 3}', "a.npy": plain, "b/0.npy": wide + array.tobytes()}
    with open_arrays(zipped(tmp_path / "a.npz", members)) as file:
        assert file.others == ("run.json",)
        assert json.loads(file.member("run.json")) == {"seed": 3}
        assert np.array_equal(file.read("a"), array)
        assert np.array_equal(file.read("b/0"), array)


HEADERS = {
    "objects": (npy_bytes(np.array([1, "x"], dtype=object)), "Python objects, which may run code"),
    "text": (npy_bytes(np.array(["x"])), "unsupported header"),
    "record": (npy_bytes(np.zeros(2, [("a", "f4")])), "unsupported header"),
    "complex": (npy_bytes(np.zeros(2, complex)), "unsupported header"),
    "times": (npy_bytes(np.zeros(2, "M8[s]")), "unsupported header"),
    "quarter float": (described("(4,)", "'<f1'") + bytes(4), "damaged"),
    "code": (described("(__import__('os').getpid(),)") + bytes(4), "unsupported"),
    "nested": (header("(" * 4000), "unsupported"),
    "long header": (header(" " * 5000), "claims 5,000 bytes"),
    "endless header": (header("{", version=b"\2\0", length=0xFFFFFFFF), "claims 4,294,967,295"),
    "huge": (described("(1000000000000,)"), "which its .* bytes do not hold"),
    "beyond integers": (described(f"({'9' * 300},)"), "absurd shape"),
    "axes": (described(f"({'1, ' * 9})") + bytes(4), "absurd shape"),
    "negative": (described("(-1,)") + bytes(4), "unsupported"),
    "rows of nothing": (described("(999999999999, 0)"), "is empty"),
    "short": (described("(3,)") + bytes(11), "do not hold"),
    "long": (described("(3,)") + bytes(13), "do not hold"),
    "cut": (described("(3,)")[:20], "damaged"),
    "no array": (b"words", "does not begin as an .npy file does"),
    "version": (header("{}", version=b"\x09\0"), "does not begin"),
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
    assert tracemalloc.get_traced_memory()[1] < MB
    tracemalloc.stop()


def test_bounds_on_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many members or bytes, also for the size of the file, and too large a block are refused.

    Smaller blocks are read.
    """
    path = tmp_path / "a.npz"
    block = np.zeros(MB, np.uint8)
    block[:: MB // 20_000] = np.random.default_rng(0).integers(0, 256, len(block[:: MB // 20_000]))
    np.savez_compressed(path, a=np.stack([block] * 64), b=np.zeros(3))
    told = {"MOST_MEMBERS": "2 members, more than 1", "MOST_BYTES": r"a\.npz: .* more than 1 bytes"}
    for name, words in told.items():
        with monkeypatch.context() as patch:
            patch.setattr(arrays, name, 1)
            with pytest.raises(RefusedError, match=words), open_arrays(path):
                pass
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros((64, MB), np.uint8))
    with (
        pytest.raises(RefusedError, match=r"bomb\.npz: .* far more than 20,9\d\d,\d{3} bytes"),
        open_arrays(tmp_path / "bomb.npz"),
    ):
        pass
    np.save(tmp_path / "a.npy", np.zeros((64, MB), np.uint8))
    for each, name in ((path, "a"), (tmp_path / "a.npy", "")):
        with open_arrays(each, 2 * MB) as file:
            with pytest.raises(RefusedError, match="takes 67,108,864 bytes at a time"):
                file.read(name)
            with pytest.raises(RefusedError, match="takes 3,145,728 bytes at a time"):
                next(file.blocks(name, 3))
            tracemalloc.start()
            assert sum(len(block) for block in file.blocks(name, 1)) == 64
            assert tracemalloc.get_traced_memory()[1] < 8 * MB
            tracemalloc.stop()
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
    with open_arrays(path) as file:
        with pytest.raises(RefusedError, match=r"a\.npz: .*Bad CRC-32"):
            file.read("a")
        with pytest.raises(RefusedError, match=r"a\.npz: .*Bad CRC-32"):
            list(file.blocks("a", 100))
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


GOOD = npy_bytes(np.arange(12, dtype=np.float32).reshape(3, 4))


@given(
    changes=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.binary(max_size=6)), max_size=4),
    end=st.integers(0, len(GOOD)),
)
def test_any_array(tmp_path_factory: pytest.TempPathFactory, changes: Any, end: int) -> None:
    """Any bytes in an `.npy` are read as the shape that they claim, or refused."""
    data = bytearray(GOOD)
    for at, piece in changes:
        data[at : at + len(piece)] = piece
    path = tmp_path_factory.getbasetemp() / "any.npy"
    path.write_bytes(data if end % 3 else data[:end])
    try:
        with open_arrays(path) as file:
            assert file.read("").shape == file.arrays[""].shape
    except RefusedError as error:
        assert str(path) in str(error)  # noqa: PT017


def test_npy_versions_of_numpy(tmp_path: Path) -> None:
    """All versions of the header that NumPy writes are read."""
    for version in ((1, 0), (2, 0), (3, 0)):
        path = tmp_path / f"{version[0]}.npy"
        with path.open("wb") as stream:
            npy.write_array(stream, np.arange(7), version)
        with open_arrays(path) as file:
            assert file.read("").tolist() == list(range(7))
