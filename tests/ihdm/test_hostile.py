"""Files that are damaged, hostile or meant for something else are refused, quickly and for good.

Every file is made here. Those that would run code would leave a canary behind; there never is one.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors

from sitegen.errors import RefusedError
from sitegen.ihdm.card import FileRef, ModelCard
from sitegen.ihdm.checkpoint import inspect_checkpoint, load_model, read_weights, save_weights
from sitegen.ihdm.inputs import sha256
from sitegen.ihdm.pickles import read_pickle
from sitegen.ihdm.stored import ForbiddenError, PickleError
from tests.ihdm.making import published, random_unet, rezip, save, small_card


@pytest.fixture
def card() -> ModelCard:
    """The smallest network."""
    return small_card()


@pytest.fixture
def good(card: ModelCard, tmp_path: Path) -> Path:
    """A checkpoint of it, in order."""
    return save(published(card), tmp_path / "good.pth")


@pytest.fixture(autouse=True)
def canary(tmp_path: Path) -> Iterator[Path]:
    """The file that hostile code would make; and no test here may take long."""
    path, started = tmp_path / "canary", time.process_time()
    yield path
    assert not path.exists()
    assert time.process_time() - started < 5


def _refused(path: Path, card: ModelCard, told: str) -> None:
    """Loading and inspecting both refuse."""
    with pytest.raises(RefusedError, match=told) as caught:
        load_model(path, card)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 2000
    with pytest.raises(RefusedError):
        inspect_checkpoint(path)


def _zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


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
    ids=str,
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
    call = _Call(function, argument.format(os.fspath(canary)))
    value = published(card)
    value["optimizer"] = call
    for index, hostile in enumerate((value, {"model": call}, call, [call])):
        path = tmp_path / f"{index}.pth"
        torch.save(hostile, path)
        _refused(path, card, f"refused as unsafe: it asks for .*({name})")


def test_the_canary_would_sing(canary: Path) -> None:
    """The hostile pickles of these tests do run code where code is run."""
    pickle.loads(pickle.dumps(_Call(os.system, f"touch {canary}"), protocol=2))
    assert canary.exists()
    canary.unlink()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bare_pickles(protocol: int, card: ModelCard, canary: Path, tmp_path: Path) -> None:
    """A pickle without a zip around, whatever its name, is not even looked into."""
    for name in ("a.pth", "a.safetensors"):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(_Call(os.system, f"touch {canary}"), protocol=protocol))
        _refused(path, card, "a bare pickle")


def test_legacy_checkpoint(card: ModelCard, tmp_path: Path) -> None:
    """What torch.save wrote before version 1.6 is refused with a hint."""
    path = tmp_path / "old.pth"
    torch.save(published(card), path, _use_new_zipfile_serialization=False)
    _refused(path, card, "save it again with torch.save")


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_protocols(protocol: int, card: ModelCard, tmp_path: Path) -> None:
    """Newer pickles in a zip are refused: torch.save does not write them."""
    path = _zip(tmp_path / "a.pth", {"a/data.pkl": pickle.dumps({"model": {}}, protocol)})
    _refused(path, card, f"protocol {protocol}")


def _pickled(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "ends early|exhausted|no end|makes no sense"),
        (b"\x80\x02}", "makes no sense"),
        (_pickled(b"N", b"N", b"R"), "calls what cannot be called"),
        (_pickled(b"}", b")", b"R"), "calls what cannot be called"),
        (_pickled(b"ccollections\nOrderedDict\n", b"N", b"R"), "makes no sense"),
        (_pickled(b"ctorch\nFloatStorage\n", b")", b"R"), "calls what cannot be called"),
        (_pickled(b"N", b"Q"), "not a storage"),
        (_pickled(b"h\x05"), "makes no sense"),
        (_pickled(b"R"), "makes no sense"),
        (_pickled(b"(", b"t", b"t"), "makes no sense"),
        (_pickled(b"N", b"}", b"b"), "sets the state"),
        (_pickled(b"}", b")", b"N", b"s"), "odd keys"),
        (_pickled(b"N", b"N", b"a"), "not a list"),
        (_pickled(b"(", b"i", b"os\nsystem\n"), "INST"),
        (_pickled(b"\x82\x01"), "EXT1"),
        (_pickled(b"P1\n"), "PERSID"),
        (_pickled(b"\x8b\xff\xff\xff\x7f"), "makes no sense|LONG4"),
        (_pickled(b"cos\nsystem\n"), "asks for os.system"),
        (_pickled(b"X\x02\x00\x00\x00os", b"X\x06\x00\x00\x00system", b"\x93"), "STACK_GLOBAL"),
        (_pickled(b"ctorch._utils\n_rebuild_tensor_v2\n", b")", b"R"), "makes no sense"),
    ],
)
def test_odd_pickles(data: bytes, told: str) -> None:
    """Whatever instructions a pickle has, it is refused with a reason and nothing else happens."""
    with pytest.raises(PickleError, match=told):
        read_pickle(data)


def test_random_pickles() -> None:
    """Random changes to a real pickle raise the reader's own error, or give a value."""
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


def test_nested_lists(card: ModelCard, tmp_path: Path) -> None:
    """A hundred thousand lists inside each other neither overflow nor take long."""
    data = _pickled(b"]" * 100_000, b"a" * 99_999)
    _refused(_zip(tmp_path / "a.pth", {"a/data.pkl": data}), card, "it holds a list, not a dict")


def test_a_list_in_itself(card: ModelCard, tmp_path: Path) -> None:
    """A list that holds itself, and many that share each other, are not followed."""
    loop: list[Any] = []
    loop.append(loop)
    for _ in range(50):
        loop = [loop, loop]
    value = published(card)
    value["optimizer"] = loop
    assert load_model(save(value, tmp_path / "a.pth"), card)


def _entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_odd_zips(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """Two pickles, an entry twice, a program, a big-endian file, a comic book."""
    entries, path = _entries(good), tmp_path / "a.pth"
    data = entries["good/data.pkl"]
    _refused(_zip(path, {**entries, "b/data.pkl": data}), card, "2 data.pkl inside")
    _refused(_zip(path, {"page-1.png": b"x"}), card, "0 data.pkl inside")
    _refused(_zip(path, {"a/b/data.pkl": data}), card, "data.pkl inside")
    _refused(_zip(path, {**entries, "good/constants.pkl": b""}), card, "TorchScript")
    _refused(_zip(path, {**entries, "good/byteorder": b"big"}), card, "big-endian")
    short = max((name for name in entries if "/data/" in name), key=lambda name: int(name[10:]))
    _refused(_zip(path, {**entries, short: b"\0" * 3}), card, "not of the size told")
    _zip(path, entries)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("good/data.pkl", data)
    _refused(path, card, "twice")


def test_missing_entries(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """Each tensor's numbers must be there; older files lack the byte order; `../../x` is inert."""
    entries = _entries(good)
    del entries["good/byteorder"]
    assert load_model(_zip(tmp_path / "a.pth", {**entries, "../../x": b"x"}), card)
    assert not (tmp_path.parent.parent / "x").exists()
    bare = {name: data for name, data in entries.items() if "/data/" not in name}
    _refused(_zip(tmp_path / "b.pth", bare), card, "is missing or not of the size told")


def test_zip_bombs(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """Entries that unpack to far more than the file, or claim to, are refused unread."""
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", b"\0" * (64 << 20))
    _refused(path, card, "unpack to far more than its size")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a/data.pkl", _entries(good)["good/data.pkl"])
    _refused(path, card, "packed in a way")
    data = bytearray(good.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 4_000_000_000)
    path.write_bytes(data)
    _refused(path, card, "damaged or not a checkpoint")


def test_packed_zip_is_fine(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """A checkpoint that someone packed again, compressed, loads."""
    path = tmp_path / "packed.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in _entries(good).items():
            file.writestr(name, data)
    assert load_model(path, card)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda t: torch.zeros(1).expand(t.shape), "is not contiguous: strides"),
        (lambda t: t.flip(0).as_strided(t.shape, (1, *t.stride()[1:])), "is not contiguous"),
        (lambda t: t.double(), "holds Double, not floats"),
        (lambda t: t.int(), "holds Int, not floats"),
        (lambda t: t * torch.nan, "numbers that are not finite"),
        (lambda t: t / 0, "numbers that are not finite"),
        (lambda t: t.to_sparse(), "refused as unsafe: it asks for .*sparse"),
        (lambda t: t.mT.contiguous().mT, "is not contiguous"),
        (lambda t: torch.zeros(0), "ema: these weights do not fit"),
        (lambda t: t.T.contiguous(), "time_embed.0.weight is 32×128, the network has 128×32"),
    ],
)
def test_odd_tensors(
    make: Callable[[torch.Tensor], torch.Tensor], told: str, card: ModelCard, tmp_path: Path
) -> None:
    """A tensor that repeats numbers, or has another type, shape or values, is refused."""
    value = published(card)
    averages = value["ema"]["shadow_params"]
    averages[0] = make(averages[0].detach() + 1)
    with pytest.raises(RefusedError, match=told):
        load_model(save(value, tmp_path / "a.pth"), card)


def test_huge_tensors(card: ModelCard, tmp_path: Path) -> None:
    """A tensor of 10^12 numbers over a storage of one takes no memory."""
    value = published(card)
    value["ema"]["shadow_params"][0] = torch.zeros(1).expand(10**6, 10**6)
    _refused(save(value, tmp_path / "a.pth"), card, "is not contiguous")
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n" + b"((X\x07\x00\x00\x00storagectorch\n"
    tensor += b"FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00"
    for count, told in (
        (b"\x8a\x06" + (10**12).to_bytes(6, "little"), "larger than its storage"),
        (b"\x8a\x20" + (2**250).to_bytes(32, "little"), "not a storage and numbers"),
        (b"J\xff\xff\xff\xff", "not a storage and numbers"),
    ):
        data = _pickled(b"}X\x05\x00\x00\x00model}X\x01\x00\x00\x00w", tensor)
        data = data[:-1] + count + b"\x85K\x01\x85\x89NtR" + b"ss."
        _refused(_zip(tmp_path / "b.pth", {"a/data.pkl": data, "a/data/0": b"\0" * 4}), card, told)


def test_wrong_architecture(good: Path, tmp_path: Path) -> None:
    """The first five differences are named, the rest counted, and what the file looks like."""
    with pytest.raises(RefusedError) as caught:
        load_model(good, small_card(model_channels=64))
    lines = str(caught.value).splitlines()
    assert lines[1] == "  time_embed.0.weight is 128×32, the network has 256×64"
    assert len(lines) == 8
    assert lines[6].endswith(" more")
    assert "looks like channels 1, model_channels 32, channel_mult [1]" in lines[7]
    weights = random_unet(small_card()).state_dict()
    weights["extra"] = weights.pop("out.2.bias")
    path = save(weights, tmp_path / "b.pth")
    with pytest.raises(RefusedError) as caught:
        load_model(path, small_card())
    assert str(caught.value).splitlines()[1:] == [
        "  out.2.bias 1 is missing",
        "  extra is not in the network",
    ]


def _drop(value: dict[str, Any]) -> None:
    value["ema"]["shadow_params"].pop()


def _add(value: dict[str, Any]) -> None:
    value["ema"]["shadow_params"].append(torch.zeros(1))


def _swap(value: dict[str, Any]) -> None:
    averages = value["ema"]["shadow_params"]
    averages[0], averages[1] = averages[1], averages[0]


def _reorder(value: dict[str, Any]) -> None:
    value["model"] = dict(reversed(value["model"].items()))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_drop, r"its ema has \d+ tensors, the network has"),
        (_add, r"its ema has \d+ tensors, the network has"),
        (_swap, "ema: these weights .*\n  time_embed.0.weight is 128, the network has 128×32"),
        (_reorder, "stand in another order"),
        (lambda value: value.pop("ema"), "has no averaged weights"),
        (lambda value: value.update(ema=None), "has no averaged weights"),
        (lambda value: value.update(ema=3), "no list shadow_params"),
        (lambda value: value.update(ema={}), "no list shadow_params"),
        (lambda value: value["ema"].update(shadow_params=[1]), "not a tensor"),
        (lambda value: value.pop("model"), "it holds optimizer, step, ema"),
        (lambda value: value.update(model={}), "a published checkpoint has model and ema"),
        (lambda value: value["model"].update(x=1), "x in its model is not a tensor"),
        (lambda value: value["model"].update({3: torch.zeros(1)}), "3 in its model is not"),
    ],
)
def test_odd_contents(
    change: Callable[[dict[str, Any]], object], told: str, card: ModelCard, tmp_path: Path
) -> None:
    """Averages that do not match by number, place or shape; parts that are missing or odd."""
    value = published(card)
    change(value)
    with pytest.raises(RefusedError, match=told):
        load_model(save(value, tmp_path / "a.pth"), card)


def test_single_bits_of_a_checkpoint(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """A bit that flips is noticed, or it was one that nothing is read from."""
    wanted, data = read_weights(good, card), good.read_bytes()
    source, path, refused = random.Random(1), tmp_path / "flipped.pth", 0
    for _ in range(60):
        flipped = bytearray(data)
        flipped[source.randrange(len(data))] ^= 1 << source.randrange(8)
        path.write_bytes(flipped)
        try:
            found = read_weights(path, card)
        except RefusedError:
            refused += 1
        else:
            assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert refused >= 50


def test_single_bits_of_pinned_files(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """No flipped bit passes when the card pins the file: our weights, and published ones."""
    ours = tmp_path / "weights.safetensors"
    save_weights(ours, random_unet(card).state_dict(), torch.float16)
    source = random.Random(2)
    for original in (ours, good):
        data, path = original.read_bytes(), tmp_path / "flipped"
        pinned = replace(card, weights=FileRef(original.name, sha256(original)))
        assert read_weights(original, pinned)
        for _ in range(40):
            flipped = bytearray(data)
            flipped[source.randrange(len(data))] ^= 1 << source.randrange(8)
            path.write_bytes(flipped)
            with pytest.raises(RefusedError):
                read_weights(path, pinned)


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_truncations(kind: str, good: Path, card: ModelCard, tmp_path: Path) -> None:
    """No matter where a file ends, it is refused."""
    path = tmp_path / "cut"
    if kind == "safetensors":
        good = tmp_path / "weights.safetensors"
        save_weights(good, random_unet(card).state_dict(), torch.float16)
    data = good.read_bytes()
    for length in [0, 1, 3, 7, 8, 9, 30, *range(100, len(data), len(data) // 40), len(data) - 1]:
        path.write_bytes(data[:length])
        _refused(path, card, "damaged|empty")


def _header(text: bytes, numbers: bytes = b"\0" * 8, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


_ONE = b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (_header(b"{" + _ONE + b"}"), "do not fit the card's network"),
        (_header(b"{" + _ONE + b"}", b"\0" * 9), "damaged"),
        (_header(b"{" + _ONE + b"}", b"\0" * 7), "damaged"),
        (_header(b"{" + _ONE + b"," + _ONE + b"}"), "holds a name twice"),
        (_header(b"{" + _ONE + b"," + _ONE.replace(b"a", b"b") + b"}"), "damaged"),
        (_header(b"{" + _ONE.replace(b"[2]", b"[1099511627776,1099511627776]") + b"}"), "damaged"),
        (_header(b"{" + _ONE.replace(b"[2]", b"[-2]") + b"}"), "damaged"),
        (_header(b"{" + _ONE.replace(b"F32", b"F33") + b"}"), "damaged"),
        (_header(b"{" + _ONE.replace(b"[0,8]", b"[8,16]") + b"}", b"\0" * 16), "damaged"),
        (_header(b"{" + b"[" * 5000), "damaged"),
        (_header(b"{}", b"", 2**63), "damaged or not a checkpoint"),
        (_header(b"{\xff}", b""), "damaged"),
        (b"\0" * 64, "neither a .pth nor safetensors"),
        (b"PK\x03\x04" + b"\0" * 64, "damaged"),
        (b"PK\x05\x06" + b"\0" * 18, "neither a .pth nor safetensors"),
        (b"<!doctype html>" * 9, "neither a .pth nor safetensors"),
        (b"x", "neither a .pth nor safetensors"),
    ],
)
def test_odd_bytes(data: bytes, told: str, card: ModelCard, tmp_path: Path) -> None:
    """Headers with holes, overlaps, twins, nonsense; and what is no checkpoint at all."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(RefusedError, match=told):
        load_model(path, card)


def _with_tensor(card: ModelCard, name: str, make: Callable[[torch.Tensor], torch.Tensor]) -> bytes:
    weights = random_unet(card).state_dict()
    if card.parameterization == "preconditioned":
        weights["statistics.mean"] = torch.zeros(card.shape)
        weights["statistics.variance"] = torch.ones(card.shape)
    weights[name] = make(weights[name])
    return to_safetensors(weights)


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("out.2.bias", lambda t: t * torch.nan, "out.2.bias holds numbers that are not finite"),
        ("out.2.bias", lambda t: t.int(), "out.2.bias holds I32"),
        ("out.2.bias", lambda t: t.double(), "out.2.bias holds F64"),
        ("out.2.bias", lambda t: torch.zeros(2), "out.2.bias is 2, the network has 1"),
        ("statistics.variance", lambda t: -t, "statistics.variance .* is negative"),
        ("statistics.mean", lambda t: t.half(), "statistics.mean holds F16; should be F32"),
        ("statistics.mean", lambda t: t[0], "statistics.mean is 8×8, the network has 1×8×8"),
    ],
)
def test_odd_safetensors(
    name: str, make: Callable[[torch.Tensor], torch.Tensor], told: str, tmp_path: Path
) -> None:
    """Tensors of another type, shape or with impossible numbers."""
    card = small_card(parameterization="preconditioned")
    path = tmp_path / "a.safetensors"
    path.write_bytes(_with_tensor(card, name, make))
    with pytest.raises(RefusedError, match=told):
        load_model(path, card)


def test_parameterization_must_fit(good: Path, tmp_path: Path) -> None:
    """Statistics belong to preconditioned models, and only to those."""
    card = small_card(parameterization="preconditioned")
    path = tmp_path / "a.safetensors"
    path.write_bytes(_with_tensor(card, "out.2.bias", torch.clone))
    with pytest.raises(RefusedError, match=r"statistics\.mean is not in the network"):
        load_model(path, small_card())
    save_weights(path, random_unet(card).state_dict(), torch.float32)
    with pytest.raises(RefusedError, match=r"statistics\.mean 1×8×8 is missing"):
        load_model(path, card)
    with pytest.raises(RefusedError, match="no statistics"):
        load_model(good, card)


def test_pinned_digest(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """A file that is whole, but not the one that its card means, is refused."""
    ours = tmp_path / "weights.safetensors"
    save_weights(ours, random_unet(card).state_dict(), torch.float16)
    for path in (good, ours):
        with pytest.raises(RefusedError, match="damaged, or not the file that its card means"):
            load_model(path, replace(card, weights=FileRef(path.name, "0" * 64)))


def test_names_do_not_decide(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """A `.pth` that is safetensors, and the reverse, load by their first bytes."""
    ours, theirs = tmp_path / "ours.pth", tmp_path / "theirs.safetensors"
    save_weights(ours, random_unet(card).state_dict(), torch.float32)
    theirs.write_bytes(good.read_bytes())
    for path in (ours, theirs):
        assert load_model(path, card)


def test_what_is_no_file(card: ModelCard, tmp_path: Path) -> None:
    """A pipe, a folder, a device behind a link, a terabyte of nothing, an empty file."""
    pipe, folder, link = tmp_path / "pipe", tmp_path / "folder", tmp_path / "zero.pth"
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to("/dev/zero")
    sparse, empty = tmp_path / "sparse.pth", tmp_path / "empty.pth"
    sparse.touch()
    os.truncate(sparse, 10**12)
    empty.touch()
    _refused(pipe, card, "this is a pipe, not a checkpoint")
    _refused(link, card, "this is a device, not a checkpoint")
    _refused(sparse, card, "neither a .pth nor safetensors")
    _refused(empty, card, "is empty")
    with pytest.raises(RefusedError, match=r"model\.toml: there is no such model card"):
        load_model(folder)
    sparse.write_bytes(_header(b"{" + _ONE + b"}"))
    os.truncate(sparse, 10**12)
    _refused(sparse, card, "damaged")
    sparse.write_bytes(b"PK\x03\x04")
    os.truncate(sparse, 10**12)
    _refused(sparse, card, "damaged")


def test_missing_file(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """The nearest names that are there, and never a network with random weights."""
    with pytest.raises(RefusedError, match=r"no such checkpoint; did you mean good\.pth"):
        load_model(tmp_path / "goof.pth", card)
    with pytest.raises(RefusedError, match="is not there either"):
        load_model(tmp_path / "models" / "good.pth", card)
    with pytest.raises(RefusedError, match="no such checkpoint"):
        load_model(good / "below", card)
    with pytest.raises(RefusedError, match="cannot look at"):
        load_model(tmp_path / ("x" * 300), card)
    (tmp_path / "model.toml").write_text(replace(card, weights=FileRef("gone")).to_toml())
    with pytest.raises(RefusedError, match="there is no such checkpoint"):
        load_model(tmp_path)


def test_forbidden_is_told_apart() -> None:
    """A forbidden global has an error of its own, so that the message says unsafe."""
    with pytest.raises(ForbiddenError):
        read_pickle(_pickled(b"cbuiltins\nprint\n"))


def test_edited_zip_is_whole(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """An entry changed without its checksum is noticed, be it only in the optimizer."""
    entries = _entries(good)
    name = max((name for name in entries if "/data/" in name), key=lambda n: len(entries[n]))
    marked = entries[name][:64]
    data = good.read_bytes()
    at = data.index(marked)
    path = tmp_path / "changed.pth"
    path.write_bytes(data[:at] + bytes([marked[0] ^ 1]) + data[at + 1 :])
    _refused(path, card, "the checksum of .* is wrong")
    assert load_model(rezip(good, tmp_path / "again.pth", lambda _name, content: content), card)


def test_subclasses_are_not_let_in(tmp_path: Path, card: ModelCard) -> None:
    """An ordered dict is fine, its state and all; anything else of Python's is not."""
    value = published(card)
    value["model"] = OrderedDict(value["model"])
    assert load_model(save(value, tmp_path / "a.pth"), card)
    value["optimizer"] = {1, 2}
    _refused(save(value, tmp_path / "b.pth"), card, "asks for .*set")
