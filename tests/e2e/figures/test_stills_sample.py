"""Figures that stand still are drawn from the very states that were sampled, and tell them all."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sitegen.core.errors import RefusedError
from sitegen.figures.clips import displayed, even_levels
from sitegen.figures.given import read_image
from sitegen.generative.maths.heat import (
    Statistics,
    dct2,
    dissipate,
    rings,
    spectrum,
    spectrum_of,
)
from sitegen.generative.maths.noise import independent
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.model import Model
from sitegen.generative.process.protocol import process_of
from sitegen.media.frames import to_uint8
from sitegen.media.manifest import RenderJob
from sitegen.models.registry import model_source
from sitegen.sampling.models import Sampler, load_sampler
from sitegen.sampling.trajectory import Shown
from tests.support.builders import CPU
from tests.support.making import random_unet, small_card
from tests.support.tinyfigures import Sources, job
from tests.support.tinymodel import LEVELS, add_example, write_model


def finished(made: RenderJob, folder: Path) -> tuple[ElementTree.Element, dict[str, Any]]:
    """Do the work of a figure; the drawing and the results, which JSON can hold."""
    assert sum(1 for _ in made.work) == made.steps
    file = made.stills["image"](folder)
    results = json.loads(json.dumps(made.results(), allow_nan=False))
    assert json.loads(json.dumps(made.parameters)) == made.parameters
    return ElementTree.parse(folder / file.path).getroot(), results


def tiles(drawing: ElementTree.Element) -> list[NDArray[np.uint8]]:
    """The pictures in a drawing."""
    found = []
    for each in drawing.iter("{http://www.w3.org/2000/svg}image"):
        data = base64.b64decode((each.get("href") or "").removeprefix("data:image/png;base64,"))
        found.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    return found


@pytest.mark.parametrize("show", ["state", "mean"])
def test_process(sources: Sources, tmp_path: Path, show: Shown) -> None:
    """Above the example as heat dissipates it, below the way back from where that ends."""
    drawing, results = finished(
        job(sources, "process", columns=3, seed=4, show=show, pixelated=True), tmp_path
    )
    found, source = tiles(drawing), sources["tiny"]
    sampler = load_sampler(source, CPU)
    assert source.example is not None
    sharp = torch.from_numpy(np.array(Image.open(source.example))).double() / 255
    levels = (0, 2, 4)
    sigmas = torch.tensor([sampler.card.schedule[level] for level in levels])
    forward = dissipate(sharp.expand(3, 1, 8, 8), sigmas)
    trajectory = sampler.run(forward[-1:].float(), independent(4, [0], (1, 8, 8)))
    states = list(displayed(trajectory, show))
    inverse = [states[LEVELS - level][0] for level in levels]
    wanted = to_uint8(np.concatenate([forward.numpy(), np.stack(inverse)]))
    np.testing.assert_array_equal(np.stack(found), wanted)
    np.testing.assert_array_equal(found[2], found[5])
    rows = results["tables"][0]["rows"]
    assert [row[0] for row in rows] == list(levels)
    assert [row[1] for row in rows] == pytest.approx(sigmas.tolist())


def test_even_levels() -> None:
    """Levels are spread over 0 … K, however few of the sharp ones are visited, and all differ."""
    assert even_levels(range(5, -1, -1), 4) == (0, 2, 3, 5)
    assert even_levels((100, 99, 80, 60, 55, 46, 21, 6, 0), 4) == (0, 21, 60, 100)
    assert even_levels((100, 99, 98, 0), 4) == (0, 98, 99, 100)
    with pytest.raises(ValueError, match="empty"):
        even_levels((3, 0), 3)


def test_process_of_an_own_picture(sources: Sources, tmp_path: Path) -> None:
    """It is made grey or coloured, cropped to its middle and shrunk; small ones are refused."""
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "own.png")
    made = job(sources, "process", root=tmp_path, columns=2, image="own.png")
    first = tiles(finished(made, tmp_path)[0])[0]
    blocks = picture.reshape(8, 2, 8, 2, 3).mean((1, 3)) @ [0.299, 0.587, 0.114]
    assert np.abs(first[..., 0] - blocks).max() < 1.5
    Image.new("L", (8, 8), 51).save(tmp_path / "grey.png")
    image = read_image(
        tmp_path / "grey.png", small_card(channels=3), (tmp_path / "grey.png").read_bytes()
    )
    assert image.shape == (1, 3, 8, 8)
    assert set(image.flatten().tolist()) == {0.2}
    assert made.note == "The given picture was scaled to 8 × 8 pixels."
    wide = np.zeros((16, 20), np.uint8)
    wide[:, 2:18] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    made = job(sources, "process", root=tmp_path, columns=2, image="wide.png", pixelated=True)
    assert (tiles(finished(made, tmp_path)[0])[0] == 200).all()
    assert "was cropped to its middle square and scaled to 8 × 8" in made.note
    for width, height in ((7, 9), (7, 7)):
        Image.new("L", (width, height)).save(tmp_path / "odd.png")
        words = rf"odd\.png: is {width}×{height} pixels; .* least 8×8"
        with pytest.raises(RefusedError, match=words):
            read_image(tmp_path / "odd.png", small_card(), (tmp_path / "odd.png").read_bytes())


def test_damaged_example(tmp_path: Path) -> None:
    """Another picture under the example's name is refused."""
    source = model_source("heat", add_example(write_model(tmp_path / "heat")))
    assert source.example is not None
    Image.new("L", (8, 8), 99).save(source.example)
    with pytest.raises(RefusedError, match="is not the example that its card means"):
        job({"tiny": source}, "process", columns=2)


def test_spectra(sources: Sources, tmp_path: Path) -> None:
    """The curves are those of the states themselves, unclipped; the DDPM's are over √ᾱ_k."""
    made = job(sources, "spectra", ddpm="noise", count=3, levels=3, seed=2)
    drawing, results = finished(made, tmp_path)
    rows = {(row[0], row[1]): row[2:] for row in results["tables"][-1]["rows"]}
    sampler, baseline = (
        load_sampler(sources["tiny"], CPU),
        load_sampler(sources["noise"], CPU),
    )
    told = [1, 2, 4, 8, -1]  # rings of 0.5, 1, 2 and 4 cycles an image, and the last
    states = [torch.from_numpy(u) for u in displayed(sampler.begin(2, range(3), None), "state")]
    wanted: dict[Any, torch.Tensor] = {
        ("IHDM", level): spectrum(states[4 - level])[told] for level in (4, 2, 0)
    }
    wanted["data", None] = torch.tensor(sampler.prior.power)[told]
    x_K = baseline.start(2, range(3))
    trajectory = baseline.run(x_K, independent(2, range(3), (1, 8, 8)))
    noisy = {step.level: step.state for step in trajectory.steps} | {4: (x_K + 1) / 2}
    assert isinstance(baseline.card, Ddpm)
    alphas_bar = baseline.card.alphas_bar
    shown = [level for kind, level in rows if kind == "DDPM"]
    assert (shown[-1], shown) == (0, sorted(shown, reverse=True))
    for level in shown:
        wanted["DDPM", level] = spectrum(noisy[level])[told] / alphas_bar[level]
    assert rows.keys() == wanted.keys()
    for name, curve in wanted.items():
        assert rows[name] == pytest.approx(curve.tolist(), rel=0.02)
    assert "Root mean square distance" in results["summary"]
    curves = [each.get("class") for each in drawing.iter() if "M" in (each.get("d") or "")]
    assert {"heat-0", "heat-2", "noise-0", "data", "floor"} <= set(curves)


def test_spectra_alone_and_without_data(sources: Sources, tmp_path: Path) -> None:
    """No DDPM, no red; no spectrum of the data, no black, and the words say so."""
    heat = sources["tiny"]
    sampler = load_sampler(heat, CPU)
    assert heat.card.prior is not None
    assert heat.prior is not None
    (tmp_path / "model").mkdir()
    pinned = replace(sampler.prior, power=()).write(tmp_path / "model/prior.safetensors")
    card = replace(heat.card, prior=replace(heat.card.prior, sha256=pinned))
    bare = replace(heat, card=card, prior=tmp_path / "model/prior.safetensors")
    made = job({"tiny": bare}, "spectra", count=2, levels=2, show="mean")
    drawing, results = finished(made, tmp_path)
    assert [row[0] for row in results["tables"][0]["rows"]] == ["IHDM", "IHDM"]
    assert "spectrum of the data is not known" in results["summary"]
    classes = {each.get("class") for each in drawing.iter()}
    assert not {"data", "noise-0", "floor"} & classes


def test_data_of_a_preconditioned_model(sources: Sources) -> None:
    """Its weights know the data exactly; the bank of a few images is not asked."""
    images = dct2(torch.rand(9, 1, 8, 8, dtype=torch.float64)).float()
    statistics = Statistics(images.mean(0), images.var(0, correction=0))
    card = small_card(parameterization="preconditioned")
    model = Model(card, [random_unet(card)], statistics)
    prior = load_sampler(sources["tiny"], CPU).prior
    found = Sampler(process_of(model), prior=prior).data_spectrum()
    assert found == pytest.approx(spectrum_of(statistics).tolist())
    assert found is not None
    assert len(found) == rings(8)


def test_label_of_spectra(sources: Sources, tmp_path: Path) -> None:
    """The rows of the table are called as the author said."""
    made = job(sources, "spectra", count=2, levels=2, label="Ours")
    rows = finished(made, tmp_path)[1]["tables"][-1]["rows"]
    assert {row[0] for row in rows} == {"Ours", "data"}
