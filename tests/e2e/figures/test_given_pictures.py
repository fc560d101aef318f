"""Given pictures: their forward process, the way back from its levels, and the way between two."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sitegen.builder.plan import plan
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.figures.clips import FRAMES
from sitegen.generative.card.labels import LabelsConfig
from sitegen.generative.maths.noise import Purpose, independent, normal
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.protocol import process_of
from sitegen.media.frames import to_uint8
from sitegen.models.registry import model_source
from sitegen.sampling.models import Sampler, load_sampler
from tests.e2e.figures.test_stills_sample import finished, tiles
from tests.support.builders import CPU
from tests.support.calling import make_figure
from tests.support.tinyfigures import SIDE, Sources, job, states
from tests.support.tinymodel import write_flow, write_model

PLACE = SourceLocation("index.md", 1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    draws = np.random.default_rng(0)
    for name in ("one.png", "two.png"):
        Image.fromarray(draws.integers(0, 256, (SIDE, SIDE), np.uint8)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def ddpm(sources: Sources) -> Sampler:
    """The tiny DDPM."""
    return load_sampler(sources["noise"], CPU)


def pixels(path: Path) -> Tensor:
    """A picture as an image (1, 1, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(Image.open(path)))[None, None].double() / 255


def noised(ddpm: Sampler, image: Tensor, level: int, draws: Tensor) -> Tensor:
    """The state of a DDPM by its formula, of an image in [0, 1]."""
    assert isinstance(ddpm.card, Ddpm)
    kept = ddpm.card.alphas_bar[level]
    state: Tensor = kept**0.5 * (2 * image - 1) + (1 - kept) ** 0.5 * draws
    return state.float()


def drawn_back(ddpm: Sampler, start: Tensor, level: int, noise: Any) -> np.ndarray[Any, Any]:
    """The finished pictures of states of a level."""
    *_, (_, images) = ddpm.back(start, level, noise).seen("mean")
    return to_uint8(images)


def test_forward_process_of_noise(
    sources: Sources, pictures: Path, ddpm: Sampler, tmp_path: Path
) -> None:
    """Above a DDPM noises the picture, below it begins with what that ended in."""
    arguments: dict[str, Any] = {"columns": 3, "seed": 4, "image": "one.png", "pixelated": True}
    made = job(sources, "process", "noise", pictures, **arguments)
    drawing, results = finished(made, tmp_path)
    found = tiles(drawing)
    draws = normal(4, Purpose.BRANCH, [0], 0, (1, SIDE, SIDE))
    rows = results["tables"][0]["rows"]
    image = pixels(pictures / "one.png")
    for number, (level, _) in enumerate(rows):
        wanted = (noised(ddpm, image, level, draws) + 1) / 2
        assert np.abs(found[number].astype(int) - to_uint8(wanted.numpy())[0]).max() <= 1
    assert np.array_equal(found[2], found[5])
    assert not np.array_equal(found[0], found[3])
    assert made.note == ""
    texts = "".join(drawing.itertext())
    assert "Forward process" in texts
    assert "heat" not in texts


def test_renoise(sources: Sources, pictures: Path, ddpm: Sampler) -> None:
    """A row for each level: the picture, and what is drawn of it from there, by its formula."""
    made = job(
        sources, "renoise", "noise", pictures, image="one.png", levels=[2, 4], samples=[3, 5]
    )
    frames = states(made)
    image = pixels(pictures / "one.png")
    assert len(frames) == FRAMES + 1
    for row, level in enumerate((2, 4)):
        draws = normal(0, Purpose.BRANCH, [3, 5], level, (1, SIDE, SIDE))
        start = noised(ddpm, image, level, draws)
        first, last = (frame.reshape(2, 3, SIDE, SIDE, 3)[row] for frame in (frames[0], frames[-1]))
        for frame in (first, last):
            assert np.abs(frame[0].astype(int) - to_uint8(image.numpy())[0]).max() == 0
        shown = to_uint8(((start + 1) / 2).numpy())
        assert np.abs(first[1:].astype(int) - shown).max() <= 1
        wanted = drawn_back(ddpm, start, level, independent(0, [3, 5], (1, SIDE, SIDE)))
        assert np.abs(last[1:].astype(int) - wanted).max() <= 1
    assert made.clip is not None
    assert made.clip.cells.texts == ("given", "t = 2", "t = 2", "given", "t = 4", "t = 4")


def test_renoise_with_labels(pictures: Path, tmp_path: Path) -> None:
    """Where a row has several classes, each stands under its pictures, before the level."""
    names = ("cat", "dog")
    folder = write_model(
        tmp_path / "pets", num_classes=3, norm_groups=8, labels=LabelsConfig(names)
    )
    sources = {"pets": model_source("pets", folder)}
    made = job(
        sources, "renoise", "pets", pictures, image="one.png", levels=[2], labels="all", count=2
    )
    assert made.clip is not None
    given, cat, dog = made.clip.cells.texts
    assert (given, cat[:7], dog[:7]) == ("given", "cat, σ ", "dog, σ ")


@pytest.mark.parametrize("name", ["tiny", "cascade", "noise"])
def test_renoise_of_every_process(sources: Sources, pictures: Path, name: str) -> None:
    """Levels that are not visited are the next lower ones, and there are three of its own."""
    figure = make_figure(
        "renoise", (name,), {"image": "one.png"}, SourceLocation("i", 1), root=pictures
    )
    levels = figure.spec.levels_of(sources[name].card)  # type: ignore[attr-defined]
    assert {*levels} <= {*sources[name].card.visited_levels[:-1]}
    frames = states(job(sources, "renoise", name, pictures, image="one.png", count=2))
    assert frames[-1].shape == (9, SIDE, SIDE, 3)


def test_states_of_images(tmp_path: Path) -> None:
    """A flow has images in [-1, 1], and its forward process the picture at level 0."""
    process = process_of(load_sampler(model_source("flow", write_flow(tmp_path)), CPU).model)
    image = torch.rand(2, *process.card.shape)
    draws = torch.randn(image.shape)
    assert torch.allclose(process.forward(image, 0, draws), 2 * image - 1, atol=1e-6)
    assert torch.allclose(process.forward(image, process.levels[0], draws), draws, atol=1e-6)


def test_between_two_pictures(sources: Sources, pictures: Path, ddpm: Sampler) -> None:
    """The ends are the pictures drawn back from the level, each with its own noise."""
    images = ["one.png", "two.png"]
    made = job(sources, "interpolation", "noise", pictures, images=images, level=3, points=5)
    frames = states(made)
    assert len(frames) == 5
    draws = normal(0, Purpose.BRANCH, [0, 1], 3, (1, SIDE, SIDE))
    for number, frame in ((0, frames[0]), (1, frames[-1])):
        start = noised(ddpm, pixels(pictures / images[number]), 3, draws[number])
        wanted = drawn_back(ddpm, start, 3, independent(0, [number], (1, SIDE, SIDE)))
        assert np.abs(frame.astype(int) - wanted).max() <= 1
    assert (
        made.note == "Both pictures were taken to the level 3, and drawn back from between there."
    )


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "fault"),
    [
        ("renoise", "deep", {}, "image is missing: the card of deep has no example"),
        ("renoise", "tiny", {"levels": [0, 9]}, "levels: 9 is not among 1 to 4 of tiny"),
        ("renoise", "tiny", {"image": "none.png"}, "there is no such file"),
        ("interpolation", "tiny", {"level": 2}, "level = 2: is that of two pictures"),
        ("interpolation", "tiny", {"images": ["one.png"]}, "images = .* two pictures, as in"),
        (
            "interpolation",
            "tiny",
            {"images": ["one.png", "two.png"], "ddpm": "noise", "level": 9, "samples": [3, 4]},
            "level = 9: the model tiny has 4 levels",
        ),
    ],
)
def test_faults(
    sources: Sources, pictures: Path, kind: str, name: str, arguments: dict[str, Any], fault: str
) -> None:
    """Pictures and levels that are not there are refused with what there is."""

    def planned() -> None:
        plan(make_figure(kind, (name,), arguments, PLACE, None, pictures), "index.html", sources)

    with pytest.raises(ConfigError, match=fault):
        planned()
