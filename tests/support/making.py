"""Things that the tests of the model make: cards, random networks, checkpoints as published."""

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from zipfile import ZIP_STORED

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import BlurRange, FileRef, ModelCard
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import WEIGHTS_NAME, load_model, read_weights
from sitegen.generative.checkpoints.weights import save_weights
from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.model import CardModel, Model, model_with
from sitegen.generative.process.protocol import GenerativeProcess, process_of

ARCHITECTURES: list[dict[str, Any]] = [
    {},
    {"channels": 3, "channel_mult": (1, 2), "attention_levels": (0,), "num_heads": 4},
    {"channel_mult": (2, 1, 1), "num_res_blocks": 2, "conv_resample": False},
    {"channel_mult": (1, 1), "resblock_updown": True, "use_scale_shift_norm": True},
    {"channel_mult": (1, 1), "attention_levels": (0, 1), "use_new_attention_order": False},
    {"use_scale_shift_norm": True, "num_res_blocks": 3, "attention_levels": (0,)},
    {"model_channels": 64, "channel_mult": (0.5, 1), "attention_levels": (1,)},
]
"""Options of networks that are in no preset."""


Card = TypeVar("Card", bound=ModelCard)


def small_card(**changes: Any) -> Any:
    """A card of the smallest network there is, 8 levels; `changes` go to the U-Net or the card."""
    unet: dict[str, Any] = {"model_channels": 32, "channel_mult": (1,), "num_res_blocks": 1}
    names = UNetConfig.__dataclass_fields__
    unet |= {key: value for key, value in changes.items() if key in names}
    card: dict[str, Any] = {"image_size": 8, "channels": 1, "levels": 8}
    card |= {} if changes.get("kind", "ihdm") != "ihdm" else {"blur": BlurRange(0.5, 20)}
    card |= {key: value for key, value in changes.items() if key not in names}
    return ModelCard(unet=UNetConfig(**unet), **card)


def as_kind(card: ModelCard, kind: str, **tables: Any) -> Any:
    """The card of another kind with the size, the levels and the network of a card."""
    size = card.channels, card.levels
    return ModelCard(card.image_size, *size, card.unet, kind=kind, **tables)


def narrowed(card: ModelCard, kind: type[Card]) -> Card:
    """The card, which is of that class."""
    assert isinstance(card, kind)
    return card


def model_of(card: ModelCard, *networks: nn.Module, seed: int = 0) -> CardModel:
    """A card's model with networks, or a random one."""
    return model_with(card, networks or [random_unet(card, seed)], None, "float32")


def process_with(card: ModelCard, *networks: nn.Module) -> GenerativeProcess:
    """A card's process with networks, or a random one."""
    return process_of(model_of(card, *networks))


def random_unet(card: ModelCard, seed: int = 0) -> UNet:
    """A network with no weight at zero, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet(card.finest, card.channels).eval().requires_grad_(False)
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
    return zipped(target, {name: edit(name, data) for name, data in entries_of(source).items()})


def closeness(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest magnitude."""
    return float((found - wanted).abs().max() / wanted.abs().max())


def convert(path: Path, card: ModelCard, folder: Path, dtype: Any = torch.float16) -> ModelCard:
    """Write a checkpoint's weights and the card that pins them into a folder; gives the card."""
    sha256 = save_weights(folder / WEIGHTS_NAME, read_weights(path, card), dtype, card)
    written = replace(card, weights=FileRef(WEIGHTS_NAME, sha256))
    (folder / "model.toml").write_text(written.to_toml())
    return written


def load_heat(*arguments: Any, **options: Any) -> Model:
    """`load_model` of a model that blurs."""
    model = load_model(*arguments, **options)
    assert isinstance(model, Model)
    return model


def refused(path: Path, card: ModelCard, told: str) -> None:
    """Loading and inspecting both refuse."""
    with pytest.raises(RefusedError, match=told) as caught:
        load_model(path, card)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 2000
    with pytest.raises(RefusedError):
        inspect_checkpoint(path)


def zipped(path: Path, entries: Mapping[str, bytes | str], packed: int = ZIP_STORED) -> Path:
    """Write a zip of these entries."""
    with zipfile.ZipFile(path, "w", packed) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


def pickled(*parts: bytes) -> bytes:
    """A pickle of protocol 2 with these instructions."""
    return b"\x80\x02" + b"".join(parts) + b"."


def npy_bytes(array: Any) -> bytes:
    """An array as NumPy saves it."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def idx(images: NDArray[np.uint8]) -> bytes:
    """Images (N, H, W), or (N, H, W, C), in MNIST's format."""
    shape = struct.pack(f">{images.ndim}I", *images.shape)
    return bytes((0, 0, 8, images.ndim)) + shape + images.tobytes()


def entries_of(path: Path) -> dict[str, bytes]:
    """The entries of a zip by name."""
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}
