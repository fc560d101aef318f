"""Grids on the arrays: one shared u_K with noise of each sample's own, and honest last rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sitegen.media.look.colours import BACKGROUND

from sitegen.generative.process.noise import independent
from sitegen.generative.process.protocol import run
from sitegen.media.frames import Frame, grid, to_uint8
from sitegen.sampling.models import Sampler, load_sampler
from tests.support.builders import CPU
from tests.support.tinyfigures import SIDE, Sources, frames, job
from tests.support.tinymodel import LEVELS


def pictures(frame: Frame, columns: int, count: int) -> list[Frame]:
    """The pictures of a frame whose rows are complete."""
    return [
        frame[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        for row, column in (divmod(at, columns) for at in range(count))
    ]


def trajectory(
    sampler: Sampler, sample: int, seed: int, *, first: int
) -> list[NDArray[np.float32]]:
    """A sample's states K … 1 and its last mean, from the initial state of the sample `first`."""
    u_K = sampler.start(seed, [first])
    steps = sampler.run(u_K, independent(seed, [sample], sampler.card.shape)).steps
    return [u_K.numpy(), *((step.state if step.level else step.mean).numpy() for step in steps)]


SIZES = ((36, None, 6, 6), (25, None, 5, 5), (1, None, 1, 1), (5, 3, 2, 3))


def test_sizes(sources: Sources, sampler: Sampler) -> None:
    """36 are 6 × 6, 25 are 5 × 5, one stands alone; or as many in a row as asked for."""
    for count, asked, rows, columns in SIZES:
        made = job(sources, "trajectories", count=count, columns=asked, seed=2)
        first = next(made.clips[""].frames)
        assert first.shape == (rows * SIDE, columns * SIDE, 3)
        size = {"width": SIDE, "height": SIDE}
        assert made.parameters["cells"] == {
            "rows": rows,
            "columns": columns,
            "count": count,
            **size,
        }
        assert made.levels == tuple(range(LEVELS, -1, -1))
        assert json.loads(json.dumps(made.parameters)) == made.parameters
    u_K = sampler.begin(2, range(5), None).u_K.numpy()
    np.testing.assert_array_equal(first, grid(to_uint8(u_K), 3, BACKGROUND))


@pytest.mark.parametrize(
    ("kind", "arguments", "columns"),
    [
        ("trajectories", {"count": 24, "columns": 12}, 8),
        ("shared_initial_state", {"count": 18, "columns": 9}, 6),
        ("trajectories", {"count": 17, "columns": 17}, 8),
        ("shared_noise", {"count": 12, "rows": 2}, 6),
    ],
)
def test_grids_for_phones(
    sources: Sources, kind: str, arguments: dict[str, Any], columns: int
) -> None:
    """Long rows are drawn again in shorter ones, with the same pictures in the same order."""
    made = job(sources, kind, seed=1, **arguments)
    count = arguments["count"] * arguments.get("rows", 1)
    assert made.parameters["narrow"] == {"columns": columns}
    assert (made.clips[""].spec.gif, made.clips["narrow"].spec.gif) == (True, False)
    wide = frames(made)
    whole = count // columns * columns
    for one, other in zip(wide, made.clips["narrow"].frames, strict=True):
        assert other.shape == (-(-count // columns) * SIDE, columns * SIDE, 3)
        seen = pictures(one, arguments.get("columns", arguments["count"]), whole)
        np.testing.assert_array_equal(seen, pictures(other, columns, whole))


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("trajectories", {"count": 16, "columns": 8}),
        ("trajectories", {"count": 150, "columns": 10}),
        ("shared_noise", {"count": 11}),
    ],
)
def test_grids_that_are_drawn_once(sources: Sources, kind: str, arguments: dict[str, Any]) -> None:
    """Short rows, very many pictures, and rows that cannot be cut into equal parts."""
    made = job(sources, kind, **arguments)
    assert set(made.clips) == {""}
    assert "narrow" not in made.parameters


def test_noise_of_the_figure_beats_the_card(sources: Sources, sampler: Sampler) -> None:
    """δ is the card's, or the call's: with δ = 0 state and mean are the same."""
    still: dict[str, Any] = {"count": 1, "sampling_noise_std": 0.0}
    state, mean = (job(sources, "trajectories", show=show, **still) for show in ("state", "mean"))
    assert state.parameters["sampling_noise_std"] == 0.0
    assert all(map(np.array_equal, frames(state), frames(mean)))
    made = job(sources, "trajectories", count=1)
    assert made.parameters["sampling_noise_std"] == sampler.card.sampling_noise_std


def test_all_begin_from_one_state(sources: Sources, sampler: Sampler) -> None:
    """The first frame is one u_K, the first sample's of the seed, as often as asked for."""
    first = frames(job(sources, "shared_initial_state", count=6, columns=3, seed=2))[0]
    wanted = to_uint8(sampler.start(2, [0]).numpy())[0]
    assert all(np.array_equal(picture, wanted) for picture in pictures(first, 3, 6))


def test_each_has_noise_of_its_own(sources: Sources, sampler: Sampler) -> None:
    """Each sample is what its own noise makes of the shared state; no two end alike."""
    seen = frames(job(sources, "shared_initial_state", count=4, seed=2))
    for at in range(4):
        wanted = trajectory(sampler, at, 2, first=0)
        for frame, images in zip(seen, wanted, strict=True):
            found = pictures(frame, 2, 4)[at].astype(int)
            assert np.abs(found - to_uint8(images)[0]).max() <= 1
    finals = [picture.tobytes() for picture in pictures(seen[-1], 2, 4)]
    assert len(set(finals)) == 4


def test_chosen_samples_are_those_of_the_seed(sources: Sources, sampler: Sampler) -> None:
    """A chosen sample is the one of that number, in every kind that draws it; the numbers stay."""
    numbers = [7, 2, 11]
    made = job(sources, "trajectories", samples=numbers, columns=3, seed=2)
    assert made.parameters["samples"] == numbers
    *_, last = made.clips[""].frames
    shared = job(sources, "shared_initial_state", samples=numbers, columns=3, seed=2)
    *_, same = shared.clips[""].frames
    rows = job(sources, "shared_noise", samples=numbers, count=2, seed=2)
    states = rows.clips[""].frames
    tree = job(sources, "hierarchy", samples=[7, 2], seed=2, show="mean", pixelated=True)
    assert tree.parameters["samples"] == [7, 2]
    for at, number in enumerate(numbers):
        own = to_uint8(trajectory(sampler, number, 2, first=number)[-1])[0].astype(int)
        assert np.abs(pictures(last, 3, 3)[at].astype(int) - own).max() <= 1
        other = to_uint8(trajectory(sampler, number, 2, first=7)[-1])[0].astype(int)
        assert np.abs(pictures(same, 3, 3)[at].astype(int) - other).max() <= 1
    assert rows.parameters["cells"]["rows"] == len(numbers)
    *_, final = states
    assert final.shape == (3 * SIDE, 2 * SIDE, 3)
    grown = frames(tree)[-1]
    leaf, factor = tree.parameters["nodes"][1], tree.parameters["factor"]
    top, left, size = leaf["y"], leaf["x"], leaf["size"]
    seen = grown[top : top + size : factor, left : left + size : factor].astype(int)
    own = to_uint8(trajectory(sampler, 7, 2, first=7)[-1])[0].astype(int)
    assert np.abs(seen - own).max() <= 1


def test_process_makes_the_chosen_sample(sources: Sources, tmp_path: Path) -> None:
    """The lower row is made with the noise of the sample that is asked for, by itself number 0."""
    drawn = []
    for samples in (None, (0,), (5,)):
        made = job(sources, "process", columns=2, samples=samples)
        assert sum(1 for _ in made.work) == made.steps
        drawn.append((tmp_path / made.stills["image"](tmp_path).path).read_text("utf-8"))
    assert drawn[0] == drawn[1] != drawn[2]


def test_trajectories_of_a_ddpm(sources: Sources) -> None:
    """A DDPM's are those of its own sampler with the same noise, and have no δ."""
    made = job(sources, "trajectories", "noise", count=2, columns=2, seed=3)
    assert made.parameters["sampling_noise_std"] is None
    assert made.levels == tuple(range(LEVELS, -1, -1))
    trajectory = load_sampler(sources["noise"], CPU).begin(3, range(2))
    wanted = [trajectory.u_K, *(step.state for step in trajectory.steps)]
    for frame, images in zip(frames(made), wanted, strict=True):
        assert np.array_equal(frame, grid(to_uint8(images.numpy()), 2, BACKGROUND))


@pytest.mark.parametrize("model", ["noise", "cascade"])
def test_predicted_images(sources: Sources, model: str) -> None:
    """With show="final" each level but the first shows the image predicted from the one before."""
    sampler = load_sampler(sources[model], CPU)
    process = sampler.process
    shown = [images for _, images in sampler.begin(0, [0]).seen("final")]
    steps = list(run(process, sampler.start(0, [0]), sampler.noise(0, [0])))
    assert len(shown) == len(steps) + 1
    for images, step in zip(shown[1:-1], steps, strict=False):
        assert step.final is not None
        assert np.abs(images - process.pixels(step.final(), 0).numpy()).max() < 1e-4
    assert np.abs(shown[-1] - process.pixels(steps[-1].mean, 0).numpy()).max() < 1e-4
    assert frames(job(sources, "trajectories", model, count=1, show="final"))


VISITED = (8, 6, 5, 3, 1, 0)


def test_levels_of_a_cascade(sources: Sources, tmp_path: Path) -> None:
    """Frames, clips and charts are of the levels that its card visits, and say so."""
    for kind in ("trajectories", "shared_initial_state", "shared_noise"):
        made = job(sources, kind, "cascade", count=4)
        assert made.levels == VISITED
        assert len(frames(made)) == len(VISITED)
    sampler = load_sampler(sources["cascade"], CPU)
    shown = frames(job(sources, "trajectories", "cascade", count=1))
    wanted = trajectory(sampler, 0, 0, first=0)
    for frame, images in zip(shown, wanted, strict=True):
        assert np.abs(frame.astype(int) - to_uint8(images)[0]).max() <= 1
    made = job(sources, "process", "cascade", columns=3)
    assert made.parameters["shown"] == [0, 3, 8]
    assert sum(1 for _ in made.work) == made.steps == 6
    made = job(sources, "spectra", "cascade", count=2, levels=4)
    assert sum(1 for _ in made.work) == made.steps == 6
    rows = made.results()["tables"][-1]["rows"]
    assert {row[1] for row in rows if row[0] == "IHDM"} <= {*VISITED}
    made = job(sources, "interpolation", "cascade", points=3, ddpm="noise", ddim_steps=2)
    assert sum(1 for _ in made.work) == made.steps


def test_tree_of_a_cascade(sources: Sources) -> None:
    """It splits at visited levels only, and each picture's levels are such; none is missing."""
    made = job(sources, "hierarchy", "cascade", splits=(7, 4, 3), background="light")
    assert made.parameters["splits"] == [6, 3, 1]
    assert tuple(dict.fromkeys(made.levels)) == VISITED
    nodes = made.parameters["nodes"]
    ends = [(8, 6), (5, 3), (1, 1), (0, 0)]
    assert [(n["from_level"], n["to_level"]) for n in nodes if n["index"] == 0] == ends
    assert list(made.clips) == ["", "narrow"]
    assert len(frames(made)) == len(made.levels)
