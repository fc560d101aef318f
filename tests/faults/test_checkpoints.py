"""A file that is no checkpoint costs little, and what is wrong with one is said."""

import json
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sitegen.core.errors import RefusedError
from sitegen.generative.checkpoints.archive import Numbers, Published, scan
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.limits import PART_BYTES
from sitegen.generative.checkpoints.weights import Header
from tests.support.builders import run_python
from tests.support.forked import run_forked
from tests.support.making import pickled, published, save, small_card, zipped

MB = 1 << 20
GLOBAL = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\1tQ"


def pth(folder: Path, *instructions: bytes) -> Path:
    """A `.pth` with a pickle of these instructions, stored as it is."""
    entries = {"a/data.pkl": pickled(*instructions), "a/data/0": bytes(4)}
    return zipped(folder / "a.pth", entries)


def header(folder: Path, text: str) -> Path:
    """A safetensors file with that header."""
    path, data = folder / "a.safetensors", text.encode()
    path.write_bytes(struct.pack("<Q", len(data)) + data)
    return path


def dimensions(count: int) -> bytes:
    """A tensor with so many axes of length one."""
    ones = b"(" + b"K\1" * count + b"t"
    return b"}X\5\0\0\0modelX\1\0\0\0w" + GLOBAL + b"(" + STORAGE + b"K\0" + ones * 2 + b"tRss"


def many_entries(folder: Path) -> Path:
    """A zip with very many empty entries."""
    empty = {f"a/{number}": b"" for number in range(100_000)}
    return zipped(folder / "a.pth", {**empty, "a/data.pkl": pickled(b"}")})


def hidden_entries(folder: Path) -> Path:
    """The same with a mark of an end in the last field but one of the real end."""
    path = many_entries(folder)
    data = bytearray(path.read_bytes())
    data[-6:-2] = b"PK\5\6"
    path.write_bytes(data)
    return path


def doubled_type(folder: Path) -> Path:
    """A pickle of a few bytes that asks for a type by a tuple which is a tree of 2⁶⁰ leaves."""
    tree = b")q\0" + b"h\0h\0\x86q\0" * 60
    return pth(folder, tree, b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nh\0\x85RC\1a\x86R")


def computed() -> float:
    """Seconds of computing of this process and those that it started, so far."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))


def most_memory() -> int:
    """The most bytes that this process or one that it started has held, so far."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return 1024 * max(resource.getrusage(each).ru_maxrss for each in who)


def encoded(count: int) -> bytes:
    """A long text that is turned into bytes many times."""
    text = b"X" + struct.pack("<I", 6 * MB) + b"x" * (6 * MB)
    return text + b"\x85q\0" + b"]q\1(" + b"c_codecs\nencode\nq\2h\0R" + b"h\2h\0R" * count + b"e"


def spread(count: int) -> bytes:
    """A long text that is given as the arguments of many calls, a character each."""
    text = b"X" + struct.pack("<I", 6 * MB) + b"x" * (6 * MB)
    call = b"ctorch._utils\n_rebuild_parameter\n"
    return text + b"q\0]q\1(" + call + b"q\2h\0R" + b"h\2h\0R" * count + b"e"


def colliding(count: int) -> bytes:
    """A dict with keys that are different numbers with the same hash."""
    keys = ((1 + n * ((1 << 61) - 1)).to_bytes(12, "little") for n in range(count))
    return b"}(" + b"".join(b"\x8a\x0c" + key + b"N" for key in keys) + b"u"


def long_schedule(folder: Path) -> Path:
    """A blur schedule of far more numbers than a process has levels."""
    values = {"values": torch.zeros(32 * MB, dtype=torch.float64)}
    weights = {"out.2.weight": torch.zeros(1)}
    return save({"ema_state_dict": weights, "schedule": values}, folder / "a.pth")


def long_byte_order(folder: Path) -> Path:
    """A zip with a very long name of the byte order."""
    entries = {"a/data.pkl": pickled(b"}"), "a/byteorder": bytes(512 * MB)}
    return zipped(folder / "a.pth", entries)


HOSTILE: dict[str, Callable[[Path], Path]] = {
    "operations": lambda folder: pth(folder, b"N0" * (4 * MB)),
    "numbers": lambda folder: pth(folder, b"]", b"(", b"K\1" * (4 * MB), b"e"),
    "63 MB": lambda folder: pth(folder, b"]", b"(", b"N" * (63 * MB), b"e"),
    "memo": lambda folder: pth(
        folder, b"N", *(b"r" + struct.pack("<I", n) for n in range(1_500_000))
    ),
    "nesting": lambda folder: pth(folder, b"]" * MB, b"a" * (MB - 1)),
    "marks": lambda folder: pth(folder, b"(" * (8 * MB), b"t" * (8 * MB)),
    "tuples": lambda folder: pth(folder, b")", b"\x85" * MB),
    "20,000 dimensions": lambda folder: pth(folder, dimensions(20_000)),
    "1,000,000 dimensions": lambda folder: pth(folder, dimensions(1_000_000)),
    "text as bytes": lambda folder: pth(folder, encoded(60_000)),
    "text as arguments": lambda folder: pth(folder, spread(60_000)),
    "keys of one hash": lambda folder: pth(folder, colliding(100_000)),
    "schedule": long_schedule,
    "byte order": long_byte_order,
    "entries": many_entries,
    "entries behind another end": hidden_entries,
    "type of a tree": doubled_type,
    "header of lists": lambda folder: header(folder, "[" + "[]," * (30 * MB) + "[]]"),
    "header of nests": lambda folder: header(folder, "[" * MB + "]" * MB),
    "header of keys": lambda folder: header(
        folder, "{" + ",".join(f'"{n}":{{}}' for n in range(3 * MB)) + "}"
    ),
    "header of axes": lambda folder: header(
        folder,
        json.dumps({"w": {"dtype": "F32", "shape": [1] * 1_000_000 + [0], "data_offsets": [0, 0]}}),
    ),
}
AT_ONCE = {"entries behind another end": "far too many files", "type of a tree": "odd type"}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_checkpoint_costs_little(tmp_path: Path, name: str) -> None:
    """Whatever a file claims, it is refused within 3 s and 400 MB more than itself.

    What can be seen at once is told at once: no limit ends it.
    """
    path = HOSTILE[name](tmp_path)
    before, started = most_memory(), computed()
    with pytest.raises(RefusedError, match=AT_ONCE.get(name)):
        scan(path)
    assert computed() - started < 3
    assert most_memory() - before < 400 * MB + path.stat().st_size


def test_a_large_tensor_takes_no_memory(tmp_path: Path) -> None:
    """Safetensors are looked at part by part, and what is wrong in the last one is seen."""
    path, count = tmp_path / "a.safetensors", 300 * MB
    table = {"w": {"dtype": "F16", "shape": [count], "data_offsets": [0, 2 * count]}}
    text = json.dumps(table).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.seek(2 * count - 2, 1)
        file.write(b"\0\x7c")  # infinity
    before = most_memory()
    found = scan(path)
    assert isinstance(found.contents, Header)
    assert found.broken == {*found.contents.entries.values()}
    assert most_memory() - before < 200 * MB


def test_numbers_that_are_no_floats(tmp_path: Path) -> None:
    """Whole numbers beyond all floats in the average or the schedule are refused in words."""
    value = published(small_card())
    value["ema"]["decay"] = 1 << 1100
    with pytest.raises(RefusedError, match="decay"):
        scan(save(value, tmp_path / "a.pth"))
    weights = {"out.2.weight": torch.zeros(1)}
    schedule = {"values": [0.5, 1 << 1100]}
    with pytest.raises(RefusedError, match="schedule"):
        scan(save({"ema_state_dict": weights, "schedule": schedule}, tmp_path / "b.pth"))


def test_inspect_says_what_is_wrong(tmp_path: Path) -> None:
    """Numbers that are not finite, no tensors, or absurdly many: told, and exit 3."""
    weights = {"a": torch.ones(3), "b": torch.tensor([1.0, float("nan")])}
    save_file(weights, tmp_path / "nan.safetensors")
    weights["b"][1] = float("inf")
    torch.save(weights, tmp_path / "inf.pth")
    save_file({}, tmp_path / "none.safetensors")
    ends = torch.tensor([0x7F, 0], dtype=torch.uint8)
    save_file({"a": ends.view(torch.float8_e4m3fn)}, tmp_path / "eight.safetensors")
    imaginary = torch.tensor([1, complex(0, float("nan"))])
    save_file({"a": imaginary}, tmp_path / "complex.safetensors")
    save_file({"a": torch.ones(3).to(torch.float8_e5m2)}, tmp_path / "small.safetensors")
    save_file({"a": torch.zeros(0)}, tmp_path / "empty.safetensors")
    shared = torch.ones(1000, 1000)
    torch.save({f"w{n}": shared for n in range(200)}, tmp_path / "huge.pth")
    for name, told in {
        "nan.safetensors": "b holds numbers that are not finite",
        "inf.pth": "b holds numbers that are not finite",
        "none.safetensors": "holds no tensors",
        "empty.safetensors": "its tensors hold no numbers",
        "eight.safetensors": "a holds numbers that are not finite",
        "complex.safetensors": "a holds numbers that are not finite",
        "small.safetensors": "a holds F8_E5M2, which no network can be loaded from",
        "huge.pth": "200,000,000 parameters, which its",
    }.items():
        done = run_forked(tmp_path, "inspect", name)
        assert (done.returncode, "Traceback" in done.stderr) == (3, False), done
        assert told in done.stderr
    assert inspect_checkpoint(save(published(small_card()), tmp_path / "good.pth")).problems == ()


def overlapping(folder: Path) -> Path:
    """Thousands of tensors that share most of their numbers, one of which is not finite."""
    shared = torch.zeros(4 * MB)
    shared[2 * MB] = torch.nan
    return save({f"w{n}": shared[n : n + 4 * MB - 5000] for n in range(5000)}, folder / "a.pth")


def test_tensors_that_share_numbers(tmp_path: Path) -> None:
    """Numbers that thousands of tensors share are looked at once; all that share them are named."""
    path, started = overlapping(tmp_path), computed()
    found = scan(path)
    assert isinstance(found.contents, Published)
    assert found.broken == {*found.contents.tensors}
    assert computed() - started < 4
    shared = torch.zeros(3 * PART_BYTES // 4)
    shared[-7] = torch.inf
    parts = {"start": shared[:9], "end": shared[-9:], "after": shared[-6:], "all": shared}
    found = scan(save({**parts, "half": shared[-7:].half()}, tmp_path / "b.pth"))
    assert isinstance(found.contents, Published)
    names = {name for name, each in found.contents.weights.items() if each in found.broken}
    assert names == {"start", "end", "after", "all", "half"}


def test_a_large_checkpoint_takes_little_memory(tmp_path: Path) -> None:
    """A `.pth` of 400 MB is verified with 150 MB of memory."""
    path = save({"w": torch.zeros(100 * MB)}, tmp_path / "a.pth")
    done = run_python("-c", f"{TIGHT}print(scan(Path({str(path)!r})).bytes)")
    assert done.stdout.strip() == str(path.stat().st_size), done.stderr


TIGHT = f"""
import resource, numpy
from pathlib import Path
from sitegen.generative.checkpoints.archive import scan
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + {150 * MB},) * 2)
"""


def test_reading_costs_little(tmp_path: Path) -> None:
    """A checkpoint of 50 MB is read with its numbers within 3 s, and gives what torch does."""
    wanted = {f"w{n}": torch.randn(1024, 1024) for n in range(12)}
    path = save(wanted, tmp_path / "a.pth")
    numbers: Numbers = {}

    def select(contents: Published | Header) -> Numbers:
        assert isinstance(contents, Published)
        numbers.update({tensor: bytearray() for tensor in contents.tensors})
        return numbers

    started = computed()
    contents = scan(path, select).contents
    assert computed() - started < 3
    assert isinstance(contents, Published)
    for name, tensor in contents.weights.items():
        found = torch.frombuffer(numbers[tensor], dtype=torch.float32).view(tensor.shape)
        assert torch.equal(found, wanted[name])
