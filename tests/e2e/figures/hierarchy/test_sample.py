"""The rendered tree: distinct states once, shared states exactly, every picture in its place."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sitegen.figures.hierarchy.sample import pace
from sitegen.media.look.colours import DARK, LIGHT
from torch import Tensor

from sitegen.generative.process.model import Model
from sitegen.generative.process.noise import Branching
from sitegen.media.frames import Frame, to_uint8, upscale
from sitegen.media.jobs import RenderJob
from sitegen.sampling.models import Sampler, load_sampler
from tests.support.builders import CPU
from tests.support.tinyfigures import DEEP as K
from tests.support.tinyfigures import Sources, job

SPLITS = (K, K // 2, K // 4)


@pytest.fixture(scope="module")
def sampler(sources: Sources) -> Sampler:
    """The model with eight levels."""
    return load_sampler(sources["deep"], CPU)


def grown(sources: Sources, **spec: object) -> RenderJob:
    """Prepare a tree of that model, whose manifest is JSON."""
    given: dict[str, Any] = {"splits": SPLITS, **spec}
    made = job(sources, "hierarchy", "deep", **given)
    assert json.loads(json.dumps(made.parameters)) == made.parameters
    return made


def clips_of(made: RenderJob) -> dict[str, list[Frame]]:
    """All frames of every clip, in the order in which a build takes them, after the work."""
    assert sum(1 for _ in made.work) == made.steps
    return {variant: list(clip.frames) for variant, clip in made.clips.items()}


@pytest.fixture(scope="module")
def both(sources: Sources) -> tuple[RenderJob, dict[str, list[Frame]]]:
    """The tree on light and dark pages, and all its frames."""
    made = grown(sources)
    return made, clips_of(made)


def states(sampler: Sampler) -> dict[int, Tensor]:
    """The states of the tree at each level, one of each branch, and in the end the means."""
    noise = Branching(0, SPLITS, sampler.card.shape)
    trajectory = sampler.run(sampler.start(0, [0]), noise)
    steps = {step.level: step.state if step.level else step.mean for step in trajectory.steps}
    return {K: trajectory.u_K, **steps}


@pytest.mark.parametrize("background", ["both", "light"])
def test_each_distinct_state_is_computed_once(
    sources: Sources, background: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each branch is computed once, however often it is drawn, and no sooner than its turn."""
    seen: list[int] = []
    forward = Model.forward

    def counted(self: Model, u: Tensor, level: int) -> Tensor:
        seen.extend([level] * len(u))
        return forward(self, u, level)

    monkeypatch.setattr(Model, "forward", counted)
    next(iter(grown(sources, background=background).work))
    assert seen == []
    clips_of(grown(sources, background=background))
    assert [seen.count(level) for level in range(8, 0, -1)] == [1, 2, 2, 2, 2, 4, 4, 8]


@pytest.mark.parametrize("show", ["state", "mean"])
def test_nodes_are_where_the_manifest_says(sources: Sources, sampler: Sampler, show: str) -> None:
    """At the last level of each its picture stands at its place, and keeps standing there."""
    made = grown(sources, show=show, background="light")
    tree, nodes = states(sampler), made.parameters["nodes"]
    frames = clips_of(made)[""]
    places = [(depth, index) for depth in range(4) for index in range(2**depth)]
    assert [(node["depth"], node["index"]) for node in nodes] == places
    assert {node["from_level"] for node in nodes} == {8, 7, 3, 1}
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


def test_light_and_dark_are_one_grown(
    sources: Sources, both: tuple[RenderJob, dict[str, list[Frame]]]
) -> None:
    """The same pictures on the paper of light pages and on that of dark ones."""
    made, clips = both
    assert list(clips) == ["", "dark", "narrow", "narrow-dark"]
    for frames, (paper, ink) in zip(clips.values(), (LIGHT, DARK) * 2, strict=True):
        assert all((frame[0, 0] == paper).all() for frame in frames)
        assert (frames[-1] == ink).all(-1).any()
    for node in made.parameters["nodes"]:
        np.testing.assert_array_equal(cut(clips[""][-1], node), cut(clips["dark"][-1], node))
    small = made.parameters["narrow"]["nodes"]
    for node, other in zip(made.parameters["nodes"], small, strict=True):
        assert {**node, **other} == {**other, "depth": node["depth"], "index": node["index"]}
        for name in ("narrow", "narrow-dark"):  # another factor
            middle = cut(clips[name][-1], other)[other["size"] // 2, other["size"] // 2]
            half = node["size"] // 2
            np.testing.assert_array_equal(middle, cut(clips[""][-1], node)[half, half])
    assert list(grown(sources, background="dark").clips) == ["", "narrow"]
    told = grown(sources, splits=None, leaves=4).parameters
    assert (told["splits"], told["leaves"]) == ([8, 5], 4)


def test_time(both: tuple[RenderJob, dict[str, list[Frame]]]) -> None:
    """The root is held, all levels take their turn, and encoding holds the whole tree."""
    made, clips = both
    fps = made.clips[""].spec.fps
    assert all(above - below in (0, 1) for above, below in pairwise(made.levels))
    whole, root, usual = (made.levels.count(level) for level in (0, K, 4))
    assert (whole - usual, root - usual) == (0, round(0.75 * fps))
    assert 8 <= len(made.levels) / fps <= 10
    assert made.clips[""].spec.ending == round(2 * fps)
    assert len(clips[""]) == len(made.levels)
    for levels, frames, rate in ((100, 2, 25.0), (200, 1, 25.0), (1000, 1, 60.0)):
        assert pace(levels, None) == (frames, rate)
        assert pace(levels, 30.0) == (frames, 30.0)
