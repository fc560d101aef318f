"""Interpolations: ends that are plain samples, the turns of the clip, and what stands where."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sitegen.figures.interpolation.sample import turns
from sitegen.media.look.colours import LIGHT

from sitegen.generative.process.noise import independent
from sitegen.media.frames import Frame, to_uint8, upscale
from sitegen.media.jobs import RenderJob
from sitegen.media.labels import Panels
from sitegen.sampling.models import load_sampler
from tests.support.builders import CPU
from tests.support.tinyfigures import SIDE, Sources, frames, job
from tests.support.tinymodel import LEVELS


def way(sources: Sources, **arguments: object) -> RenderJob:
    """Prepare an interpolation beside a DDPM."""
    given: dict[str, Any] = {"ddpm": "noise", "points": 5, "hold": 2, "ddim_steps": 3}
    given |= {"pixelated": True, **arguments}
    return job(sources, "interpolation", **given)


def panels(rows: int, labels: tuple[str, ...] = ("IHDM", "DDPM", "DDIM")) -> Panels:
    """Where things stand."""
    return Panels(labels, rows, SIDE, *LIGHT)


def cut(frame: Frame, layout: Panels, panel: int, row: int) -> Frame:
    """One picture of a frame, at its own size."""
    top, left = layout.place(panel, row)
    spot = frame[top : top + layout.picture, left : left + layout.picture]
    small = spot[:: layout.factor, :: layout.factor]
    np.testing.assert_array_equal(upscale(small, layout.factor), spot)
    return small


def test_manifest(sources: Sources) -> None:
    """What the page needs to name panels and points, and the turns of the clip."""
    made = way(sources)
    assert made.parameters["panels"] == ["IHDM", "DDPM", "DDIM"]
    assert (made.parameters["points"], made.parameters["hold"]) == (5, 2)
    assert (made.levels, made.steps) == ((0,) * 14, LEVELS + LEVELS + 3)
    assert made.clips[""].spec.factor == 1
    assert json.loads(json.dumps(made.parameters)) == made.parameters
    assert turns(3, 2) == [0, 1, 2, 2, 2, 2, 1, 0, 0, 0]
    assert turns(2, 0) == [0, 1, 1, 0]


def test_ends_are_plain_samples(sources: Sources) -> None:
    """Of the model, of the DDPM and of DDIM, in every row."""
    seen = frames(way(sources, samples=[4, 1, 0, 7], seed=3))
    heat, noise = load_sampler(sources["tiny"], CPU), load_sampler(sources["noise"], CPU)
    layout = panels(2)
    for row, pair in enumerate([(4, 1), (0, 7)]):
        for sample, moments in zip(pair, ([0, -1], [4, 6]), strict=True):
            x_K = noise.start(3, [sample])
            ways_down = (
                heat.begin(3, [sample], None),
                noise.run(x_K, independent(3, [sample], (1, SIDE, SIDE))),
                noise.ddim(3).run(x_K, None),
            )
            for panel, trajectory in enumerate(ways_down):
                *_, last = trajectory.steps
                wanted = to_uint8(last.mean.numpy())[0].astype(int)
                for moment in moments:
                    shown = cut(seen[moment], layout, panel, row).astype(int)
                    assert np.abs(shown - wanted).max() <= 1, (panel, row, sample)


def test_there_and_back(sources: Sources) -> None:
    """Frames mirror each other, ends stand still, neighbours differ, and one panel is the same."""
    seen, layout, one = frames(way(sources)), panels(1), panels(1, ("IHDM",))
    assert len(seen) == 2 * (5 + 2)
    for at, point in enumerate(turns(5, 2)):
        np.testing.assert_array_equal(seen[at], seen[point])
    for panel in range(3):
        points = [cut(frame, layout, panel, 0) for frame in seen[:5]]
        assert all(not np.array_equal(*pair) for pair in pairwise(points))
    alone = way(sources, ddpm=None)
    assert alone.parameters["panels"] == ["IHDM"]
    named = way(sources, ddpm=None, label="Ours").parameters
    assert (named["panels"], named["label"]) == (["Ours"], "Ours")
    for left, right in zip(frames(alone), seen, strict=True):
        np.testing.assert_array_equal(cut(left, one, 0, 0), cut(right, layout, 0, 0))


def test_strip(sources: Sources, tmp_path: Path) -> None:
    """A row of points for each way to sample, for light pages and for dark ones."""
    made = way(sources, points=12)
    frames(made)
    files = [draw(tmp_path) for draw in made.stills.values()]
    assert [file.path for file in files] == ["strip.webp", "strip-dark.webp"]
    pitch = 920 // 10 // SIDE * SIDE + 4
    assert {file.height for file in files} == {3 * pitch - 4}
    assert all(10 * pitch < file.width < 13 * pitch for file in files)
