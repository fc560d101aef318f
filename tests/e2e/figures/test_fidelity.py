"""The pictures of the paper's page are the samples of the shipped models."""

from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sitegen.builder.plan import BuildContext, BuildOptions, prepare
from sitegen.builder.render import FigureRenderer
from sitegen.config.schema import load_site
from sitegen.figures.base import Figure
from sitegen.media.encoder import encode_clip, frames_at
from sitegen.media.frames import to_uint8
from tests.support.builders import CPU
from tests.support.pictures import cut_out, decibels
from tests.support.sweeping import LOG, counted
from tests.support.tinyfigures import states

SITE = Path(__file__).parents[3] / "site.toml"
CLIPS = ("hierarchy", "interpolation", "shared_initial_state", "shared_noise", "trajectories")
OTHERS = {"process", "sampler", "spectra", "atlas"}  # test_atlas.py measures its clip
MOST = {"count": 2, "columns": 2, "rows": 1, "points": 3, "leaves": 4}
"""Arguments of figures here; `make faults` takes those of the page."""
SMALLEST = 2
"""Times that pictures of the page are enlarged, at least."""


@pytest.fixture(scope="module")
def context() -> BuildContext:
    """The paper's site."""
    return prepare(load_site(SITE), BuildOptions(CPU))


def test_all_kinds_are_measured(context: BuildContext) -> None:
    """The page has no kind of clip that is missing here."""
    kinds = {planned.figure.kind for planned in context.figures}
    assert kinds == OTHERS.union(CLIPS)


def fewer(spec: Any) -> Any:
    """The same call with fewer pictures."""
    names = MOST.keys() & {field.name for field in fields(spec)}
    return replace(spec, **{name: min(getattr(spec, name) or 8, MOST[name]) for name in names})


@pytest.mark.parametrize("kind", CLIPS)
def test_files_are_faithful(context: BuildContext, kind: str, tmp_path: Path) -> None:
    """Each picture of a poster and of the last frame is at least 35 dB from its sample.

    Cells that are plain samples are compared with those that `sitegen sample` draws.
    """
    figures = [each.figure for each in context.figures if each.figure.kind == kind]
    assert figures
    for figure in figures:
        measured = fidelity(context, figure, tmp_path)
        assert min(measured.values()) >= 35, (figure.id, measured)
    counted("clips and posters compared with samples", len(figures))


def fidelity(context: BuildContext, figure: Figure, folder: Path) -> dict[str, float]:
    """Encode a figure's clip; return the dB of the worst picture in each of its files."""
    figure = figure if LOG else replace(figure, spec=fewer(figure.spec))
    renderer = FigureRenderer(context.models, CPU)
    made = renderer.render_job(figure)
    pictures = states(made)
    assert made.clip is not None
    cells = made.clip.cells.enlarged(Fraction(SMALLEST, made.clip.factor))
    clip = replace(made.clip, cells=cells, factor=SMALLEST, states=pictures)
    files = encode_clip(clip, folder)
    last = pictures[clip.order[-1]]
    first = len(last) - 1 if cells.nodes else 0
    if cells.plain and not made.parameters.get("labels"):
        sampler = renderer.sampler(figure.spec.models[0])
        *_, (_, drawn) = sampler.begin(made.parameters["seed"], cells.samples).seen("state")
        last = to_uint8(drawn)
    count = files["mp4"].frames or 0
    shown = {"mp4": frames_at(folder / "clip.mp4", [count - 1], cells.size)[count - 1]}
    for name in ("poster", "poster-webp"):
        shown[name] = np.asarray(Image.open(folder / files[name].path).convert("RGB"))
    worst = {}
    for name, frame in shown.items():
        cut = cut_out(frame, cells, SMALLEST)[first : first + len(last), : last.shape[1]]
        worst[name] = min(map(decibels, cut, last))
    return worst
