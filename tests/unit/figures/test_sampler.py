"""A sampler in the page: what may be asked, what is refused, and what the page says of it."""

from dataclasses import replace
from typing import Any

import pytest

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.figures.registry import figure_view, make_figure
from sitegen.figures.sampler import PageSampler
from sitegen.figures.sampler.sample import refuse_heavy
from sitegen.figures.views import LiveModel, front_picture
from sitegen.ihdm.checkpoints.browser import BrowserModel
from sitegen.media.manifest import Media, MediaFile, ModelRef, Record
from tests.support.making import small_card

PLACE = SourceLocation("pages/index.md", 3)


def test_spec() -> None:
    """A model is enough; the poster's samples are counted; networks that it lacks are told."""
    spec = make_figure("sampler", ("mnist",), {}, PLACE).spec
    card = replace(small_card(), subject="handwritten digits")
    assert spec == PageSampler("mnist", count=9, seed=0)
    assert spec.describe(card) == "9 handwritten digits, drawn when this page was made"
    assert list(spec.misfits([card])) == []
    assert card.unet is not None
    odd = replace(card, unet=replace(card.unet, use_scale_shift_norm=True))
    (fault,) = spec.misfits([odd])
    assert "mnist has use_scale_shift_norm" in fault
    with pytest.raises(ConfigError, match=r"pages/index\.md:3: sampler\(…\): count"):
        make_figure("sampler", ("mnist",), {"count": 0}, PLACE)


def heavy(size: int, flop: float) -> BrowserModel:
    """A model of so many bytes that takes so much for a sample of one step."""
    bands = [{"lowest_level": 1, "flop": flop}]
    return BrowserModel({"bands": bands, "visited": [1, 0]}, bytes(size))


def test_heavy_models_are_refused() -> None:
    """By their bytes or their arithmetic, with both numbers, the limits, and what to do."""
    refuse_heavy("faces", heavy(24_000_000, 60e9))
    for model in (heavy(26_000_000, 1e9), heavy(1000, 61e9)):
        with pytest.raises(RefusedError, match=r"25 MB .* GFLOP .* 60 .*trajectories\(\"faces\"\)"):
            refuse_heavy("faces", model)


def view(gflop: Any, **parameters: Any) -> LiveModel:
    """What a page in a folder shows of a sampler."""
    files = {
        "poster": MediaFile("media/a.webp", 9, "0" * 64, 336, 224),
        "model": MediaFile("media/a.json", 30_000, "0" * 64, 28, 28),
        "weights": MediaFile("media/a.bin", 4_000_000, "0" * 64, 28, 28),
    }
    record = Record("sampler", (ModelRef("mnist", "1" * 64),), 7, {"gflop": gflop}, (), files)
    record = replace(record, parameters={**record.parameters, **parameters})
    media = Media("a", "more/index.html", "Alt", "Caption", record)
    assert front_picture(media) is files["poster"]
    shown = figure_view(media, media.page)
    assert isinstance(shown, LiveModel)
    return shown


def test_view() -> None:
    """Links of its page, a poster whose pixels are squares, and the price in words."""
    shown = view(50.0, cells={"columns": 3, "width": 28})
    assert (shown.model, shown.weights) == ("../media/a.json", "../media/a.bin")
    assert (shown.width, shown.height, shown.side, shown.name) == (504, 336, 28, "mnist")
    assert [file.label for file in shown.downloads] == ["Poster"]
    assert ("GFLOP a sample", "50") in shown.origin.parameters
    assert shown.cost == (
        "Fetches 4.1 MB; then a sample takes about 2 seconds on a laptop, longer on a phone."
    )


@pytest.mark.parametrize(
    ("gflop", "words"),
    [(1.0, "under a second"), (25, "about a second"), (60.0, "about 2 seconds")],
)
def test_seconds(gflop: float, words: str) -> None:
    """A number that nobody takes for a measurement of their machine."""
    assert f" takes {words} on " in view(gflop).cost


def test_odd_records() -> None:
    """A record that lacks the numbers still has a page."""
    shown = view(None)
    assert (shown.width, shown.cost) == (336, "Fetches 4.1 MB.")
