"""What a page's sampler is given of a model: the description, its tensors, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import FileRef, read_card
from sitegen.generative.card.networks import Band, UNetConfig
from sitegen.generative.checkpoints.weights import RESIDUAL, STATISTICS
from sitegen.generative.data.prior import PRIOR_NAME
from sitegen.generative.maths.heat import Statistics
from sitegen.models.browser import BrowserModel, export_for_browser, lacking, network_flop
from tests.support.paths import ROOT
from tests.support.tinymodel import WEIGHTS_NAME, card_of, write_model

MNIST = ROOT / "models/mnist"


def exported(folder: Path, **options: Any) -> BrowserModel:
    """The model of a folder, for the browser."""
    return export_for_browser(
        card_of(folder), folder / WEIGHTS_NAME, folder / PRIOR_NAME, **options
    )


def tensor(model: BrowserModel, name: str) -> NDArray[Any]:
    """A tensor of the bytes, where the description says that it lies."""
    entry = model.description["tensors"][name]
    kind = {"F16": "<f2", "F32": "<f4"}[entry["dtype"]]
    count = int(np.prod(entry["shape"]))
    return np.frombuffer(model.data, kind, count, entry["offset"]).reshape(entry["shape"])


def test_description_of_a_shipped_model() -> None:
    """Levels, noise and bands are the card's; images are centred and scaled as ours are."""
    card = read_card(MNIST)
    found = json.loads(exported(MNIST).to_json())
    assert found["visited"] == list(card.visited_levels)
    assert found["sigmas"] == list(card.schedule.sigmas)
    assert (found["training_noise_std"], found["sampling_noise_std"]) == (0.01, 0.01)
    fine, middle, coarse = found["bands"]
    assert (fine["lowest_level"], fine["side"], fine["unet"]["channel_mult"]) == (1, 28, [1, 2, 2])
    assert (middle["lowest_level"], middle["side"], middle["prefix"]) == (38, 14, "bands.1.")
    assert (coarse["lowest_level"], coarse["side"], coarse["prefix"]) == (56, 10, "bands.2.")
    assert coarse["cosines"]["num_classes"] == middle["unet"]["num_classes"] == 11
    assert "num_classes" not in fine["unet"]
    weights = load_file(MNIST / WEIGHTS_NAME)
    scale = Statistics(*(weights[name] for name in STATISTICS)).pixel_scale(28)
    assert (fine["pixel_mean"], fine["pixel_std"]) == pytest.approx(scale, rel=1e-6)


def test_arithmetic_of_a_network() -> None:
    """The products of attention: 2 for each weight and pixel, 4 for each pair of pixels."""
    convolution = UNetConfig(32, (1,), num_res_blocks=1)
    flop = network_flop(Band(1, unet=convolution), 1, 8)
    attended = network_flop(Band(1, unet=replace(convolution, attention_levels=(0,))), 1, 8)
    blocks = 3  # one on the way down and two on the way up
    assert attended - flop == blocks * (2 * 4 * 32 * 32 * 64 + 4 * 64 * 64 * 32)


def test_arithmetic_of_a_shipped_model() -> None:
    """A sample takes 4.9 GFLOP, most of it in the bands that U-Nets answer."""
    model = exported(MNIST)
    fine, middle, coarse = model.description["bands"]
    assert coarse["flop"] < 1e6
    steps = 7 * fine["flop"] + 6 * middle["flop"]
    assert model.gflop == pytest.approx(steps / 1e9, rel=1e-2)
    assert 4.5 < model.gflop < 5


def test_tensors_of_a_shipped_model() -> None:
    """Each is there, in its type; weights keep their bits, which are float16 already."""
    model = exported(MNIST)
    for name, wanted in load_file(MNIST / WEIGHTS_NAME).items():
        found = tensor(model, name)
        assert found.dtype == (np.float32 if name in (*STATISTICS, RESIDUAL) else np.float16)
        assert np.array_equal(found, wanted.numpy())
    bank = load_file(MNIST / PRIOR_NAME)["coefficients"]
    assert np.array_equal(tensor(model, "prior.coefficients"), bank.numpy())
    offsets = [entry["offset"] for entry in model.description["tensors"].values()]
    assert all(offset % 16 == 0 for offset in offsets)
    assert len(model.data) < 8_000_000
    assert model == exported(MNIST)


def test_old_order_of_attention_becomes_the_new(tmp_path: Path) -> None:
    """The rows of qkv go from (head, q|k|v, width) to (q|k|v, head, width)."""
    folder = write_model(tmp_path, num_heads=4, use_new_attention_order=False)
    name = "middle_block.1.qkv.bias"
    rows = tensor(exported(folder, precision="float32"), name).reshape(3, 4, 8)
    wanted = load_file(folder / WEIGHTS_NAME)[name].reshape(4, 3, 8)
    for head in range(4):
        for part in range(3):
            assert np.array_equal(rows[part, head], wanted[head, part].numpy())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"resblock_updown": True, "channel_mult": (1, 1)}, "resblock_updown"),
        ({"use_scale_shift_norm": True}, "use_scale_shift_norm"),
        (
            {"model_channels": 12, "norm_groups": 4},
            "a U-Net with widths that are not multiples of 8",
        ),
        ({"num_heads": 16}, "attention heads with channels that are not a multiple of 4"),
    ],
)
def test_networks_that_the_page_lacks(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    """What would be drawn wrongly is known from the card."""
    assert lacking(card_of(write_model(tmp_path, **options))) == [told]


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    """A file that the card does not mean, a network of another size, and numbers too large."""
    folder = write_model(tmp_path / "a")
    other = write_model(tmp_path / "b", num_res_blocks=2)
    card = card_of(folder)
    for part in ("weights", "prior"):
        with pytest.raises(RefusedError, match="SHA-256"):
            export_for_browser(replace(card, **{part: FileRef("x", "0" * 64)}), *files(folder))
    unpinned = replace(card, weights=None)
    with pytest.raises(RefusedError, match="do not fit the card's network"):
        export_for_browser(unpinned, other / WEIGHTS_NAME, folder / PRIOR_NAME)
    wide = replace(unpinned, unet=UNetConfig(32, (2,), 1))
    with pytest.raises(RefusedError, match="the network has 64"):
        export_for_browser(wide, *files(folder))
    weights = load_file(folder / WEIGHTS_NAME)
    weights["out.2.bias"] += 1e6
    save_file(weights, folder / WEIGHTS_NAME)
    with pytest.raises(RefusedError, match=r"out\.2\.bias holds numbers that float16 cannot hold"):
        export_for_browser(unpinned, *files(folder))


def files(folder: Path) -> tuple[Path, Path]:
    """The weights and the prior of a model's folder."""
    return folder / WEIGHTS_NAME, folder / PRIOR_NAME
