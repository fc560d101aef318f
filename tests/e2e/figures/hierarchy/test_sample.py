"""The rendered tree: distinct states once, shared states exactly, every picture in its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sitegen.build.context import BuildOptions
from sitegen.build.pipeline import build
from sitegen.build.renderer import FigureRenderer
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.core.progress import Silent
from sitegen.figures.base import Figure
from sitegen.figures.clips import DARK, LIGHT
from sitegen.figures.hierarchy.sample import pace
from sitegen.figures.hierarchy.spec import Hierarchy
from sitegen.ihdm.process.model import Model
from sitegen.ihdm.process.noise import branching
from sitegen.ihdm.process.reverse import reverse_process
from sitegen.media.frames import Frame, to_uint8, upscale
from sitegen.media.jobs import RenderJob
from sitegen.models.registry import ModelSource, model_source
from sitegen.sampling.models import HeatSampler, load_heat_sampler
from tests.support.builders import CPU, write_page
from tests.support.tinymodel import on_one_thread, write_model

K = 8
SPLITS = (K, K // 2, K // 4)
PLACE = SourceLocation("pages/index.md", 3)

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The files of a tiny model with eight levels."""
    folder = write_model(tmp_path_factory.mktemp("models") / "tiny", levels=K)
    return model_source("tiny", folder)


@pytest.fixture(scope="module")
def sampler(source: ModelSource) -> HeatSampler:
    """The tiny model."""
    return load_heat_sampler(source, CPU)


def job(source: ModelSource, **spec: object) -> RenderJob:
    """Prepare a tree of the tiny model."""
    tree = Hierarchy("tiny", **{"splits": SPLITS, **spec})  # type: ignore[arg-type]
    return FigureRenderer({"tiny": source}, CPU).render_job(
        Figure("hierarchy", "tree", tree, "", None, PLACE)
    )


def film(made: RenderJob) -> dict[str, list[Frame]]:
    """All frames of every clip, in the order in which a build takes them."""
    return {variant: list(footage.frames) for variant, footage in made.clips.items()}


def states(sampler: HeatSampler, seed: int = 0) -> dict[int, Tensor]:
    """The states of the tree at each level, one of each branch, and in the end the means."""
    noise = branching(seed, SPLITS, sampler.model.card.shape)
    trajectory = sampler.trajectory(sampler.initial_states(seed, [0]), noise)
    found = {K: trajectory.u_K}
    for step in trajectory.steps:
        found[step.level] = step.state if step.level else step.mean
    return found


def alive(level: int) -> int:
    """How many branches there are at a level, counted without the code that is tested."""
    return 1 << len([split for split in SPLITS if level < split])


@pytest.mark.parametrize("background", ["both", "light", "dark"])
def test_each_distinct_state_is_computed_once(
    source: ModelSource, background: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splits at K, K/2 and K/4: one state, then 2, 4 and 8; however often they are drawn."""
    seen: list[int] = []
    forward = Model.forward

    def counted(self: Model, u: Tensor, level: int) -> Tensor:
        seen.extend([level] * len(u))
        return forward(self, u, level)

    monkeypatch.setattr(Model, "forward", counted)
    film(job(source, background=background))
    assert [seen.count(level) for level in range(8, 0, -1)] == [1, 2, 2, 2, 2, 4, 4, 8]


def test_leaves_share_all_states_above_their_common_node(sampler: HeatSampler) -> None:
    """Bit for bit, in the arrays; and below it they differ."""
    tree = states(sampler)
    assert [len(tree[level]) for level in range(K, -1, -1)] == [1, 2, 2, 2, 2, 4, 4, 8, 8]
    for one, other in combinations(range(8), 2):
        common = (one ^ other).bit_length()  # generations between the leaves and their node
        for level, rows in tree.items():
            deep = alive(level).bit_length() - 1
            rests = [leaf >> (3 - deep) for leaf in (one, other)]
            same = torch.equal(*(rows[index] for index in rests))
            assert same is (level >= SPLITS[3 - common]), (one, other, level)


def test_each_leaf_is_what_it_would_be_alone(sampler: HeatSampler) -> None:
    """Sampled from the root on its own, with the noise of its branches, a leaf is the same."""
    tree, noise = states(sampler), branching(0, SPLITS, sampler.model.card.shape)
    for leaf in range(8):

        def own(level: int, leaf: int = leaf) -> Tensor:
            return noise(level)[leaf >> (3 - noise.depth(level))][None]

        for step in reverse_process(sampler.model, sampler.initial_states(0, [0]), own):
            row = tree[step.level][leaf * alive(step.level) // 8]
            alone = step.state if step.level else step.mean
            assert float((row - alone[0]).abs().max()) < 1e-5 * float(row.abs().max())


@pytest.mark.parametrize("show", ["state", "mean"])
def test_nodes_are_where_the_manifest_says(
    source: ModelSource, sampler: HeatSampler, show: str
) -> None:
    """At the last level of each its picture stands at its place, and keeps standing there."""
    made = job(source, show=show, background="light")
    tree = states(sampler)
    clips = film(made)
    nodes = made.parameters["nodes"]
    assert [(node["depth"], node["index"]) for node in nodes] == [
        (depth, index) for depth in range(4) for index in range(2**depth)
    ]
    assert {node["from_level"] for node in nodes} == {8, 7, 3, 1}
    for frames in clips.values():
        for node in nodes:
            level = node["to_level"]
            first = len(made.levels) - 1 - made.levels[::-1].index(level)
            spots = [cut(frame, node) for frame in frames[first:]]
            assert all(np.array_equal(spot, spots[0]) for spot in spots)
            if show == "state" or level == 0:
                picture = to_uint8(tree[level].numpy())[node["index"]]
                np.testing.assert_array_equal(spots[0], upscale(picture, made.parameters["factor"]))


def cut(frame: Frame, node: dict[str, int]) -> Frame:
    """The part of a frame where a node is."""
    x, y, size = node["x"], node["y"], node["size"]
    return frame[y : y + size, x : x + size]


def test_light_and_dark_are_one_tree(source: ModelSource) -> None:
    """The same pictures on the paper of light pages and on that of dark ones."""
    made = job(source)
    clips = film(made)
    assert list(clips) == ["", "dark"]
    for frames, (paper, ink) in zip(clips.values(), (LIGHT, DARK), strict=True):
        assert all((frame[0, 0] == paper).all() for frame in frames)
        assert (frames[-1] == ink).all(-1).any()
    for node in made.parameters["nodes"]:
        np.testing.assert_array_equal(cut(clips[""][-1], node), cut(clips["dark"][-1], node))
    dark = film(job(source, background="dark"))
    assert list(dark) == [""]
    np.testing.assert_array_equal(dark[""][-1], clips["dark"][-1])
    assert list(job(source, background="light").clips) == [""]


def test_time(source: ModelSource) -> None:
    """The root is held, all levels take their turn, and the whole tree stays for two seconds."""
    made = job(source, background="light")
    spec = made.clips[""].spec
    assert all(above - below in (0, 1) for above, below in pairwise(made.levels))
    held = made.levels.count(0), made.levels.count(K), made.levels.count(4)
    assert held[0] - held[2] == round(2 * spec.fps)
    assert held[1] - held[2] == round(0.75 * spec.fps)
    assert 8 <= len(made.levels) / spec.fps <= 12
    (frames,) = film(made).values()
    assert len(frames) == len(made.levels)
    assert all(np.array_equal(frame, frames[-1]) for frame in frames[-held[0] + held[2] :])


@pytest.mark.parametrize(
    ("levels", "frames", "fps"), [(100, 2, 25.0), (200, 1, 25.0), (1000, 1, 60.0)]
)
def test_pace(levels: int, frames: int, fps: float) -> None:
    """A tree grows in about eight seconds, where 24 to 60 frames a second allow it."""
    assert pace(levels, None) == (frames, fps)
    assert pace(levels, 30.0) == (frames, 30.0)


def test_wide_and_even(source: ModelSource) -> None:
    """1280 pixels wide, pictures enlarged by a whole number, and sides that video can have."""
    made = job(source, background="light")
    frame = next(made.clips[""].frames)
    height, width, _ = frame.shape
    assert width == 1280
    assert height % 2 == 0
    assert made.clips[""].spec.factor == 1
    assert made.parameters["factor"] * 8 == made.parameters["nodes"][0]["size"]


def test_default_splits_are_told(source: ModelSource) -> None:
    """The manifest has the levels at which the tree split, and is JSON."""
    made = job(source, splits=None, leaves=4)
    assert made.parameters["splits"] == [8, 5]
    assert made.parameters["leaves"] == 4
    assert json.loads(json.dumps(made.parameters)) == made.parameters


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("splits=[9, 4]", "splits: the model tiny has 8 levels, and none is 9"),
        ("leaves=16", "leaves: the model tiny has only 3 levels to split at"),
    ],
)
def test_levels_that_the_model_lacks(tmp_path: Path, call: str, told: str) -> None:
    """They are a mistake in the page, told with file and line before anything is rendered."""
    write_model(tmp_path / "models" / "tiny", levels=8 if "splits" in call else 3)
    config = tmp_path / "site.toml"
    config.write_text('title = "A title"\n[models.tiny]\npath = "models/tiny"\n')
    (tmp_path / "pages").mkdir()
    write_page(config, f'Words.\n\n{{{{ hierarchy("tiny", {call}) }}}}\n')
    with pytest.raises(ConfigError, match=rf"index\.md:3: .*hierarchy\(…\): {told}"):
        build(config, BuildOptions(CPU), FigureRenderer, Silent())


def test_frames_stream(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frame is there before the second level is computed."""
    seen: list[int] = []
    forward = Model.forward

    def watched(self: Model, u: Tensor, level: int) -> Tensor:
        seen.append(level)
        return forward(self, u, level)

    monkeypatch.setattr(Model, "forward", watched)
    frames: Iterator[Frame] = job(source).clips[""].frames
    next(frames)
    assert seen == []
