"""Checkpoints that are whole, but hold what the card's network cannot be made of, are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as to_safetensors

from sitegen.core.errors import RefusedError
from sitegen.ihdm.card.card import FileRef, ModelCard
from sitegen.ihdm.checkpoints.loading import load_model
from sitegen.ihdm.checkpoints.weights import save_weights
from tests.support.making import (
    pickled,
    published,
    random_unet,
    refused,
    save,
    small_card,
    zipped,
)


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
    refused(save(value, tmp_path / "a.pth"), card, "is not contiguous")
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n" + b"((X\x07\x00\x00\x00storagectorch\n"
    tensor += b"FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00"
    for count, told in (
        (b"\x8a\x06" + (10**12).to_bytes(6, "little"), "larger than its storage"),
        (b"\x8a\x20" + (2**250).to_bytes(32, "little"), "not a storage and numbers"),
        (b"J\xff\xff\xff\xff", "not a storage and numbers"),
    ):
        data = pickled(b"}X\x05\x00\x00\x00model}X\x01\x00\x00\x00w", tensor)
        data = data[:-1] + count + b"\x85K\x01\x85\x89NtR" + b"ss."
        refused(zipped(tmp_path / "b.pth", {"a/data.pkl": data, "a/data/0": b"\0" * 4}), card, told)


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
