"""SVG is well-formed whatever its words are, complete in itself, and the same bytes every time."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from sitegen.core.errors import PlatformError, TargetError
from sitegen.figures.svg import Drawing, element, label, picture, written

HOSTILE = "</title><script>alert(1)</script>&\"'\u2028"


def drawing(body: Markup, words: str = "Words") -> Drawing:
    """A small drawing."""
    return Drawing(200.0, 100.0, 640, words, words, body)


def test_file(tmp_path: Path) -> None:
    """It has the size that the record tells, a title and a description, and a dark style."""
    file = drawing(label(10, 20, "x", size=14)).write(tmp_path)
    root = ElementTree.parse(tmp_path / file.path).getroot()
    assert (file.width, file.height) == (640, 320)
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == (
        "640",
        "320",
        "0 0 200 100",
    )
    names = [each.tag.rpartition("}")[2] for each in root]
    assert names == ["title", "desc", "style", "text"]
    assert "prefers-color-scheme: dark" in (root[2].text or "")
    assert root.get("role") == "img"
    assert file.bytes == (tmp_path / file.path).stat().st_size


def test_same_bytes_again(tmp_path: Path) -> None:
    """Written twice."""
    (tmp_path / "a").mkdir()
    frame = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    files = [
        drawing(picture(frame, 0, 0, 50)).write(folder) for folder in (tmp_path, tmp_path / "a")
    ]
    assert files[0].sha256 == files[1].sha256


def test_words_are_never_markup(tmp_path: Path) -> None:
    """Titles, texts and attributes are escaped."""
    file = drawing(element("g", label(0, 0, HOSTILE, size=10), id=HOSTILE), HOSTILE).write(tmp_path)
    root = ElementTree.parse(tmp_path / file.path).getroot()
    assert {each.tag.rpartition("}")[2] for each in root.iter()} == {
        "svg",
        "title",
        "desc",
        "style",
        "g",
        "text",
    }
    assert root[0].text == HOSTILE
    assert root[3].get("id") == HOSTILE


@pytest.mark.parametrize("channels", ["grey", "colour"])
def test_pictures_are_inside(channels: str) -> None:
    """A PNG without loss, grey where it has no colour; pixels of small ones stay squares."""
    frame = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    if channels == "grey":
        frame = np.repeat(frame[..., :1], 3, axis=2)
    found = ElementTree.fromstring(picture(frame, 1, 2, 50))
    data = base64.b64decode((found.get("href") or "").removeprefix("data:image/png;base64,"))
    image = Image.open(io.BytesIO(data))
    assert image.mode == ("L" if channels == "grey" else "RGB")
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), frame)
    assert found.get("class") == "pixels"
    assert (
        ElementTree.fromstring(picture(np.zeros((65, 65, 3), np.uint8), 0, 0, 5)).get("class")
        is None
    )


@pytest.mark.parametrize(
    "body",
    [
        element("image", href="https://example.org/x.png"),
        element("image", href="other.png"),
        element("rect", style="fill: url(https://example.org/x)"),
    ],
)
def test_nothing_from_outside(tmp_path: Path, body: Markup) -> None:
    """What needs more than itself does not count as drawn."""
    with pytest.raises(TargetError, match="needs something outside itself"):
        drawing(body).write(tmp_path)


def test_unwritable(tmp_path: Path) -> None:
    """A folder that is not there is told as the machine's lack."""
    with pytest.raises(PlatformError):
        drawing(Markup()).write(tmp_path / "missing")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (0.5, "0.5"),
        (1 / 3, "0.33"),
        (-0.001, "0"),
        (-1.5, "-1.5"),
        (100.0, "100"),
        (3, "3"),
    ],
)
def test_numbers(value: object, text: str) -> None:
    """At most two digits after the point, and no more than are needed."""
    assert written(value) == text
