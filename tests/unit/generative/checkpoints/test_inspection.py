"""What a checkpoint is can be told from its names and shapes."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import FileRef, ModelCard, preset, presets, read_card
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.dimensions import Architecture, infer
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import network_shapes
from tests.support.making import ARCHITECTURES, as_kind, convert, small_card


def test_inspect_published(tiny: Path, tiny_card: ModelCard, reference: Path) -> None:
    """All that the recorded file tells; names and shapes tell architectures, not of strangers."""
    found = inspect_checkpoint(tiny)
    assert (found.format, found.step, found.tensors, found.parameters) == ("pth", 4, 126, 284_513)
    assert found.ema_tensors == 126
    assert (found.dtypes, found.presets, found.preconditioned) == (("float32",), (), False)
    assert found.architecture == Architecture(1, 32, (1, 1), 1, (1,), "convolution", False)
    assert json.loads(found.to_json()) == json.loads(json.dumps(asdict(found)))
    assert "284,513" in found.to_text()
    assert "channel_mult [1, 1]" in found.to_text()
    assert found.architecture is not None
    unet = replace(tiny_card.finest, dropout=0.0)
    assert replace(found.architecture.unet(), num_heads=unet.num_heads) == unet
    assert found.card is None
    assert "none; sitegen add writes one" in found.to_text()
    assert infer({}) is None
    assert infer({"conv.weight": (3, 3)}) is None
    shapes = network_shapes(small_card(channel_mult=(1, 1)))
    assert infer({**shapes, "time_embed.0.weight": (128,)}) is None
    assert infer({**shapes, "input_blocks.9.0.op.weight": (32, 32, 3, 3)}) is None
    assert infer({**shapes, "input_blocks.1000000000.x": (1,)}) is None  # at once
    for options in ARCHITECTURES:
        card = small_card(**options)
        assert infer(network_shapes(card)) == Architecture.of(card.channels, card.finest)
    for name in presets():
        entry = json.loads((reference / "official_models.json").read_text())[name]
        told = infer({key: tuple(shape) for key, shape in entry["state_dict"]})
        card = preset(name)
        assert told == Architecture.of(card.channels, card.finest)


def test_inspect_our_files(tiny: Path, tiny_card: ModelCard, tmp_path: Path) -> None:
    """A folder tells of its weights, its card of the training, and whether it is a DDPM."""
    convert(tiny, tiny_card, tmp_path)
    found = inspect_checkpoint(tmp_path)
    assert (found.format, found.dtypes, found.step) == ("safetensors", ("float16",), None)
    assert (found.tensors, found.ema_tensors) == (126, None)
    assert found.architecture == inspect_checkpoint(tiny).architecture
    card = read_card(tmp_path)
    recipe = {"steps": 7, "options": {"ema_decay": 0.5}}
    (tmp_path / "model.toml").write_text(replace(card, training=recipe).to_toml())
    found = inspect_checkpoint(tmp_path)
    assert (found.step, found.ema_tensors) == (7, found.tensors)
    assert inspect_checkpoint(Path(found.file)) == found  # its card names the file
    (tmp_path / "model.toml").write_text(replace(card, training={"steps": 7}).to_toml())
    assert inspect_checkpoint(tmp_path).ema_tensors is None  # notes of the author's own
    assert "parameterization  difference\n" in inspect_checkpoint(tiny).to_text()
    ddpm = as_kind(tiny_card, "ddpm", diffusion=DiffusionConfig("cosine"))
    convert(tiny, ddpm, tmp_path)
    assert "parameterization  noise, as in a DDPM" in inspect_checkpoint(tmp_path).to_text()
    velocity = DiffusionConfig("cosine", prediction_type="v_prediction")
    ddpm = replace(ddpm, diffusion=velocity, weights=FileRef("weights.safetensors"))
    (tmp_path / "model.toml").write_text(ddpm.to_toml())
    assert "parameterization  v, of noise and" in inspect_checkpoint(tmp_path).to_text()
    (tmp_path / "model.toml").unlink()
    assert "parameterization  unknown" in inspect_checkpoint(Path(found.file)).to_text()


def test_card_in_a_folder(tiny: Path, tiny_card: ModelCard, tmp_path: Path) -> None:
    """It names the checkpoint, and its values are shown."""
    (tmp_path / "model.toml").write_text(tiny_card.to_toml())
    with pytest.raises(RefusedError, match=r"its model\.toml names no weights"):
        inspect_checkpoint(tmp_path)
    shutil.copy(tiny, tmp_path / "best.pth")
    card = replace(tiny_card, weights=FileRef("best.pth"))
    (tmp_path / "model.toml").write_text(card.to_toml())
    found = inspect_checkpoint(tmp_path)
    assert (found.file, found.card) == (str(tmp_path / "best.pth"), card)
    size, blur = tiny_card.image_size, tiny_card.schedule.sigmas[-1]
    assert (
        f"{size}×{size} pixels, {tiny_card.levels} levels, blur 0.5 to {blur:g}" in found.to_text()
    )
    assert json.loads(found.to_json())["card"]["levels"] == tiny_card.levels
