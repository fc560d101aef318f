"""Checkpoints that are damaged, missing, or not what the card's network is made of are refused."""

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as to_safetensors

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import FileRef, ModelCard
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.checkpoints.weights import save_weights
from tests.support.making import (
    entries_of,
    published,
    random_unet,
    refused,
    rezip,
    save,
    small_card,
)


def unloadable(path: Path, card: ModelCard, words: str) -> None:
    """Loading is refused; what the file is may still be told."""
    with pytest.raises(RefusedError, match=words):
        load_model(path, card)


def averaged(make: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, Any]], object]:
    """Make another of the first averaged tensor."""

    def change(value: dict[str, Any]) -> None:
        averages = value["ema"]["shadow_params"]
        averages[0] = make(averages[0].detach() + 1)

    return change


def test_checksums(card: ModelCard, tmp_path: Path, good: Path) -> None:
    """Numbers that changed without their checksum are noticed without a pinned digest, too."""
    entries = entries_of(good)
    name = max((name for name in entries if "/data/" in name), key=lambda n: len(entries[n]))
    data, path = bytearray(good.read_bytes()), tmp_path / "changed.pth"
    data[data.index(entries[name][:64])] ^= 1
    path.write_bytes(data)
    with pytest.raises(RefusedError, match=f"the checksum of {name} is wrong"):
        load_model(path, card)
    assert load_model(rezip(good, tmp_path / "again.pth", lambda _name, content: content), card)


def test_wrong_architecture(good: Path, tmp_path: Path) -> None:
    """The first five differences are named; statistics belong to preconditioned models alone."""
    with pytest.raises(RefusedError) as caught:
        load_model(good, small_card(model_channels=64))
    lines = str(caught.value).splitlines()
    assert lines[1] == "  time_embed.0.weight is 128×32, the network has 256×64"
    assert len(lines) == 8
    assert lines[6].endswith(" more")
    assert "`sitegen inspect`" in lines[7]
    weights = random_unet(small_card()).state_dict()
    weights["extra"] = weights.pop("out.2.bias")
    path = save(weights, tmp_path / "b.pth")
    with pytest.raises(RefusedError) as caught:
        load_model(path, small_card())
    assert str(caught.value).splitlines()[1:-1] == [
        "  out.2.bias 1 is missing",
        "  extra is not in the network",
    ]
    card = small_card(parameterization="preconditioned")
    path = tmp_path / "a.safetensors"
    path.write_bytes(_with_tensor(card, "out.2.bias", torch.clone))
    unloadable(path, small_card(), r"statistics\.mean is not in the network")
    save_weights(path, random_unet(card).state_dict(), torch.float32)
    unloadable(path, card, r"statistics\.mean 1×8×8 is missing")
    unloadable(good, card, "no statistics")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (averaged(lambda t: t.int()), "holds int32, not floats"),
        (averaged(lambda t: t * torch.nan), "numbers that are not finite"),
        (averaged(lambda t: t / 0), "numbers that are not finite"),
        (averaged(lambda t: t.to_sparse()), "refused as unsafe: it names .*sparse"),
        (averaged(lambda t: torch.zeros(0)), "ema: these weights do not fit"),
        (
            averaged(lambda t: t.T.contiguous()),
            "time_embed.0.weight is 32×128, the network has 128×32",
        ),
        (
            lambda value: value["ema"]["shadow_params"].pop(),
            r"its ema has \d+ tensors, the network has",
        ),
        (
            lambda value: value["ema"]["shadow_params"].append(torch.zeros(1)),
            r"its ema has \d+ tensors, the network has",
        ),
        (
            lambda value: value["ema"]["shadow_params"].reverse(),
            r"ema: these weights .*\n  time_embed.0.weight is 1, the network has 128×32",
        ),
        (
            lambda value: value.update(model=dict(reversed(value["model"].items()))),
            "in a different order",
        ),
        (lambda value: value.pop("ema"), "has no averaged weights"),
        (lambda value: value.update(ema=None), "has no averaged weights"),
        (lambda value: value.update(ema=3), "no list shadow_params"),
        (lambda value: value.update(ema={}), "no list shadow_params"),
        (lambda value: value["ema"].update(shadow_params=[1]), "not a tensor"),
        (lambda value: value.pop("model"), "it holds optimizer, step, ema"),
        (lambda value: value.update(model={}), "a published checkpoint has model and ema"),
        (lambda value: value["model"].update(x=1), "x in its model is not a named"),
        (lambda value: value["model"].update({3: torch.zeros(1)}), "3 in its model is not"),
    ],
)
def test_odd_contents(
    change: Callable[[dict[str, Any]], object], told: str, card: ModelCard, tmp_path: Path
) -> None:
    """Averages of odd numbers, types, shapes or order; parts that are missing or odd."""
    value = published(card)
    change(value)
    unloadable(save(value, tmp_path / "a.pth"), card, told)


def _with_tensor(card: ModelCard, name: str, make: Callable[[torch.Tensor], torch.Tensor]) -> bytes:
    weights = random_unet(card).state_dict()
    if card.has_statistics:
        weights["statistics.mean"] = torch.zeros(card.shape)
        weights["statistics.variance"] = torch.ones(card.shape)
    weights[name] = make(weights[name])
    return to_safetensors(weights)


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("out.2.bias", lambda t: t * torch.nan, "out.2.bias holds numbers that are not finite"),
        ("out.2.bias", lambda t: t.int(), "out.2.bias holds int32"),
        ("out.2.bias", lambda t: t.double(), "out.2.bias holds float64"),
        ("out.2.bias", lambda t: torch.zeros(2), "out.2.bias is 2, the network has 1"),
        ("statistics.variance", lambda t: -t, "statistics.variance .* is negative"),
        ("statistics.mean", lambda t: t.half(), "statistics.mean holds float16; should be float32"),
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
    unloadable(path, card, told)


def test_pinned_digest(good: Path, card: ModelCard, tmp_path: Path) -> None:
    """A file that is not the one its card pins is refused; its name need not tell its format."""
    ours = tmp_path / "weights.safetensors"
    save_weights(ours, random_unet(card).state_dict(), torch.float16)
    for path in (good, ours):
        with pytest.raises(RefusedError, match="damaged, or not the file that its card means"):
            load_model(path, replace(card, weights=FileRef(path.name, "0" * 64)))
    save_weights(tmp_path / "ours.pth", random_unet(card).state_dict(), torch.float32)
    assert load_model(tmp_path / "ours.pth", card)


def _header(text: bytes, numbers: bytes = b"\0" * 8, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


_ONE = b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (_header(b"{" + _ONE + b"}"), "do not fit the card's network"),
        (_header(b"{" + _ONE + b"}", b"\0" * 9), "damaged"),
        (_header(b"{" + _ONE + b"}", b"\0" * 7), "damaged"),
        (_header(b"{" + _ONE + b"," + _ONE + b"}"), "a key appears twice"),
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
    unloadable(path, card, told)


def test_what_is_no_file(card: ModelCard, tmp_path: Path, good: Path) -> None:
    """No pipe, folder, device, terabyte or empty file; of what is missing, the nearest name."""
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
    with pytest.raises(RefusedError, match=r"has no model\.toml; .* --recording FILE"):
        load_model(folder)
    for start in (_header(b"{" + _ONE + b"}"), b"PK\x03\x04"):
        sparse.write_bytes(start)
        os.truncate(sparse, 10**12)
        refused(sparse, card, r"claims 1,000,000,000,000 bytes, and the disk has \d")
    unloadable(tmp_path / "goof.pth", card, r"no such checkpoint; did you mean good\.pth")
    unloadable(tmp_path / "models" / "good.pth", card, "is not there either")
    unloadable(good / "below", card, "no such checkpoint")
    unloadable(tmp_path / ("x" * 300), card, "cannot access")
    (tmp_path / "model.toml").write_text(replace(card, weights=FileRef("gone")).to_toml())
    with pytest.raises(RefusedError, match="there is no such checkpoint"):
        load_model(tmp_path)
