"""Things that the tests of the model make: cards, random networks, checkpoints as published."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sitegen.ihdm.card import BlurRange, ModelCard, UNetConfig
from sitegen.ihdm.unet import UNet


def small_card(**changes: Any) -> ModelCard:
    """A card of the smallest network there is, 8 levels; `changes` go to the U-Net or the card."""
    unet: dict[str, Any] = {"model_channels": 32, "channel_mult": (1,), "num_res_blocks": 1}
    names = UNetConfig.__dataclass_fields__
    unet |= {key: value for key, value in changes.items() if key in names}
    card: dict[str, Any] = {"image_size": 8, "channels": 1, "levels": 8}
    card["blur"] = BlurRange(0.5, 20)
    card |= {key: value for key, value in changes.items() if key not in names}
    return ModelCard(unet=UNetConfig(**unet), **card)


def config_card(config: Mapping[str, Any]) -> ModelCard:
    """The card of a published configuration as it was recorded."""
    unet = {key: value for key, value in config.items() if key in UNetConfig.__dataclass_fields__}
    return ModelCard(
        image_size=config["image_size"],
        channels=config["num_channels"],
        levels=config["K"],
        unet=UNetConfig(**unet),
        blur=BlurRange(config["blur_sigma_min"], config["blur_sigma_max"]),
    )


def tiny_card(reference: Path) -> ModelCard:
    """The card of the recorded checkpoint."""
    return config_card(json.loads((reference / "tiny/config.json").read_text()))


def expected(reference: Path) -> dict[str, Tensor]:
    """The recorded outputs."""
    with np.load(reference / "tiny/expected.npz") as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays}


def random_unet(card: ModelCard, seed: int = 0) -> UNet:
    """A network with no weight at zero, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet(card.unet, card.channels).eval().requires_grad_(False)
        for tensor in unet.parameters():
            tensor.add_(0.05 * torch.randn(tensor.shape))
    return unet


def published(card: ModelCard, seed: int = 0) -> dict[str, Any]:
    """A checkpoint as the published training leaves it; the averages are `random_unet(seed)`."""
    raw = random_unet(card, seed + 1)
    optimizer = torch.optim.Adam(list(raw.parameters()), lr=1e-3)
    group = optimizer.state_dict()
    group["param_groups"][0]["lr"] = 2e-4 * np.minimum(np.float64(4) / 5000, 1.0)
    return {
        "optimizer": group,
        "model": {f"module.{name}": tensor for name, tensor in raw.state_dict().items()},
        "step": 4,
        "ema": {
            "decay": 0.999,
            "num_updates": 4,
            "shadow_params": list(random_unet(card, seed).parameters()),
        },
    }


def save(value: object, path: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> Path:
    """Save as PyTorch does; with `monkeypatch` the storages are tagged as if from a GPU."""
    if monkeypatch is None:
        torch.save(value, path)
        return path
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _storage: "cuda:0")
        torch.save(value, path)
    return path


def rezip(source: Path, target: Path, edit: Callable[[str, bytes], bytes]) -> Path:
    """Write a zip again with every entry passed through `edit`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, edit(name, old.read(name)))
    return target


def closeness(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest magnitude."""
    return float((found - wanted).abs().max() / wanted.abs().max())
