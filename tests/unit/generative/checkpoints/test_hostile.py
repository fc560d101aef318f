"""Checkpoints that would run code, or fill the memory, are refused unread.

Every file is made here. Those that would run code would leave a canary behind; there never is one.
"""

import io
import itertools
import os
import pickle
import random
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
from sitegen.core.files import sha256
from sitegen.generative.card.card import ModelCard
from sitegen.generative.checkpoints.archive import scan
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.checkpoints.pickles import read_pickle
from sitegen.generative.untrusted.pickles import PickleError
from tests.support.making import Call, entries_of, pickled, published, refused, save, zipped


@pytest.fixture(autouse=True)
def canary(tmp_path: Path) -> Iterator[Path]:
    """The file that hostile code would make; and no test here may take long."""
    path, started = tmp_path / "canary", time.process_time()
    yield path
    assert not path.exists()
    assert time.process_time() - started < 30


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("replaced", [True, False])
def test_written_while_it_is_read(
    ending: str, replaced: bool, card: ModelCard, tmp_path: Path
) -> None:
    """A file that changes between its reads is refused, for its digest is not that of its parts."""
    path, other = tmp_path / f"model.{ending}", tmp_path / "other"
    if ending == "pth":
        torch.save(published(card), path)
    else:
        save_file({"a": torch.ones(3)}, path)
    os.utime(path, (1, 1))
    other.write_bytes(path.read_bytes())

    def change(_: object) -> dict[Any, bytearray]:
        other.replace(path) if replaced else path.write_bytes(other.read_bytes())
        return {}

    with pytest.raises(RefusedError, match="changed while it was read"):
        scan(path, change)
    assert scan(path).sha256 == sha256(path)


@pytest.mark.parametrize(
    ("function", "argument", "name"),
    [
        (os.system, "touch {}", r"(posix|os)\.system"),
        (eval, "open({!r}, 'w')", r"__builtin__\.eval|builtins\.eval"),
        (exec, "open({!r}, 'w')", r"exec"),
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
    """A call hidden in the optimizer, in the weights, or instead of them: the global is named."""
    call = Call(function, argument.format(os.fspath(canary)))
    value = published(card)
    value["optimizer"] = call
    cases = itertools.product((value, {"model": call}, call, [call]), (2, 4, 5))
    for index, (hostile, protocol) in enumerate(cases):
        path = tmp_path / f"{index}.pth"
        torch.save(hostile, path, pickle_protocol=protocol)
        refused(path, card, f"refused as unsafe: it names .*({name})")


def test_the_canary_would_sing(canary: Path) -> None:
    """The hostile pickles here do run code elsewhere; random ones raise our error or are read."""
    pickle.loads(pickle.dumps(Call(os.mkdir, os.fspath(canary)), protocol=2))
    assert canary.exists()
    canary.rmdir()
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(3), "b": [np.float64(1), "x", (1, 2.5, None, True)]}, buffer)
    with zipfile.ZipFile(buffer) as file:
        whole = next(file.read(name) for name in file.namelist() if name.endswith("data.pkl"))
    source = random.Random(0)
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(source.randint(1, 3)):
            data[source.randrange(len(data))] = source.randrange(256)
        try:
            read_pickle(bytes(data))
        except PickleError:
            refused += 1
    assert refused > 1000


def test_old_and_odd_checkpoints(card: ModelCard, tmp_path: Path, canary: Path) -> None:
    """Legacy files, bare pickles, other protocols and classes, but ordered dicts, are refused."""
    path = tmp_path / "old.pth"
    torch.save(published(card), path, _use_new_zipfile_serialization=False)
    refused(path, card, "save it again with torch.save")
    value = published(card)
    value["model"] = OrderedDict(value["model"])
    assert load_model(save(value, tmp_path / "a.pth"), card)
    value["optimizer"] = {1, 2}
    refused(save(value, tmp_path / "b.pth"), card, "names .*set")
    for protocol in [0, 1, 6]:
        data = b"\x80" + bytes([protocol]) + pickle.dumps({"model": {}}, 2)[2:]
        refused(zipped(tmp_path / "a.pth", {"a/data.pkl": data}), card, f"protocol {protocol}")
    for number in [2, 3, 4, 5]:
        for name in ("a.pth", "a.safetensors"):
            path = tmp_path / name
            path.write_bytes(pickle.dumps(Call(os.mkdir, os.fspath(canary)), protocol=number))
            refused(path, card, "a bare pickle")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "ends early|exhausted|no end|makes no sense"),
        (b"\x80\x02}", "no end"),
        (pickled(b"N", b"N", b"R"), "calls a value that is not callable"),
        (pickled(b"}", b")", b"R"), "calls a value that is not callable"),
        (pickled(b"ccollections\nOrderedDict\n", b"N", b"R"), "makes no sense"),
        (pickled(b"ctorch\nFloatStorage\n", b")", b"R"), "calls a value that is not callable"),
        (pickled(b"N", b"Q"), "not a storage"),
        (pickled(b"h\x05"), "makes no sense"),
        (pickled(b"R"), "makes no sense"),
        (pickled(b"(", b"t", b"t"), "makes no sense"),
        (pickled(b"N", b"}", b"b"), "sets the state"),
        (pickled(b"}", b")", b"N", b"s"), "odd keys"),
        (pickled(b"N", b"N", b"a"), "not a list"),
        (pickled(b"(", b"i", b"os\nsystem\n"), "INST"),
        (pickled(b"\x82\x01"), "EXT1"),
        (pickled(b"P1\n"), "PERSID"),
        (pickled(b"\x8b\xff\xff\xff\x7f"), "makes no sense|LONG4"),
        (pickled(b"cos\nsystem\n"), "names os.system"),
        (
            pickled(b"X\x02\x00\x00\x00os", b"X\x06\x00\x00\x00system", b"\x93"),
            "names os.system",
        ),
        (pickled(b"N", b"N", b"\x93"), "by a value that is not text"),
        (pickled(b"cnumpy\nndarray\n", b")", b"R"), "calls a value that is not callable"),
        (pickled(b"ctorch._utils\n_rebuild_tensor_v2\n", b")", b"R"), "makes no sense"),
    ],
)
def test_odd_pickles(data: bytes, told: str) -> None:
    """Whatever instructions a pickle has, it is refused with a reason and nothing else happens."""
    with pytest.raises(PickleError, match=told):
        read_pickle(data)


def test_nested_lists(card: ModelCard, tmp_path: Path, good: Path) -> None:
    """Lists in lists are not followed, all numbers must be there, another packing is fine."""
    data = pickled(b"]" * 100_000, b"a" * 99_999)
    refused(zipped(tmp_path / "a.pth", {"a/data.pkl": data}), card, "it holds a list, not a dict")
    loop: list[Any] = []
    loop.append(loop)
    for _ in range(50):
        loop = [loop, loop]
    value = published(card)
    value["optimizer"] = loop
    assert load_model(save(value, tmp_path / "a.pth"), card)
    entries = entries_of(good)
    del entries["good/byteorder"]
    assert load_model(zipped(tmp_path / "a.pth", {**entries, "../../x": b"x"}), card)
    assert not (tmp_path.parent.parent / "x").exists()
    bare = {name: data for name, data in entries.items() if "/data/" not in name}
    refused(zipped(tmp_path / "b.pth", bare), card, "is missing or has the wrong size")
    packed = zipped(tmp_path / "packed.pth", entries_of(good), zipfile.ZIP_DEFLATED)
    assert load_model(packed, card)


def test_zip_bombs(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """What unpacks to far more than the file, holds two pickles, twins or another order."""
    path = tmp_path / "bomb.pth"
    zipped(path, {"a/data.pkl": b"\0" * (64 << 20)}, zipfile.ZIP_DEFLATED)
    refused(path, card, r"unpack to far more than 1,\d+,\d+ bytes")
    zipped(path, {"a/data.pkl": entries_of(good)["good/data.pkl"]}, zipfile.ZIP_LZMA)
    refused(path, card, "neither stored nor deflated")
    changed = bytearray(good.read_bytes())
    central = changed.rindex(b"PK\x01\x02")
    changed[central + 24 : central + 28] = struct.pack("<I", 4_000_000_000)
    path.write_bytes(changed)
    refused(path, card, "damaged or not a checkpoint")
    entries, path = entries_of(good), tmp_path / "a.pth"
    data = entries["good/data.pkl"]
    refused(zipped(path, {**entries, "b/data.pkl": data}), card, "2 data.pkl inside")
    refused(zipped(path, {"page-1.png": b"x"}), card, "0 data.pkl inside")
    refused(zipped(path, {"a/b/data.pkl": data}), card, "data.pkl inside")
    refused(zipped(path, {**entries, "good/constants.pkl": b""}), card, "TorchScript")
    refused(zipped(path, {**entries, "good/byteorder": b"big"}), card, "big-endian")
    short = max((name for name in entries if "/data/" in name), key=lambda name: int(name[10:]))
    refused(zipped(path, {**entries, short: b"\0" * 3}), card, "has the wrong size")
    zipped(path, entries)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("good/data.pkl", data)
    refused(path, card, "twice")
