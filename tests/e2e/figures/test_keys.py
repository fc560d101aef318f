"""Keys by perturbation: each field and text changes the key, or leaves every byte."""

import shutil
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sitegen.builder.plan import PlannedFigure, plan
from sitegen.builder.render import FigureRenderer, Rendering
from sitegen.builder.store import Store
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import RefusedError
from sitegen.figures.registry import figure_kinds
from sitegen.generative.card.labels import LabelsConfig
from sitegen.media import encoder
from sitegen.models.registry import model_source
from tests.support.builders import CPU
from tests.support.calling import make_figure
from tests.support.reporters import Silent
from tests.support.tinyfigures import Sources
from tests.support.tinymodel import add_example, write_flow, write_model

KINDS: dict[str, dict[str, Any]] = {
    "trajectories": {"count": 4},
    "shared_initial_state": {"count": 3},
    "hierarchy": {"leaves": 4},
    "interpolation": {"points": 3, "hold": 1, "ddpm": "noise", "ddim_steps": 2},
    "shared_noise": {"count": 2, "rows": 2},
    "process": {"columns": 3},
    "spectra": {"count": 2, "levels": 3, "ddpm": "noise"},
    "ladder": {"count": 2, "also": "noise"},
    "sampler": {"count": 2},
    "atlas": {"columns": 2},
    "renoise": {"count": 2},
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
    "ddim_steps": 3,
    "leaves": 2,
    "splits": [3, 1],
    "vary": "brightness",
    "levels": 4,
    "ddpm": None,
    "also": ["cascade"],
    "around": 0.5,
    "model": "deep",
    "image": "own.png",
    "pixelated": True,
    "labels": 1,
    "guidance": 0.5,
    "steps": 3,
    "sampler_name": "ddim",
    "samplers": ["ddim"],
    "texts": ["a text"],
    "images": ["own.png", "own.png"],
    "level": 1,
    "target": "0.3",
    "beside": "cascade",
    "live": False,
}
"""Another value for each field that decides pixels."""
OTHERS: dict[str, dict[str, Any]] = {
    "process": {"columns": 4, "samples": [3], "model": "cascade"},
    "renoise": {"levels": [2], "model": "cascade"},
    "trajectories": {"addresses": ["0.3012"]},
    "atlas": {"columns": 3, "splits": [4, 1], "target": "0.3012"},
}
"""Values for kinds that do not take these."""


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
    (record,) = rendering.render_all([planned]).values()
    return {name: file.sha256 for name, file in record.files.items()}


def test_recipes(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    """A raised recipe of a kind changes the keys of that kind alone, that of `media` all keys."""
    before = {kind: planned(sources, kind).key for kind in KINDS}
    with monkeypatch.context() as patch:
        patch.setattr(figure_kinds()["hierarchy"], "recipe", 99)
        after = {kind: planned(sources, kind).key for kind in KINDS}
        assert {kind for kind in KINDS if after[kind] != before[kind]} == {"hierarchy"}
    monkeypatch.setattr("sitegen.builder.plan.RECIPE", 99)
    assert not {planned(sources, kind).key for kind in KINDS} & {*before.values()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field(sources: Sources, kind: str, tmp_path: Path) -> None:
    """A changed field changes the key, but for those that are words."""
    spec = figure_kinds()[kind]
    (tmp_path / "own.png").write_bytes(b"a picture")
    pets = LabelsConfig(("cat", "dog"))
    labelled = add_example(write_model(tmp_path / "pets", num_classes=3, labels=pets))
    everything = {
        **sources,
        "flow": model_source("flow", write_flow(tmp_path / "flow")),
        "pets": model_source("pets", labelled),
    }
    bases: dict[str, dict[str, Any]] = {
        "around": {"model": "flow", "around": 1.0},
        "labels": {"model": "pets"},
        "guidance": {"model": "pets", "labels": 0},
        "steps": {"model": "cascade"},
        "sampler_name": {"model": "noise", "label": "N"},
        "samplers": {"model": "noise"},
        "images": {"ddpm": None},
        "level": {"ddpm": None, "images": ["own.png", "own.png"]},
    }
    for name in (each.name for each in fields(spec) if each.init):
        if name in ("label", "chosen_from"):
            continue
        if name == "sampler_name" and kind in ("shared_initial_state", "shared_noise", "process"):
            continue  # they need noise in each step, which no other sampler draws
        value = (CHANGES | OTHERS.get(kind, {}))[name]
        if name == "texts":
            figure = planned(everything, kind, tmp_path).figure
            value = value * figure.spec.text_slots(sources["tiny"].card)
        base = bases.get(name, {})
        if kind == "renoise" and name != "image":
            base = {**base, "image": "own.png"}
        if kind == "ladder" and "pets" in base.values():
            base = {**base, "also": "pets"}  # all of its models have the labels
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
    if kind in ("interpolation", "spectra"):
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
    assert not Store(tmp_path / "store").find([figure.key])
    shutil.copy(picture, tmp_path / "own.png")
    assert rendered(figure, sources, tmp_path / "store")
