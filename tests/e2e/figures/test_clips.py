"""Clips of every kind: their pictures are the samples, from the first state to the files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sitegen.core.errors import ConfigError
from sitegen.figures.hierarchy import Hierarchy
from sitegen.media.encoder import encode_clip, frames_at
from sitegen.media.frames import to_uint8
from sitegen.sampling.models import Sampler
from tests.support.pictures import cut_out, decibels
from tests.support.tinyfigures import DEEP, Sources, job, states

CLIPS: dict[str, dict[str, Any]] = {
    "trajectories": {"count": 6, "columns": 3, "seed": 2},
    "shared_initial_state": {"count": 4, "show": "mean"},
    "hierarchy": {"model": "deep", "leaves": 4, "seed": 1},
    "interpolation": {"points": 4, "hold": 1, "ddpm": "noise", "ddim_steps": 2},
    "shared_noise": {"count": 2, "rows": 2},
}


def finished(sampler: Sampler, samples: list[int], seed: int = 0) -> NDArray[np.uint8]:
    """The finished images of samples, as `sitegen sample` draws them."""
    *_, last = sampler.begin(seed, samples).seen("state")
    return to_uint8(last[1])


@pytest.mark.parametrize("kind", CLIPS)
def test_files_are_faithful(sources: Sources, kind: str, tmp_path: Path) -> None:
    """Posters and the last frame of a clip are at least 35 dB from the state at its end."""
    arguments = {"model": "tiny", **CLIPS[kind]}
    made = job(sources, kind, **arguments)
    pictures = states(made)
    assert made.clip is not None
    clip = replace(made.clip, states=pictures)
    last = pictures[clip.order[-1]]
    first = len(last) - 1 if clip.cells.nodes else 0
    files = encode_clip(clip, tmp_path)
    count = files["mp4"].frames
    assert count == len(clip.order)
    shown = frames_at(tmp_path / "clip.mp4", [count - 1], clip.cells.size)[count - 1]
    frame = cut_out(shown, clip.cells, clip.factor)
    assert decibels(frame[first : first + len(last)], last) >= 35
    for name in ("clip.avif", "clip.webp"):
        poster = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        cut = cut_out(poster, clip.cells, clip.factor)
        assert decibels(cut[first : first + len(last)], last) >= 35


def test_trajectories_are_plain_samples(sources: Sources, sampler: Sampler) -> None:
    """Cells are samples 0, 1, 2, …, or those chosen, and their numbers are in the manifest."""
    made = job(sources, "trajectories", count=4, seed=2)
    assert made.clip is not None
    assert (made.clip.cells.samples, made.clip.cells.plain) == ((0, 1, 2, 3), True)
    np.testing.assert_array_equal(states(made)[-1], finished(sampler, [0, 1, 2, 3], 2))
    chosen = job(sources, "trajectories", samples=[7, 3])
    assert chosen.clip is not None
    assert chosen.clip.cells.samples == (7, 3)
    np.testing.assert_array_equal(states(chosen)[-1], finished(sampler, [7, 3]))


def test_a_shared_initial_state(sources: Sources, sampler: Sampler) -> None:
    """All begin from the state of the first, which is its plain sample; others differ."""
    pictures = states(job(sources, "shared_initial_state", count=3))
    assert (pictures[0] == pictures[0][:1]).all()
    np.testing.assert_array_equal(pictures[-1][0], finished(sampler, [0])[0])
    assert (pictures[-1][1] != pictures[-1][0]).any()


def test_tree(sources: Sources) -> None:
    """Generations double at the splits, children continue their parent, levels are the model's."""
    made = job(sources, "hierarchy", "deep", splits=[6, 3])
    pictures = states(made)
    assert [len(state) for state in pictures] == [1] * 3 + [2] * 3 + [4] * 3
    assert made.levels == tuple(range(DEEP, -1, -1))
    cells = made.clip.cells if made.clip else None
    assert cells is not None
    assert [node.to_level for node in cells.nodes] == [6, 3, 3, 0, 0, 0, 0]
    assert made.parameters["splits"] == [6, 3]
    assert made.note == ""
    spec = Hierarchy("deep", splits=(6, 3))
    assert spec.splits_of(sources["deep"].card) == (6, 3)


def test_shared_noise(sources: Sources) -> None:
    """Columns begin from one state each, and rows have one noise each."""
    made = job(sources, "shared_noise", count=2, rows=2)
    pictures = states(made)
    assert made.clip is not None
    assert (made.clip.cells.columns, made.clip.cells.samples) == (2, (0, 0, 1, 1))
    assert made.clip.cells.together
    start = pictures[0]
    np.testing.assert_array_equal(start[:2], start[2:])
    assert (start[0] != start[1]).any()


def test_states_that_are_all_the_same(sources: Sources) -> None:
    """More columns than the prior has states are refused."""
    with pytest.raises(ConfigError, match="has only"):
        job(sources, "shared_noise", count=99)
