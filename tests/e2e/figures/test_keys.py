"""Keys by perturbation: each constant, field and word changes the key, or leaves every byte."""

import ast
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sitegen.builder.plan import PlannedFigure, plan
from sitegen.builder.render import FigureRenderer, Rendering
from sitegen.builder.store import Store
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import RefusedError
from sitegen.figures import constants
from sitegen.figures.registry import figure_kinds, make_figure
from sitegen.generative.data.recording import open_recording, recorded_card
from sitegen.media import encoder, likeness
from sitegen.media.typeface import SHIPPED, Typeface
from sitegen.models.registry import model_source
from sitegen.record import record
from tests.support.builders import CPU
from tests.support.paths import MAKERS
from tests.support.reporters import Silent
from tests.support.tinyfigures import Sources
from tests.support.tinymodel import write_flow

KINDS: dict[str, dict[str, Any]] = {
    "trajectories": {"count": 4},
    "shared_initial_state": {"count": 3},
    "hierarchy": {"leaves": 4},
    "interpolation": {"points": 3, "hold": 1, "ddpm": "noise", "ddim_steps": 2},
    "shared_noise": {"count": 2, "rows": 2},
    "process": {"columns": 3},
    "spectra": {"count": 2, "levels": 3, "ddpm": "noise"},
    "sampler": {"count": 2},
}
CHANGES: dict[str, Any] = {
    "count": 5,
    "columns": 1,
    "seed": 1,
    "show": "mean",
    "sampling_noise_std": 0.5,
    "fps": 12.0,
    "samples": [3, 1],
    "points": 5,
    "hold": 2,
    "rows": 3,
    "pairs": 3,
    "ddim_steps": 3,
    "leaves": 2,
    "splits": [3, 1],
    "background": "dark",
    "vary": "brightness",
    "levels": 4,
    "ddpm": None,
    "also": ["cascade"],
    "around": 0.5,
    "grow": True,
    "model": "deep",
    "image": "own.png",
    "pixelated": True,
}
"""Another value for each field that decides pixels."""
OTHERS: dict[str, dict[str, Any]] = {
    "process": {"columns": 4, "samples": [3], "model": "cascade"},
}
"""Values for kinds that do not take these."""

UNKEYED: dict[str, str] = {
    "STALL_SECONDS": "time",
    "T": "type",
    "_LARGEST": "refuses",
    "_GOOD_PSNR": "verifies",
    "_GOOD_SHARE": "verifies",
    "_WORDS_SHOWN": "words of an error",
    "_WORDS_BYTES": "words of an error",
    "_RUNNING": "state",
    "_REMEDY": "words of an error",
    "FAMILY": "guarded by tests/tools/test_golden.py",
    "REGULAR": "guarded by tests/tools/test_golden.py",
    "BOLD": "guarded by tests/tools/test_golden.py",
    "_FONTS": "guarded by tests/tools/test_golden.py",
    "SHIPPED": "guarded by tests/tools/test_golden.py",
    "LARGEST": "refuses",
    "_SVG": "the namespace of SVG",
    "_OUTSIDE": "verifies",
    "WIDE": "made of the group's values",
    "NARROW": "made of the group's values",
    "CHART": "made of the group's values",
    "NARROW_CHART": "made of the group's values",
    "_CUTS": "decides results, which are no file",
}
"""Constants of these modules that no group holds, and why."""


def planned(
    sources: Sources, kind: str, root: Path = Path(), model: str = "tiny", **changes: Any
) -> PlannedFigure:
    """Plan a figure of a kind with its arguments, of which some are changed."""
    arguments = KINDS[kind] | changes
    if "samples" in changes and kind != "interpolation":
        arguments.pop("count" if kind != "shared_noise" else "rows", None)
        arguments.pop("leaves", None)
    place = SourceLocation("index.md", 1)
    return plan(make_figure(kind, (model,), arguments, place, root=root), "i", sources)


def rendered(planned: PlannedFigure, sources: Sources, folder: Path) -> dict[str, str]:
    """Render a figure, and return the digests of its files."""
    renderer = FigureRenderer(sources, CPU)
    rendering = Rendering(renderer, Store(folder), encoder.encode_clip, Silent(), {})
    (record,) = rendering.render_all([planned], 1).values()
    return {name: file.sha256 for name, file in record.files.items()}


def another(value: Any) -> Any:
    """Return a value of the same type that differs."""
    if isinstance(value, dict):
        return {key: another(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return (another(value[0]), *value[1:])
    return value + ("x" if isinstance(value, str) else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_constant(sources: Sources, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed constant of a group that a kind uses changes the kind's key; others do not."""
    known, used = planned(sources, kind).key, figure_kinds()[kind].spec.constants
    for group in constants.BASELINE:
        assert constants.constants(group)
        for name, value in constants.constants(group).items():
            with monkeypatch.context() as patch:
                patch.setattr(f"{group}.{name}", another(value))
                changed = planned(sources, kind).key != known
            assert changed == (group in used), (group, name)


def test_constants_of_recordings(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of a recording's figure has the constants of such figures, others do not."""
    with record(tmp_path / "ours.npz") as rec:
        rec(0.0, np.zeros((4, 1, 4, 4)))
        rec(1.0, np.ones((4, 1, 4, 4)))
    card = recorded_card(open_recording(tmp_path / "ours.npz"))
    recorded = {"tiny": replace(sources["tiny"], card=card)}
    before = [planned(each, "trajectories").key for each in (sources, recorded)]
    monkeypatch.setattr("sitegen.media.look.recorded.GIF_FILTER", "")
    after = [planned(each, "trajectories").key for each in (sources, recorded)]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_no_constant_is_outside_of_the_groups() -> None:
    """Modules that make files have no constant of their own but those that decide no byte."""
    found = {name for path in MAKERS for name in _constants(path)}
    assert found == UNKEYED.keys()


def _constants(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text("utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            for each in ast.walk(target) if target is not None else ():
                if isinstance(each, ast.Name) and each.id.isupper():
                    yield each.id


@pytest.mark.usefixtures("small_clips")
def test_constants_that_are_not_keyed(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip has the same bytes whatever those constants of the encoder are."""
    figure = planned(sources, "trajectories")
    before = rendered(figure, sources, tmp_path / "before")
    for name, value in {"STALL_SECONDS": 99.0, "_LARGEST": 9999}.items():
        monkeypatch.setattr(encoder, name, value)
    for name, value in {"_GOOD_PSNR": 1.0, "_GOOD_SHARE": 9.0}.items():
        monkeypatch.setattr(likeness, name, value)
    assert rendered(figure, sources, tmp_path / "after") == before


@pytest.mark.parametrize("kind", KINDS)
def test_every_field(sources: Sources, kind: str, tmp_path: Path) -> None:
    """A changed field changes the key, but for those that are words."""
    spec = figure_kinds()[kind].spec
    (tmp_path / "own.png").write_bytes(b"a picture")
    everything = {**sources, "flow": model_source("flow", write_flow(tmp_path / "flow"))}
    for name in (each.name for each in fields(spec)):
        if name in ("label", "chosen_from"):
            continue
        value = (CHANGES | OTHERS.get(kind, {}))[name]
        base: dict[str, Any] = {"model": "flow", "around": 1.0} if name == "around" else {}
        other = planned(everything, kind, tmp_path, **base)
        changed = planned(everything, kind, tmp_path, **{**base, name: value})
        assert changed.key != other.key, name


@pytest.mark.usefixtures("small_clips")
@pytest.mark.parametrize("kind", KINDS)
def test_every_word(sources: Sources, kind: str, tmp_path: Path) -> None:
    """Words of the author and of the card leave the key and every byte as they were.

    A label does not where the figure draws it: then it is part of the key.
    """
    first = planned(sources, kind)
    card = replace(sources["tiny"].card, subject="pears & <apples>", known_faults=("a fault",))
    others = {**sources, "tiny": replace(sources["tiny"], card=card)}
    words: dict[str, Any] = {"alt": "Other words.", "caption": "And more.", "id": "another"}
    if figure_kinds()[kind].spec.draws_label:
        assert planned(sources, kind, label="A").key != first.key
    else:
        words["label"] = "Ours"
    second = planned(others, kind, **words)
    assert second.key == first.key
    folders = (tmp_path / str(number) for number in count())
    assert rendered(first, sources, next(folders)) == rendered(second, others, next(folders))


def test_a_picture_that_changes_while_the_site_is_built(sources: Sources, tmp_path: Path) -> None:
    """A figure is drawn of the very bytes of its key, or not at all."""
    picture = sources["tiny"].example
    assert picture is not None
    shutil.copy(picture, tmp_path / "own.png")
    figure = planned(sources, "process", tmp_path, image="own.png")
    Image.new("L", (8, 8), 99).save(tmp_path / "own.png")
    with pytest.raises(RefusedError, match=r"own\.png: changed while the site was built"):
        rendered(figure, sources, tmp_path / "store")
    assert Store(tmp_path / "store").keys("") == ()
    shutil.copy(picture, tmp_path / "own.png")
    assert rendered(figure, sources, tmp_path / "store")


@pytest.mark.parametrize("kind", KINDS)
def test_another_typeface(sources: Sources, kind: str) -> None:
    """An author's typeface is in the keys of the kinds that write words, and in no other."""
    first = planned(sources, kind)
    other = replace(first.figure, typeface=Typeface(SHIPPED.bold, SHIPPED.bold))
    second = plan(other, "i", sources)
    writes = {constants.LABELS, constants.DRAWINGS} & {*figure_kinds()[kind].spec.constants}
    assert (second.key != first.key) == bool(writes)
