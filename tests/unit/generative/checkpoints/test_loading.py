"""Checkpoints that are good load, exactly; the weights are the averaged ones."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitegen.core.errors import ConfigError, PlatformError, RefusedError
from sitegen.core.files import sha256
from sitegen.generative.card.card import CARD_NAME, FileRef, ModelCard
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import read_weights
from sitegen.generative.checkpoints.weights import save_weights
from sitegen.generative.process.ddpm import Ddpm
from sitegen.ihdm import load_model
from tests.support.making import (
    load_heat,
    published,
    random_unet,
    rezip,
    save,
    small_card,
)


def test_numpy_1(tiny: Path, tiny_card: ModelCard, tmp_path: Path) -> None:
    """NumPy 1 spelled its scalars otherwise: both are read."""

    def older(name: str, data: bytes) -> bytes:
        assert not name.endswith("data.pkl") or b"numpy._core.multiarray" in data
        return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")

    path = rezip(tiny, tmp_path / "old.pth", older)
    found, wanted = read_weights(path, tiny_card), read_weights(tiny, tiny_card)
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_saved_in_other_ways(tmp_path: Path) -> None:
    """Channels-last tensors, arrays and options in the checkpoint change nothing."""
    card = small_card()
    value = published(card)
    averages = value["ema"]["shadow_params"]
    value["ema"]["shadow_params"] = [
        tensor.movedim(0, -1).contiguous().movedim(-1, 0) for tensor in averages
    ]
    value["optimizer"]["history"] = {"losses": np.arange(5.0), "names": np.array(["a", "b"])}
    value["args"] = Namespace(num_heads=4, betas=(0.9, 0.999), names={"a", "b"}, unet={"x": 1})
    path = save(value, tmp_path / "c.pth")
    found = load_heat(path, card).unet.state_dict()
    for name, tensor in random_unet(card).state_dict().items():
        assert torch.equal(found[name], tensor)
        assert found[name].is_contiguous()
    info = inspect_checkpoint(path)
    assert (info.ema_tensors, info.heads) == (len(found), {"num_heads": 4})


def test_same_bytes(tmp_path: Path) -> None:
    """The same weights give the same file, none that float16 cannot hold; other forms load."""
    tensors = random_unet(small_card()).state_dict()
    first = save_weights(tmp_path / "a", tensors, torch.float16)
    second = save_weights(tmp_path / "b", dict(reversed(tensors.items())), torch.float16)
    assert first == second == sha256(tmp_path / "a") == sha256(tmp_path / "b")
    with pytest.raises(RefusedError, match="w holds numbers that"):
        save_weights(tmp_path / "c", {"w": torch.tensor([1e5])}, torch.float16)
    assert not (tmp_path / "c").exists()
    tmp_path = tmp_path / "more"
    tmp_path.mkdir()
    card = small_card()
    unet = random_unet(card)
    for value in (unet.state_dict(), dict(unet.named_parameters())):
        weights = read_weights(save(value, tmp_path / "c.pth"), card)
        assert all(torch.equal(weights[name], t) for name, t in unet.state_dict().items())
    whole = published(card)
    whole["model"] = {name.removeprefix("module."): t for name, t in whole["model"].items()}
    averages = [tensor.to(torch.bfloat16) for tensor in whole["ema"]["shadow_params"]]
    whole["ema"]["shadow_params"] = averages
    weights = read_weights(save(whole, tmp_path / "c.pth"), card)
    assert all(torch.equal(a, b.float()) for a, b in zip(weights.values(), averages, strict=True))
    whole = published(card)
    many = whole["ema"]["shadow_params"]
    block = torch.cat([tensor.flatten() for tensor in many])
    parts = torch.split(block, [tensor.numel() for tensor in many])
    whole["ema"]["shadow_params"] = [p.view(t.shape) for p, t in zip(parts, many, strict=True)]
    weights = read_weights(save(whole, tmp_path / "c.pth"), card)
    assert all(torch.equal(a, b) for a, b in zip(weights.values(), many, strict=True))


@pytest.mark.parametrize(
    ("device", "precision", "kind"),
    [
        ("cuda:99", "float32", PlatformError),
        ("tpu", "float32", ConfigError),
        ("meta", "float32", ConfigError),
        ("cpu", "float8", ConfigError),
    ],
)
def test_devices(
    tiny: Path, tiny_card: ModelCard, device: str, precision: Any, kind: type[Exception]
) -> None:
    """A device that is not there is the machine's fault; one that cannot be is the caller's."""
    with pytest.raises(kind, match=device if precision == "float32" else precision):
        load_model(tiny, tiny_card, device, precision)


def test_card_is_needed(tiny: Path, tmp_path: Path, tiny_card: ModelCard) -> None:
    """Without a card that names the file the message says how to give one."""
    with pytest.raises(ConfigError, match=r"give its card \(a model\.toml\), or that of a preset"):
        load_model(tiny)
    (tmp_path / "c.pth").write_bytes(tiny.read_bytes())
    beside = tmp_path / CARD_NAME
    beside.write_text(replace(tiny_card, weights=FileRef("other.pth")).to_toml())
    with pytest.raises(ConfigError, match="give its card"):
        load_model(tmp_path / "c.pth")
    beside.write_text(replace(tiny_card, weights=FileRef("c.pth", sha256(tiny))).to_toml())
    assert load_model(tmp_path / "c.pth")
    assert load_model(tmp_path)
    beside.write_text(tiny_card.to_toml())
    with pytest.raises(RefusedError, match="names no weights"):
        load_model(tmp_path)


def test_meaning_of_weights_is_in_their_file(tmp_path: Path) -> None:
    """Groups of norms and what a DDPM answers are refused where a card says something else."""
    diffusion = DiffusionConfig("cosine", prediction_type="v_prediction")
    card = small_card(norm_groups=8, kind="ddpm", diffusion=diffusion)
    file, card_file = tmp_path / "weights.safetensors", tmp_path / "model.toml"
    save_weights(file, random_unet(card).state_dict(), torch.float32, card)
    assert isinstance(load_model(file, card).card, Ddpm)
    changes: list[tuple[str, str, str]] = [
        ("norm_groups = 8", "norm_groups = 4", "unet.norm_groups = 8"),
        ("norm_groups = 8", "", "unet.norm_groups = 8"),
        ("v_prediction", "epsilon", "diffusion.prediction_type = v_prediction"),
    ]
    for old, new, told in changes:
        card_file.write_text(card.to_toml().replace(old, new))
        with pytest.raises(RefusedError) as caught:
            load_model(file, card_file)
        assert str(caught.value) == f"{file}: its card must have {told}"
