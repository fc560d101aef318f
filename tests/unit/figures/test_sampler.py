"""A sampler in the page: what may be asked, what is refused, and what the page says of it."""

from dataclasses import replace
from typing import Any

import pytest

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.figures.live import refuse_heavy
from sitegen.figures.sampler import PageSampler
from sitegen.html.figure_views import downloads, figure_view, front_picture
from sitegen.html.views import FigureView
from sitegen.media.manifest import Media, MediaFile, ModelRef, Record
from sitegen.models.browser import BrowserModel
from tests.support.calling import make_figure
from tests.support.making import small_card

PLACE = SourceLocation("pages/index.md", 3)


def test_spec() -> None:
    """A model is enough; the poster's samples are counted; networks that it lacks are told."""
    spec = make_figure("sampler", ("mnist",), {}, PLACE).spec
    card = replace(small_card(), subject="handwritten digits")
    assert spec == PageSampler("mnist", count=9, seed=0)
    assert spec.describe([card]) == "9 handwritten digits, drawn when this page was made"
    assert list(spec.unmet([card])) == []
    assert card.unet is not None
    odd = replace(card, unet=replace(card.unet, use_scale_shift_norm=True))
    (fault,) = spec.unmet([odd])
    assert "mnist has use_scale_shift_norm" in fault
    with pytest.raises(ConfigError, match=r"pages/index\.md:3: sampler\(…\): count"):
        make_figure("sampler", ("mnist",), {"count": 0}, PLACE)


def heavy(size: int, flop: float) -> BrowserModel:
    """A model of so many bytes that takes so much for a sample of one step."""
    bands = [{"lowest_level": 1, "flop": flop}]
    return BrowserModel({"bands": bands, "visited": [1, 0]}, bytes(size))


def test_heavy_models_are_refused() -> None:
    """By their bytes or their arithmetic, only by what is too much, and with what to do."""
    refuse_heavy("faces", heavy(24_000_000, 60e9))
    for model, words in (
        (heavy(26_000_000, 1e9), "26.0 MB to fetch, 1.04 times the limit of 25 MB; show it by"),
        (heavy(1000, 61e9), "page: 61.0 GFLOP a sample, 1.02 times the limit of 60 GFLOP; show"),
    ):
        with pytest.raises(RefusedError, match=words):
            refuse_heavy("faces", model)


def test_several_models() -> None:
    """Others are named once each, one or more; they may make images of any size, of our kind."""
    for also in ("faces", ["faces"], ("faces",)):
        spec = make_figure("sampler", ("mnist",), {"also": also}, PLACE).spec
        assert spec.models == ("mnist", "faces")
    card = small_card()
    assert card.unet is not None
    odd = replace(card, unet=replace(card.unet, use_scale_shift_norm=True))
    (fault,) = spec.unmet([card, odd])
    assert "faces has use_scale_shift_norm" in fault
    for twice in ("mnist", ("faces", "faces")):
        with pytest.raises(ConfigError, match="name each model once"):
            make_figure("sampler", ("mnist",), {"also": twice}, PLACE)
    with pytest.raises(ConfigError, match=r'also = "mnsit": no such model .*did you mean "mnist"'):
        make_figure("sampler", ("mnist",), {"also": "mnsit"}, PLACE, ["mnist"])


def view(gflop: Any, columns: Any = None, models: int = 1, **parameters: Any) -> FigureView:
    """What a page in a folder shows of a sampler; each further model is as the first."""
    files = {
        "poster": MediaFile("media/a.avif", 9, "0" * 64, 336, 224),
        "poster-webp": MediaFile("media/a.webp", 9, "0" * 64, 336, 224),
        "model": MediaFile("media/a.json", 30_000, "0" * 64, 28, 28),
        "weights": MediaFile("media/a.bin", 4_000_000, "0" * 64, 28, 28),
    }
    files |= {f"{name}-2": file for name, file in files.items()}
    names = (ModelRef("mnist", "1" * 64), ModelRef("faces", "1" * 64, subject="faces"))[:models]
    noted = {"gflop": gflop, "columns": columns, "width": 28}
    choices = {"choices": [noted] * models, "count": 9, **parameters}
    record = Record("sampler", names, 7, choices, (), files)
    media = Media("a", "more/index.html", "Alt", "Caption", record)
    assert front_picture(media) is files["poster-webp"]
    shown = figure_view(media, media.page)
    assert shown.shape == "sampler"
    return shown


def test_view() -> None:
    """Links of its page, a poster of one width, and the price in words."""
    shown = view(50.0, 3)
    (only,) = shown.choices
    assert (only.model, only.weights) == ("../media/a.json", "../media/a.bin")
    assert (only.width, only.height, only.side, only.name) == (400, 267, 28, "mnist")
    assert only.alt == "Alt"
    assert [label for label, _, _ in downloads(shown)] == ["Poster"]
    assert only.cost == (
        "Fetches 4.1 MB; then a sample takes about 2 seconds on a laptop, longer on a phone."
    )


def test_odd_records() -> None:
    """A record that lacks the numbers still has a page."""
    for shown in (view(None), view(None, choices="?"), view(None, choices=[1])):
        (only,) = shown.choices
        assert (only.width, only.cost) == (400, "Fetches 4.1 MB.")
