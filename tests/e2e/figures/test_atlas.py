"""The map of an atlas: what its tiles share, what the page gets, and the zoom to one of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sitegen.core.diagnostics import SourceLocation
from sitegen.figures.atlas import Atlas
from sitegen.figures.atlas.sample import starts_in_place
from sitegen.figures.base import evaluations
from sitegen.generative.maths.address import Address
from sitegen.generative.maths.noise import Addressed
from sitegen.generative.networks.unet import UNet
from sitegen.media.encoder import encode_clip, frames_at
from sitegen.media.frames import enlarge, to_uint8
from sitegen.models.registry import model_source
from sitegen.sampling.models import Sampler, load_sampler
from sitegen.sampling.tiles import Tiles, default_splits, tiles_of
from tests.support.builders import CPU
from tests.support.calling import make_figure
from tests.support.forked import sitegen
from tests.support.pictures import decibels
from tests.support.tinyfigures import Sources, job, states
from tests.support.tinymodel import write_flow, write_model

PLACE = SourceLocation("index.md", 1)


def addresses(*texts: str) -> list[Address]:
    """Parse addresses."""
    return [Address.parse(text) for text in texts]


def test_addresses() -> None:
    """A text is one address, and every other text is refused with an example."""
    assert Address.parse("5.0231") == Address(5, (0, 2, 3, 1))
    assert [str(address) for address in addresses("5", "12.3")] == ["5", "12.3"]
    nodes = [address.node(2) for address in addresses("0.00", "0.33", "1.00")]
    assert nodes == [16, 31, (1 << 32) + 16]
    for text in ("", "5.", ".1", "5.4", "-1", "5.0231 ", "5." + "0" * 16, "١"):
        with pytest.raises(ValueError, match=r"one is a start and digits 0 to 3, as 5\.0231"):
            Address.parse(text)


def test_noise_is_shared_down_to_the_split() -> None:
    """Two addresses have one noise above the split at which they part, and two below."""
    noise = Addressed(3, tuple(addresses("2.01", "2.02", "2.11")), (9, 5), (1, 4, 4))
    above, below = noise(6), noise(5)
    assert torch.equal(above[0], above[1])
    assert not torch.equal(above[0], above[2])
    assert not torch.equal(below[0], below[1])
    assert torch.equal(noise(9)[0], noise(9)[1])


def test_a_tile_is_the_same_however_it_is_reached(sampler: Sampler) -> None:
    """A tile drawn alone, among its siblings, and by the process from the start, is one image."""
    tiles = Tiles(sampler, 4, (4, 2))
    address = Address(1, (2, 3))
    alone = tiles.at(address)
    starts = tiles.starts([0, 1])
    leaves = tiles.children(tiles.children(starts))
    (among,) = (tile for tile in leaves if tile.address == address)
    np.testing.assert_allclose(among.picture, alone.picture, atol=1e-4)
    noise = Addressed(4, (address,), (4, 2), sampler.card.shape)
    *_, (_, whole) = sampler.run(sampler.start(4, [1]), noise).seen("state")
    np.testing.assert_allclose(whole[0], alone.picture, atol=1e-4)
    pictures = np.stack([leaf.picture for leaf in leaves])
    assert len(np.unique(pictures.reshape(32, -1), axis=0)) == 32


def test_tiles_without_noise(tmp_path: Path) -> None:
    """In a flow the first tile continues its parent; the others are finished images of their own.

    The first leaf of a start is therefore the sample of that number.
    """
    flow = load_sampler(model_source("flow", write_flow(tmp_path)), CPU)
    tiles = tiles_of(flow, 4)
    *_, (_, sample) = flow.begin(4, [1]).seen("state")
    depth = len(tiles.splits)
    np.testing.assert_allclose(tiles.at(Address(1, (0,) * depth)).picture, sample[0], atol=1e-4)
    (start,) = tiles.starts([1])
    children = tiles.children([start])
    assert torch.equal(children[0].state, start.state)
    pictures = [child.picture for child in children]
    assert all(not np.allclose(pictures[0], other) for other in pictures[1:])
    (alone,) = tiles.children([children[3]], [0])
    assert torch.equal(alone.state, children[3].state)


@pytest.mark.parametrize("name", ["tiny", "cascade"])
def test_octaves(sources: Sources, name: str) -> None:
    """Each split is at half the blur of the one before, or at the next lower level visited."""
    card = sources[name].card
    splits, values = default_splits(card), card.axis.values
    assert splits[0] == card.visited_levels[0]
    assert set(splits) <= set(card.visited_levels[:-1])
    for octave, level in enumerate(splits):
        assert values[level] <= values[splits[0]] / 2**octave * 1.001


def test_places() -> None:
    """Lightness grows outwards, and around the middle the hue goes around once."""
    means = np.random.default_rng(0).random((16, 3)).astype(np.float32)
    rows = np.array(starts_in_place(means, 4))
    assert sorted(rows.ravel()) == list(range(16))
    light = means.mean(axis=1)[rows]
    inner = light[1:3, 1:3].copy()
    light[1:3, 1:3] = 2
    assert inner.max() <= light.min()
    red, green, blue = means[[rows[1, 1], rows[1, 2], rows[2, 2], rows[2, 1]]].T
    hues = np.arctan2(3**0.5 / 2 * (green - blue), red - (green + blue) / 2)
    assert sum(np.diff([*hues, hues[0]]) < 0) == 1


@pytest.mark.parametrize("name", ["tiny", "noise", "flow"])
def test_estimate(sources: Sources, tmp_path: Path, name: str) -> None:
    """The estimate of a build is the number of images that the network evaluates."""
    models = {**sources, "flow": model_source("flow", write_flow(tmp_path / "flow"))}
    counts = list[int]()

    def count(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, UNet):
            counts.append(len(inputs[0]))

    made = job(models, "atlas", name, columns=2, live=False)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        states(made)
    finally:
        hook.remove()
    spec = Atlas(name, columns=2, live=False)
    assert evaluations(spec, [models[name].card]) == (sum(counts),)


@pytest.mark.usefixtures("small_clips")
def test_files(sources: Sources, sampler: Sampler, tmp_path: Path) -> None:
    """The prepared maps hold each tile in its place, and the zoom ends with the target's image."""
    made = job(sources, "atlas", columns=2, seed=4)
    assert sum(1 for _ in made.work) == made.steps
    assert made.clip is not None
    files = encode_clip(made.clip, tmp_path)
    files |= {name: draw(tmp_path) for name, draw in made.stills.items()}
    assert json.loads(json.dumps(made.parameters)) == made.parameters
    (facts,) = made.parameters["choices"]
    tiles = tiles_of(sampler, 4)
    assert facts["splits"] == list(tiles.splits)
    assert sorted(n for row in facts["starts"] for n in row) == [0, 1, 2, 3]
    picture = np.asarray(Image.open(tmp_path / files["tiles"].path).convert("RGB"))
    across = 2 << facts["prepared"]
    size = picture.shape[1] // across
    first = [start for row in facts["starts"] for start in row].index(3)
    for depth, number in enumerate((first, 4 + 4 * first + 1, 4 + 16 + 16 * first + 6)):
        address, (row, column) = Address(3, (1, 2)[:depth]), divmod(number, across)
        seen = picture[row * size :, column * size :][:size, :size]
        drawn = Image.fromarray(to_uint8(tiles.at(address).picture[None])[0])
        assert decibels(seen, np.asarray(drawn.resize((size, size), Image.Resampling.BOX))) >= 25
    count = sum(4 * 4**depth for depth in range(facts["prepared"] + 1))
    assert picture.shape[0] == -(-count // across) * size
    target = tiles.at(Address.parse(made.parameters["target"]))
    count, side = files["mp4"].frames or 0, files["mp4"].width
    last = frames_at(tmp_path / "clip.mp4", [count - 1], (side, side))[count - 1]
    goal = Image.fromarray(to_uint8(target.picture[None])[0]).resize((side // 2,) * 2, 3)
    assert decibels(last, enlarge(np.asarray(goal), 2, smooth=True)) >= 35
    assert made.levels[0] == sampler.card.visited_levels[0]
    assert made.levels[-1] == 0
    assert files["poster"].width == files["poster-webp"].width > 4 * 256


def test_a_figure_of_addresses(sources: Sources, sampler: Sampler) -> None:
    """A grid shows the images of addresses, which stand under them; others are refused."""
    depth = len(default_splits(sampler.card))
    texts = tuple("1." + digit * depth for digit in "03")
    made = job(sources, "trajectories", seed=4, addresses=texts)
    assert made.clip is not None
    *_, last = made.clip.states
    tiles = tiles_of(sampler, 4)
    expected = np.stack([tiles.at(address).picture for address in addresses(*texts)])
    assert decibels(last, to_uint8(expected)) > 45
    assert (made.clip.cells.texts, made.clip.cells.samples) == (texts, ())
    spec = make_figure("trajectories", ("tiny",), {"addresses": ["1.0"]}, PLACE).spec
    assert f"should have {depth} digits" in next(spec.unmet([sampler.card]))


def test_a_map_that_is_not_live(sources: Sources) -> None:
    """A model that no page draws with has its prepared maps alone, if its author asks for that."""
    odd = sources["tiny"].card
    assert odd.unet is not None
    changed: Any = {"unet": replace(odd.unet, use_scale_shift_norm=True)}
    odd = replace(odd, **changed)
    live, still = (Atlas("tiny", columns=2, live=value) for value in (True, False))
    assert "has use_scale_shift_norm" in next(live.unmet([odd]))
    assert list(still.unmet([odd])) == []
    made = job(sources, "atlas", columns=2, live=False)
    assert sum(1 for _ in made.work) == made.steps
    assert made.stills.keys() == {"poster", "poster-webp", "tiles"}


def test_beside(sources: Sources, tmp_path: Path) -> None:
    """A second model has a map of its own, with its own levels; files go on counting."""
    made = job(sources, "atlas", columns=2, beside="cascade")
    assert sum(1 for _ in made.work) == made.steps
    assert {"tiles-2", "model-2", "weights-2"} <= made.stills.keys()
    first, other = made.parameters["choices"]
    assert first["splits"] == list(default_splits(sources["tiny"].card))
    assert other["splits"] == list(default_splits(sources["cascade"].card))


def test_arguments_that_a_model_lacks(sources: Sources) -> None:
    """A target is on the map and at its end; both models of a map visit its splits."""
    cards = [sources[name].card for name in ("tiny", "cascade")]
    depth, top = len(default_splits(cards[0])), cards[0].levels
    for target in (f"4.{'0' * depth}", "1.0"):
        (fault,) = Atlas("tiny", columns=2, target=target).unmet(cards[:1])
        assert f"{target} should have a start below 4, and {depth} digits" in fault
    assert list(Atlas("tiny", columns=2, target=f"3.{'0' * depth}").unmet(cards[:1])) == []
    (fault,) = Atlas("tiny", beside="cascade", splits=(top,)).unmet(cards)
    assert "splits: those of cascade should begin with" in fault


def test_the_command_draws_an_address(tmp_path: Path) -> None:
    """`sitegen sample --address` writes the tile as a PNG, and says what is wrong otherwise."""
    write_model(tmp_path / "tiny", channels=3)
    wanted = ("sample", "tiny", "--seed", "4", "--precision", "float32", "--address")
    assert "tiny at 1.23, level 2, in x.png" in sitegen(
        tmp_path, *wanted, "1.23", "--output", "x.png"
    )
    sampler = load_sampler(model_source("tiny", tmp_path / "tiny"), CPU)
    expected = to_uint8(tiles_of(sampler, 4).at(Address(1, (2, 3))).picture[None])[0]
    assert decibels(np.asarray(Image.open(tmp_path / "x.png")), expected) > 50
    for text, fault in (("1.4", "no address"), ("1." + "0" * 9, "9 digits, and the model splits")):
        assert fault in sitegen(tmp_path, *wanted, text, "--output", "x.png", code=2)
    said = sitegen(tmp_path, *wanted, "1", "--output", "x.npz", code=2)
    assert "end its name in .png" in said
