"""Files that are damaged, missing or no checkpoints at all are refused."""

from __future__ import annotations

import os
import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sitegen.core.errors import RefusedError
from sitegen.core.files import sha256
from sitegen.ihdm.card.card import FileRef, ModelCard
from sitegen.ihdm.checkpoints.loading import load_model, read_weights
from sitegen.ihdm.checkpoints.weights import save_weights
from tests.support.making import (
    entries_of,
    random_unet,
    refused,
    rezip,
)


def test_single_bits_of_a_checkpoint(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """A bit that flips is noticed, or it was one that nothing is read from."""
    wanted, data = read_weights(good, card), good.read_bytes()
    source, path, refused = random.Random(1), tmp_path / "flipped.pth", 0
    for _ in range(30):
        flipped = bytearray(data)
        flipped[source.randrange(len(data))] ^= 1 << source.randrange(8)
        path.write_bytes(flipped)
        try:
            found = read_weights(path, card)
        except RefusedError:
            refused += 1
        else:
            assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert refused >= 24


def test_single_bits_of_pinned_files(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """No flipped bit passes when the card pins the file: our weights, and published ones."""
    ours = tmp_path / "weights.safetensors"
    save_weights(ours, random_unet(card).state_dict(), torch.float16)
    source = random.Random(2)
    for original in (ours, good):
        data, path = original.read_bytes(), tmp_path / "flipped"
        pinned = replace(card, weights=FileRef(original.name, sha256(original)))
        assert read_weights(original, pinned)
        for _ in range(15):
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
        refused(path, card, "damaged|empty")


def test_edited_zip_is_whole(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """An entry changed without its checksum is noticed, be it only in the optimizer."""
    entries = entries_of(good)
    name = max((name for name in entries if "/data/" in name), key=lambda n: len(entries[n]))
    marked = entries[name][:64]
    data = good.read_bytes()
    at = data.index(marked)
    path = tmp_path / "changed.pth"
    path.write_bytes(data[:at] + bytes([marked[0] ^ 1]) + data[at + 1 :])
    refused(path, card, "the checksum of .* is wrong")
    assert load_model(rezip(good, tmp_path / "again.pth", lambda _name, content: content), card)


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
    refused(pipe, card, "this is a pipe, not a checkpoint")
    refused(link, card, "this is a device, not a checkpoint")
    refused(sparse, card, "neither a .pth nor safetensors")
    refused(empty, card, "is empty")
    with pytest.raises(RefusedError, match="holds no checkpoint"):
        load_model(folder)
    sparse.write_bytes(_header(b"{" + _ONE + b"}"))
    os.truncate(sparse, 10**12)
    refused(sparse, card, "damaged")
    sparse.write_bytes(b"PK\x03\x04")
    os.truncate(sparse, 10**12)
    refused(sparse, card, "damaged")


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
