"""Calls of figures that stand still: what is wrong with them is told with file and line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitegen.build.plan import PlannedFigure, plan_figure
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.figures.base import Figure
from sitegen.figures.registry import make_figure
from sitegen.ihdm.card.card import FileRef, ModelCard
from sitegen.models.registry import ModelSource
from tests.support.builders import CARD

DDPM = """
kind = "ddpm"
image_size = 16
channels = 1
levels = 10
[unet]
model_channels = 32
channel_mult = [1]
[diffusion]
beta_schedule = "cosine"
"""


@pytest.fixture
def sources(tmp_path: Path) -> Mapping[str, ModelSource]:
    """Models of made-up bytes: `heat`, `noise`, a `large` DDPM and one that `shows` a picture."""
    (tmp_path / "dir").mkdir()
    for name in ("weights", "prior", "one.png", "two.png"):
        (tmp_path / name).write_bytes(name.encode())
    heat, noise = ModelCard.from_toml(CARD), ModelCard.from_toml(DDPM)
    large = ModelCard.from_toml(DDPM.replace("16", "32"))
    shows = ModelCard.from_toml(CARD + '[example]\nfile = "one.png"\n')
    return {
        "heat": ModelSource("heat", heat, tmp_path / "weights", tmp_path / "prior"),
        "noise": ModelSource("noise", noise, tmp_path / "weights", None),
        "large": ModelSource("large", large, tmp_path / "weights", None),
        "shows": ModelSource(
            "shows", shows, tmp_path / "weights", tmp_path / "prior", None, tmp_path / "one.png"
        ),
    }


def call(
    sources: Mapping[str, ModelSource], root: Path, kind: str, *args: str, **kwargs: Any
) -> Figure:
    """A call in line 3 of the site in `root`."""
    return make_figure(kind, args, kwargs, SourceLocation("index.md", 3), sources, root)


def planned(
    sources: Mapping[str, ModelSource], root: Path, kind: str, *args: str, **kwargs: Any
) -> PlannedFigure:
    """The same, planned."""
    return plan_figure(call(sources, root, kind, *args, **kwargs), "index.html", sources)


@pytest.mark.parametrize("kind", ["spectra", "smoothness"])
def test_with_and_without_baseline(
    sources: Mapping[str, ModelSource], tmp_path: Path, kind: str
) -> None:
    """The DDPM counts as one of the figure's models, and in its words, if there is one."""
    alone, both = (
        planned(sources, tmp_path, kind, "heat", ddpm=name, **_FEW[kind])
        for name in (None, "noise")
    )
    assert [each.name for each in alone.models] == ["heat"]
    assert [each.name for each in both.models] == ["heat", "noise"]
    assert alone.request_digest != both.request_digest
    assert "DDPM" in both.figure.spec.describe(4)
    assert "DDPM" not in alone.figure.spec.describe(4)


_FEW: dict[str, dict[str, Any]] = {"spectra": {}, "smoothness": {"ddim_steps": 5}}
_WRONG_MODELS = {
    "ddpm first": (
        ("spectra", "noise", {}),
        r'spectra\(…\): the model noise is of kind "ddpm", and this needs "ihdm": heat, shows',
    ),
    "heat second": (
        ("smoothness", "heat", {"ddpm": "shows"}),
        r'smoothness\(…\): the model shows is of kind "ihdm", and this needs "ddpm": large, noise',
    ),
    "process": (("process", "noise", {}), 'of kind "ddpm", and this needs "ihdm"'),
    "size": (
        ("spectra", "heat", {"ddpm": "large"}),
        "images of different sizes: heat 1 × 16 × 16 and large 1 × 32 × 32",
    ),
    "ddim steps": (
        ("smoothness", "heat", {"ddpm": "noise", "ddim_steps": 11}),
        "ddim_steps = 11: the model noise has 10 levels",
    ),
    "columns": (("process", "shows", {"columns": 6}), "columns = 6: the model shows has 5 levels"),
    "no example": (
        ("process", "heat", {"columns": 2}),
        "image is missing: the card of heat names no example",
    ),
}


@pytest.mark.parametrize(("asked", "told"), _WRONG_MODELS.values(), ids=_WRONG_MODELS.keys())
def test_models_that_do_not_fit(
    sources: Mapping[str, ModelSource], tmp_path: Path, asked: Any, told: str
) -> None:
    """A wrong kind, with the models that would do; other sizes; fewer levels than asked for."""
    kind, model, kwargs = asked
    with pytest.raises(ConfigError, match=told):
        planned(sources, tmp_path, kind, model, **kwargs)


_WRONG = {
    "unknown ddpm": (
        {"kind": "spectra", "ddpm": "nois"},
        'ddpm = "nois": no such model .* "noise"',
    ),
    "count": (
        {"kind": "spectra", "count": 0},
        "count = 0: should be a whole number from 1",
    ),
    "levels": ({"kind": "spectra", "levels": 1}, "levels = 1: should be"),
    "pairs": ({"kind": "smoothness", "pairs": 1}, "pairs = 1: should be"),
    "points": ({"kind": "smoothness", "points": 2}, "points = 2: should be"),
    "point": ({"kind": "smoothness", "point": 5}, 'point: unknown key, did you mean "points"'),
    "columns": ({"kind": "process", "columns": 13}, "columns = 13: should be"),
    "no such picture": (
        {"kind": "process", "image": "onee.png"},
        'image = "onee.png": there is no such file, did you mean "one.png"',
    ),
    "absolute": (
        {"kind": "process", "image": "/etc/passwd"},
        "should be a path from the folder of site.toml",
    ),
    "outside": (
        {"kind": "process", "image": "../one.png"},
        "should be a path from the folder of site.toml",
    ),
    "folder": ({"kind": "process", "image": "dir"}, "is a folder; name the file inside it"),
}


@pytest.mark.parametrize(("asked", "told"), _WRONG.values(), ids=_WRONG.keys())
def test_wrong_arguments(
    sources: Mapping[str, ModelSource], tmp_path: Path, asked: dict[str, Any], told: str
) -> None:
    """Each is told with file and line, and a close match where there is one."""
    with pytest.raises(ConfigError, match=rf"^index\.md:3: .*{told}"):
        call(sources, tmp_path, asked.pop("kind"), "heat", **dict(asked))


def test_link_out_of_the_site(sources: Mapping[str, ModelSource], tmp_path: Path) -> None:
    """A site shows nothing that a link brings in from elsewhere."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "one.png").symlink_to(tmp_path / "one.png")
    with pytest.raises(ConfigError, match="is a link out of the site's folder"):
        call(sources, tmp_path / "site", "process", "heat", image="one.png")


def test_the_picture_decides_pixels(sources: Mapping[str, ModelSource], tmp_path: Path) -> None:
    """Its content, whatever its name: the author's, or else the example's, and no other figure."""

    def request_digest(kind: str = "process", **kwargs: Any) -> str:
        fresh = {
            name: ModelSource(**{k: v for k, v in vars(s).items() if k in _PARTS})
            for name, s in sources.items()
        }
        more = {"columns": 5} if kind == "process" else {}
        return planned(fresh, tmp_path, kind, "shows", **more, **kwargs).request_digest

    first, own, grid = request_digest(), request_digest(image="two.png"), request_digest("spectra")
    assert first != own
    (tmp_path / "three.png").write_bytes(b"two.png")
    assert request_digest(image="three.png") == own
    (tmp_path / "two.png").write_bytes(b"another")
    assert request_digest(image="two.png") != own
    (tmp_path / "one.png").write_bytes(b"another")
    assert request_digest() != first
    assert request_digest("spectra") == grid


_PARTS = ("name", "card", "weights", "prior", "card_path", "example")


def test_pinned_example(sources: Mapping[str, ModelSource], tmp_path: Path) -> None:
    """A pinned picture that is not there is known by its digest, so a render needs no file."""
    (tmp_path / "one.png").unlink()
    card = ModelCard.from_toml(CARD)
    pinned = FileRef("one.png", "a" * 64)
    source = replace(sources["shows"], card=replace(card, example=pinned))
    assert planned({"shows": source}, tmp_path, "process", "shows", columns=5).request_digest
