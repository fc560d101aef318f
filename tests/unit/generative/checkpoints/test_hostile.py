"""Checkpoints that would run code, or fill the memory, are refused unread.

Every file is made here. Those that would run code would leave a canary behind; there never is one.
"""

import io
import itertools
import json
import os
import pickle
import resource
import struct
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.checkpoints.archive import open_checkpoint
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import load_model
from tests.support.making import (
    Call,
    entries_of,
    pickled,
    published,
    refused,
    save,
    small_card,
    zipped,
)

MB = 1 << 20
GLOBAL = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\1tQ"


@pytest.fixture(autouse=True)
def canary(tmp_path: Path) -> Iterator[Path]:
    """The file that hostile code would make; and no test here may take long."""
    path, started = tmp_path / "canary", time.process_time()
    yield path
    assert not path.exists()
    assert time.process_time() - started < 30


def pth(folder: Path, *instructions: bytes) -> Path:
    """A `.pth` with a pickle of these instructions, stored as it is."""
    entries = {"a/data.pkl": pickled(*instructions), "a/data/0": bytes(4), "a/version": b"3"}
    return zipped(folder / "a.pth", entries)


@pytest.mark.parametrize(
    ("function", "argument", "name"),
    [
        (os.system, "touch {}", r"(posix|os)\.system"),
        (eval, "open({!r}, 'w')", r"__builtin__\.eval"),
        (Path.touch, "{}", "getattr|pathlib"),
        (io.FileIO, "{}", "FileIO"),
        (torch.load, "{}", r"torch\.serialization\.load"),
        (np.load, "{}", "numpy"),
        (bytearray, "{}", "bytearray"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_code_is_never_run(
    function: Callable[..., Any],
    argument: str,
    name: str,
    card: ModelCard,
    canary: Path,
    tmp_path: Path,
) -> None:
    """A call hidden in the optimizer, in the weights, or instead of them is refused by its name."""
    call = Call(function, argument.format(os.fspath(canary)))
    value = published(card) | {"optimizer": call}
    for index, hostile in enumerate((value, {"model": call}, call, [call])):
        path = save(hostile, tmp_path / f"{index}.pth")
        refused(path, card, f"refused as unsafe: it names .*({name}).*record its samples")
    for protocol in (3, 4, 5):
        torch.save(value, path, pickle_protocol=protocol)
        refused(path, card, f"pickle protocol {protocol}")


def test_old_and_odd_checkpoints(card: ModelCard, tmp_path: Path, canary: Path) -> None:
    """Legacy files and bare pickles are refused; ordered dicts and sets of options are read."""
    path = tmp_path / "old.pth"
    torch.save(published(card), path, _use_new_zipfile_serialization=False)
    refused(path, card, "save it again with a newer PyTorch")
    value = published(card)
    value["model"] = OrderedDict(value["model"])
    assert load_model(save(value, tmp_path / "a.pth"), card)
    for number, name in itertools.product((2, 5), ("a.pth", "a.safetensors")):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(Call(os.mkdir, os.fspath(canary)), protocol=number))
        refused(path, card, "a bare pickle.*record its samples.* or write a sampler class")


def test_odd_zips(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """Bombs, several pickles, twins, programs and missing or short numbers are refused."""
    path, entries = tmp_path / "a.pth", entries_of(good)
    data = entries["good/data.pkl"]
    zipped(path, {"a/data.pkl": b"\0" * (64 << 20)}, zipfile.ZIP_DEFLATED)
    refused(path, card, "unpack to far more than its")
    refused(zipped(path, {"a/data.pkl": data}, zipfile.ZIP_LZMA), card, "neither stored nor def")
    refused(zipped(path, entries, zipfile.ZIP_DEFLATED), card, "compressed, which torch.save never")
    changed = bytearray(good.read_bytes())
    central = changed.rindex(b"PK\x01\x02")
    changed[central + 24 : central + 28] = struct.pack("<I", 4_000_000_000)
    path.write_bytes(changed)
    refused(path, card, "damaged or not a checkpoint")
    refused(zipped(path, {**entries, "b/data.pkl": data}), card, "2 data.pkl inside")
    refused(zipped(path, {"page-1.png": b"x"}), card, "0 data.pkl inside")
    refused(zipped(path, {**entries, "good/constants.pkl": b""}), card, "TorchScript")
    bare = {name: data for name, data in entries.items() if "/data/" not in name}
    refused(zipped(path, bare), card, "damaged or not a checkpoint")
    zipped(path, entries)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("good/data.pkl", data)
    refused(path, card, "twice")


def safetensors(folder: Path, text: str) -> Path:
    """A safetensors file with that header."""
    path, data = folder / "a.safetensors", text.encode()
    path.write_bytes(struct.pack("<Q", len(data)) + data)
    return path


def dimensions(count: int) -> bytes:
    """A tensor with so many axes of length one."""
    ones = b"(" + b"K\1" * count + b"t"
    return b"}X\5\0\0\0modelX\1\0\0\0w" + GLOBAL + b"(" + STORAGE + b"K\0" + ones * 2 + b"tRss"


def many_entries(folder: Path, mark: bytes = b"") -> Path:
    """A zip with very many empty entries; `mark` replaces the last field but one of its end."""
    empty = {f"a/{number:0500}": b"" for number in range(8_000)}
    path = zipped(folder / "a.pth", {**empty, "a/data.pkl": pickled(b"}")})
    data = bytearray(path.read_bytes())
    data[len(data) - 2 - len(mark) : -2] = mark
    path.write_bytes(data)
    return path


def repeated(call: bytes, argument: bytes, count: int) -> bytes:
    """A list of calls with a long text."""
    text = b"X" + struct.pack("<I", 6 * MB) + b"x" * (6 * MB) + argument + b"q\0"
    return text + b"]q\1(" + call + b"q\2h\0R" + b"h\2h\0R" * count + b"e"


def encoded(text: str, *codecs: str) -> bytes:
    """A text that is encoded again and again."""
    texts = [b"X" + struct.pack("<I", len(t := item.encode())) + t for item in (text, *codecs)]
    return (
        b"c_codecs\nencode\n" * len(codecs) + texts[0] + b"".join(t + b"\x86R" for t in texts[1:])
    )


def colliding(count: int) -> bytes:
    """A dict with keys that are different numbers with the same hash."""
    keys = ((1 + n * ((1 << 61) - 1)).to_bytes(12, "little") for n in range(count))
    return b"}(" + b"".join(b"\x8a\x0c" + key + b"N" for key in keys) + b"u"


def sparse(folder: Path) -> Path:
    """A file of 400 GB with one tensor, of which the disk has one block."""
    size = 10**11
    table = {"w": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}}
    path = safetensors(folder, json.dumps(table))
    os.truncate(path, path.stat().st_size + 4 * size)
    return path


HOSTILE: dict[str, Callable[[Path], Path]] = {
    "operations": lambda folder: pth(folder, b"N" * (4 * MB)),
    "numbers": lambda folder: pth(folder, b"]", b"(", b"K\1" * (3 * MB), b"e"),
    "63 MB": lambda folder: pth(folder, b"]", b"(", b"N" * (63 * MB), b"e"),
    "memo": lambda folder: pth(
        folder, b"N", *(b"r" + struct.pack("<I", n) for n in range(1_500_000))
    ),
    "nesting": lambda folder: pth(folder, b"]" * MB, b"a" * (MB - 1)),
    "marks": lambda folder: pth(folder, b"(" * (4 * MB), b"t" * (4 * MB)),
    "tuples": lambda folder: pth(folder, b")", b"\x85" * MB),
    "20,000 dimensions": lambda folder: pth(folder, dimensions(20_000)),
    "text as bytes": lambda folder: pth(folder, repeated(b"c_codecs\nencode\n", b"\x85", 60_000)),
    "text as arguments": lambda folder: pth(
        folder, repeated(b"ctorch._utils\n_rebuild_parameter\n", b"", 60_000)
    ),
    "text of texts": lambda folder: pth(folder, encoded("a" * 4096, "latin1", *["Hex_"] * 18)),
    "slow encoding": lambda folder: pth(
        folder, encoded("".join(map(chr, range(0x4E00, 0x6E00))), "punycode")
    ),
    "keys of one hash": lambda folder: pth(folder, colliding(100_000)),
    "tree as a key": lambda folder: pth(folder, b"}K\1\x85q\0" + b"h\0h\0\x86q\0" * 60 + b"Ns"),
    "tree as a type": lambda folder: pth(
        folder, b"K\1\x85q\0", b"h\0h\0\x86q\0" * 20, b"cnumpy\ndtype\nh\0\x85RN\x86R"
    ),
    "long lists as arguments": lambda folder: pth(
        folder,
        b"](" + b"ccollections\nOrderedDict\n](" + b"K\1K\1\x86" * 50_000 + b"eq\0\x85q\2R",
        b"ccollections\nOrderedDict\nh\2R" * 50_000,
        b"e",
    ),
    "schedule": lambda folder: save(
        {"ema_state_dict": {"w": torch.zeros(1)}, "schedule": {"values": torch.zeros(MB)}},
        folder / "a.pth",
    ),
    "entries": many_entries,
    "entries behind another end": lambda folder: many_entries(folder, b"PK\5\6"),
    "expanded": lambda folder: save(
        {"model": {"w": torch.zeros(1).expand(10**6, 10**6)}, "x": 1}, folder / "a.pth"
    ),
    "sparse": sparse,
    "header of lists": lambda folder: safetensors(folder, "[" + "[]," * (30 * MB) + "[]]"),
    "header of nests": lambda folder: safetensors(folder, "[" * MB + "]" * MB),
    "header of keys": lambda folder: safetensors(
        folder, "{" + ",".join(f'"{n}":{{}}' for n in range(3 * MB)) + "}"
    ),
    "header of axes": lambda folder: safetensors(
        folder,
        json.dumps({"w": {"dtype": "F32", "shape": [1] * 1_000_000 + [0], "data_offsets": [0, 0]}}),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_checkpoint_costs_much(tmp_path: Path, name: str) -> None:
    """Whatever a file claims, it is refused within 3 s and 400 MB more than itself."""
    path = HOSTILE[name](tmp_path)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(RefusedError):
        load_model(path, small_card())
    assert time.process_time() - started < 3
    size = min(path.stat().st_size, 1 << 30)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert 1024 * used < 400 * MB + size


def test_inspect_says_what_is_wrong(tmp_path: Path) -> None:
    """No tensors, odd types, or absurdly many numbers are problems of a file."""
    save_file({}, tmp_path / "none.safetensors")
    save_file({"a": torch.ones(3).to(torch.float8_e5m2)}, tmp_path / "small.safetensors")
    save_file({"a": torch.zeros(0)}, tmp_path / "empty.safetensors")
    shared = torch.ones(1000, 1000)
    torch.save({f"w{n}": shared for n in range(200)}, tmp_path / "huge.pth")
    for name, problem in {
        "none.safetensors": "holds no tensors",
        "empty.safetensors": "its tensors hold no numbers",
        "small.safetensors": "a holds float8_e5m2, which no network can be loaded from",
        "huge.pth": "200,000,000 parameters, which its",
    }.items():
        assert problem in inspect_checkpoint(tmp_path / name).problems[0]
    assert inspect_checkpoint(save(published(small_card()), tmp_path / "good.pth")).problems == ()


def test_numbers_that_are_no_floats(tmp_path: Path) -> None:
    """Whole numbers beyond all floats in the schedule are refused."""
    schedule = {"values": [0.5, 1 << 1100]}
    value = {"ema_state_dict": {"out.2.weight": torch.zeros(1)}, "schedule": schedule}
    with pytest.raises(RefusedError, match="schedule"):
        open_checkpoint(save(value, tmp_path / "b.pth"))


def test_inspecting_reads_no_numbers(tmp_path: Path) -> None:
    """A `.pth` of 120 MB is opened with little memory, and its numbers are those of torch."""
    path = save({f"w{n}": torch.full((15 * MB,), float(n)) for n in range(2)}, tmp_path / "a.pth")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    checkpoint = open_checkpoint(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert (checkpoint.bytes, checkpoint.weights["w1"][7].item()) == (path.stat().st_size, 1)
