"""The recipes of whole models, from pictures to a folder that samples; they take minutes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from recipes import (
    cascade,
    distil_cosines,
    distil_unet,
    faces,
    rounding,
    train_band,
    variance,
)
from recipes.cosines import LowCosines
from recipes.distil_cosines import Lessons, distillation_loss
from recipes.distil_unet import PLANS
from recipes.muon import RecipeOptions
from recipes.runs import BandRun, read_net
from recipes.train_band import image_loss
from sitegen.core.compute import has_bfloat16
from sitegen.generative.card.networks import Band
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.prior import read_prior
from sitegen.generative.process.dissipation import HeatDissipation
from sitegen.generative.process.model import Model
from sitegen.models.registry import model_source
from tests.support.lessons import (
    CONFIG,
    outspoken,
)
from tests.support.sweeping import of_a_sweep
from tests.support.tinymodel import write_large

TRAINING = RecipeOptions(
    images=64 * 200, batch_size=64, learning_rate=3e-3, warmup_steps=5, ema_decay=0.9
)


def pictures(folder: Path, side: int = 28) -> Path:
    """A folder of six pictures."""
    folder.mkdir()
    for place in range(6):
        Image.new("L", (side, side), 40 * place).save(folder / f"{place}.png")
    return folder


def call(monkeypatch: pytest.MonkeyPatch, recipe: Any, *words: object, **options: object) -> None:
    """Run a command."""
    told = [str(word) for pair in options.items() for word in (f"--{pair[0]}", pair[1])]
    monkeypatch.setattr("sys.argv", ["x", *map(str, words), *told])
    recipe.main()


@of_a_sweep
def test_a_cascade_is_distilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks of a large one make up a model that loads, says how, and keeps the rest."""
    source = model_source("large", write_large(tmp_path / "large"))
    data = pictures(tmp_path / "data")
    shipped = load_model(source.weights, source.card)
    assert isinstance(shipped, Model)
    large = Band(54, 6, cosines=CONFIG.cosines)
    given = Lessons(
        LowCosines.of(shipped, 6), torch.zeros(1, 36), outspoken(large), range(54, 101), 64
    )
    state = {name: tmp_path / f"{name}.pt" for name in ("large", "coarse", "middle", "fine")}
    BandRun(large, shipped.card, distillation_loss(given, TRAINING), TRAINING).save(state["large"])
    monkeypatch.setattr(distil_cosines, "TRAINING", replace(TRAINING, images=128))
    monkeypatch.setattr(distil_cosines, "POOL", 256)
    folder, teacher = source.weights.parent, state["large"]
    more = {"teacher": teacher, "data": data, "output": state["coarse"]}
    call(monkeypatch, distil_cosines, folder, **more)
    for name in ("middle", "fine"):
        call(monkeypatch, distil_unet, folder, name, data=data, output=state[name], states=32)
    runs = [state[name] for name in ("coarse", "fine", "middle")]
    call(monkeypatch, cascade, folder, *runs, output=tmp_path / "out")
    names = ["example.png", "model.toml", "prior.safetensors", "weights.safetensors"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    made = model_source("out", tmp_path / "out")
    bands = [PLANS["fine"].band, PLANS["middle"].band, replace(distil_cosines.BAND, side=6)]
    assert list(made.card.bands) == bands
    assert made.card.visited_levels[:63] == tuple(range(100, 37, -1))
    assert (made.card.visited_levels[-1], made.card.steps) == (0, 62 + 14)
    recipe = made.card.training["coarse"]
    assert (recipe["states_seen"], recipe["steps"]) == (128, 2)
    assert recipe["band"]["cosines"]["width"] == 128
    assert recipe["options"]["optimizer"] == "adamw"
    assert "level_focus" not in recipe["options"]
    assert made.card.training["fine"]["options"]["muon_learning_rate"] == 1.5e-3
    assert (made.card.quality, made.card.known_faults) == ({}, ())
    found = load_model(made.weights, made.card)
    assert isinstance(found, Model)
    for net, path in zip(found.networks, (state["fine"], state["middle"]), strict=False):
        for name, value in read_net(path)[1].state_dict().items():
            assert torch.equal(net.state_dict()[name], value.half().float()), name
    call(monkeypatch, cascade, tmp_path / "out", *runs[1:], output=tmp_path / "other")
    kept = model_source("other", tmp_path / "other").card.bands[2]
    assert kept == bands[2]  # which was not made anew
    with pytest.raises(SystemExit, match="is a cascade"):
        call(monkeypatch, distil_unet, tmp_path / "out", "fine", data=data, output=state["fine"])
    with pytest.raises(SystemExit, match="is the model itself"):
        call(monkeypatch, cascade, folder, *runs, output=folder / "../large")


@of_a_sweep
def test_bands_of_a_shipped_cascade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is trained by its number, begins with another's weights, and gets its variance.

    Together they may be stored small, and visit fewer levels.
    """
    data, folder = pictures(tmp_path / "data"), Path("models/mnist")
    monkeypatch.setattr(train_band, "COSINES", replace(TRAINING, images=64))
    runs = [tmp_path / f"{number}.pt" for number in range(3)]
    precision = "bfloat16" if has_bfloat16("cpu") else "float32"  # it takes minutes elsewhere
    for number, run in enumerate(runs):
        more = {"data": data, "output": run, "begin": folder, "precision": precision}
        call(monkeypatch, train_band, folder, number, images=64, **more)
    source = model_source("mnist", folder)
    shipped = load_model(source.weights, source.card)
    for run, band, network in zip(runs, source.card.bands, shipped.networks, strict=True):
        found, net = read_net(run)
        assert found == band
        pairs = zip(net.parameters(), network.parameters(), strict=True)
        assert max(float((a - b).abs().max()) for a, b in pairs) < 0.1
    with pytest.raises(SystemExit, match="has the bands 0 to 2"):
        call(monkeypatch, train_band, folder, 3, data=data, output=runs[0])
    call(monkeypatch, cascade, folder, *runs, output=tmp_path / "joined")
    joined = model_source("joined", tmp_path / "joined")
    assert joined.card.visited_levels == source.card.visited_levels
    call(monkeypatch, cascade, folder, runs[1], output=tmp_path / "one")
    one = model_source("one", tmp_path / "one")
    assert one.card.bands == source.card.bands
    networks = load_model(one.weights, one.card).networks
    for number, (net, was) in enumerate(zip(networks, shipped.networks, strict=True)):
        same = [
            bool((a == b).all()) for a, b in zip(net.parameters(), was.parameters(), strict=True)
        ]
        assert all(same) == (number != 1)  # the others stay
    chosen = ["--small", "--visits", 2, 3, 4]
    call(monkeypatch, cascade, folder, *runs, "--output", tmp_path / "joined", *chosen)
    half = source.weights.stat().st_size
    more = {"data": data, "output": tmp_path / "out", "guidance": 0.1, "starts": 5}
    call(monkeypatch, variance, tmp_path / "joined", **more)
    made = model_source("out", tmp_path / "out")
    tops = [band.lowest_level - 1 for band in source.card.bands[1:]]
    assert made.card.visited_levels[4] == tops[1]
    assert made.card.visited_levels[7] == tops[0]
    assert made.card.steps == 2 + 3 + 4
    prior = read_prior(tmp_path / "out/prior.safetensors", made.card)
    assert (len(prior), prior.data) == (
        5,
        read_prior(folder / "prior.safetensors", source.card).data,
    )
    assert made.weights.stat().st_size < 0.6 * half  # a byte a weight, as it was joined
    assert (made.card.estimates_variance, made.card.guidance) == (True, (0.1, 0.1, 0.1))
    assert isinstance(made.card, HeatDissipation)
    assert made.card.sampling_noise_std == made.card.training_noise_std
    model = load_model(made.weights, made.card)
    assert isinstance(model, Model)
    assert isinstance(model.noise_std(100, 49, 0.01), torch.Tensor)
    call(monkeypatch, variance, tmp_path / "out", "--markov", data=data, output=tmp_path / "noisy")
    bank = read_prior(
        tmp_path / "noisy/prior.safetensors", model_source("noisy", tmp_path / "noisy").card
    )
    added = bank.coefficients - prior.coefficients
    assert 0.005 < float(added.std()) < 0.02  # made anew, of as many, with the noise of training
    with pytest.raises(SystemExit, match="is the model itself"):
        call(monkeypatch, variance, tmp_path / "out", data=data, output=tmp_path / "out")


@of_a_sweep
def test_faces_from_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe of models/faces ends in a model that samples; saved weights begin a second.

    A band of no images keeps the weights that it has.
    """
    drawn = tmp_path / "data" / "faces"
    drawn.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    header = b"\0\0\x08\x04" + np.array(pixels.shape, ">u4").tobytes()
    (drawn / "train-images-idx4-ubyte").write_bytes(header + pixels.tobytes())
    face = {"gender": "male", "accessory": "eye-black", "glasses": "none", "beard": "none"}
    face |= {"hair": "bald", "hair_color": "", "skin_color": "#5c3937", "mouth": "side"}
    (drawn / "train-attributes.jsonl").write_text(f"{json.dumps(face)}\n" * 2)
    data, output, begun = ("--data", str(tmp_path / "data")), tmp_path / "run", tmp_path / "begun"
    monkeypatch.setattr(faces, "TRAINING", replace(TRAINING, batch_size=4))
    monkeypatch.setattr(faces, "TINY", replace(faces.TINY, images=(4, 4, 4, 2048, 2048)))
    monkeypatch.setattr(rounding, "BATCHES", 1)
    faces.main([*data, "--output", str(output), "--tiny"])
    model = load_model(output)
    assert model.card.shape == (3, 64, 64)
    assert model.card.visited_levels[-2:] == (10, 0)
    assert model.card.estimates_variance
    assert len(read_prior(output / "prior.safetensors", model.card)) == 2
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 64, 64), 20).isfinite().all()
    faces.main([*data, "--output", str(output), "--save", str(begun)])
    assert {path.stem for path in begun.iterdir()} == {*faces.NAMES}
    last = torch.load(output / "round-2" / "coarse.pt", weights_only=True)
    assert (last["kept"], last["options"]["learning_rate"]) == (0.5, TRAINING.learning_rate / 2)
    shapes = [output / f"round-{number}" / "shape.pt" for number in (1, 2)]
    assert [faces.is_mixed(run) for run in shapes] == [False, True]
    faces.main([*data, "--output", str(output), "--tiny", "--band", "coarse"])  # mixes nothing
    again = torch.load(output / "round-2" / "coarse.pt", weights_only=True)
    assert all(torch.equal(again["ema"][name], value) for name, value in last["ema"].items())
    with monkeypatch.context() as patch:
        patch.setattr(faces, "TINY", replace(faces.TINY, images=(4, 0, 0, 0, 0)))
        patch.setattr(faces, "round_networks", lambda *_: None)  # seen above, and slow
        learned: list[int] = []

        def noting(model: Model, images: Tensor, band: Band, *rest: Any) -> Any:
            """Note the lowest level that a network learns."""
            learned.append(band.lowest_level)
            return image_loss(model, images, band, *rest)

        patch.setattr(faces, "image_loss", noting)
        kept = [*data, "--output", str(tmp_path / "kept"), "--tiny", "--begin", str(begun)]
        faces.main(kept)
    assert learned == [9]
    assert [path.name for path in (tmp_path / "kept").rglob("round-*/*.pt")] == ["fine.pt"]
    known = faces.saved_weights(begun / "layout.safetensors")["leave.weight"]
    found = load_model(tmp_path / "kept").networks[-1].state_dict()["leave.weight"]
    step = float(known.abs().max()) / 127  # of byte weights
    torch.testing.assert_close(found.float(), known, rtol=0, atol=step)
    (begun / "layout.safetensors").unlink()
    again = [*data, "--output", str(tmp_path / "again"), "--tiny", "--begin", str(begun)]
    for band in ("layout", "shape"):
        faces.main([*again, "--band", band])
    trained = {path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.pt")}
    rounds = {Path("round-1/layout.pt"), Path("round-2/layout.pt"), Path("round-2/shape.pt")}
    assert trained == {Path("statistics.pt"), *rounds}
    assert not (tmp_path / "again/model.toml").exists()
    with pytest.raises(SystemExit, match="leave out --rounds 1"):
        faces.main([*again, "--rounds", "1"])
