"""SVG is well-formed whatever its words are, complete in itself, and the same bytes every time."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from PIL import Image

from sitegen.core.errors import PlatformError, TargetError
from sitegen.figures.svg import (
    Axis,
    Drawing,
    Panel,
    decades,
    element,
    even_ticks,
    label,
    picture,
    power_of_ten,
    written,
)

HOSTILE = "</title><script>alert(1)</script>&\"'\u2028"


def drawing(body: Markup, words: str = "Words") -> Drawing:
    """A small drawing."""
    return Drawing(200.0, 100.0, 640, words, words, body)


def test_file(tmp_path: Path) -> None:
    """It has size, title and style, words are escaped, pictures inside, nothing from outside."""
    file = drawing(label(10, 20, "x", size=14)).write(tmp_path)
    assert drawing(label(10, 20, "x", size=14)).write(tmp_path) == file
    with pytest.raises(PlatformError):
        drawing(Markup()).write(tmp_path / "missing")
    root = ElementTree.parse(tmp_path / file.path).getroot()
    assert (file.width, file.height) == (640, 320)
    assert [root.get(name) for name in ("width", "height")] == ["640", "320"]
    assert root.get("viewBox") == "0 0 200 100"
    names = [each.tag.rpartition("}")[2] for each in root]
    assert names == ["title", "desc", "style", "text"]
    assert "prefers-color-scheme: dark" in (root[2].text or "")
    assert root.get("role") == "img"
    assert file.bytes == (tmp_path / file.path).stat().st_size
    file = drawing(element("g", label(0, 0, HOSTILE, size=10), id=HOSTILE), HOSTILE).write(tmp_path)
    root = ElementTree.parse(tmp_path / file.path).getroot()
    assert {each.tag.rpartition("}")[2] for each in root.iter()} == {
        "svg", "title", "desc", "style", "g", "text"
    }  # fmt: skip
    assert root[0].text == HOSTILE
    assert root[3].get("id") == HOSTILE
    images = [element("image", href=link) for link in ("https://example.org/x.png", "other.png")]
    for body in (*images, element("rect", style="fill: url(https://example.org/x)")):
        with pytest.raises(TargetError, match="needs something outside itself"):
            drawing(body).write(tmp_path)
    for channels in ["grey", "colour"]:
        frame = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        if channels == "grey":
            frame = np.repeat(frame[..., :1], 3, axis=2)
        found = ElementTree.fromstring(picture(frame, 1, 2, 50))
        data = base64.b64decode((found.get("href") or "").removeprefix("data:image/png;base64,"))
        image = Image.open(io.BytesIO(data))
        assert image.mode == ("L" if channels == "grey" else "RGB")
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), frame)
        assert found.get("class") == "pixels"
        assert "class" not in picture(np.zeros((65, 65, 3), np.uint8), 0, 0, 5)


def test_numbers_and_axes() -> None:
    """Two digits at most, halfway in value or ratio; corners of axes are corners of panels."""
    values = (1.0, 0.5, 1 / 3, -0.001, -1.5, 100.0, 3)
    assert [*map(written, values)] == ["1", "0.5", "0.33", "0", "-1.5", "100", "3"]
    assert [*map(power_of_ten, (-12, -3, 0, 1, 2))] == ["10⁻¹²", "10⁻³", "1", "10", "10²"]
    assert Axis("", 2, 6, ()).share(4) == 0.5
    log = Axis("", 0.01, 100, (), logarithmic=True)
    assert [log.share(value) for value in (0.01, 1, 100)] == pytest.approx([0, 0.5, 1])
    assert {log.share(value) for value in (0.0, -1.0, 1e-300)} == {-20}
    panel = Panel(50, 10, 200, 100, Axis("x", 0, 1, ((0, "0"),)), Axis("y", 0, 10, ((5, "5"),)))
    assert panel.at(0, 0) == (50, 110)
    assert panel.at(1, 10) == (250, 10)
    curve = ElementTree.fromstring(panel.curve([0, 1], [0, 1000], class_="a"))
    assert curve.get("d") == "M50 110L250 -1890"
    assert curve.get("clip-path") == "url(#panel)"
    axes = ElementTree.fromstring(f"<g>{panel.axes()}</g>")
    clip = next(each for each in axes if each.tag == "clipPath")
    assert clip.get("id") == "panel"
    assert [each.text for each in axes.iter("text")] == ["0", "5", "x", "y"]


@given(st.floats(-12, 12), st.floats(0.01, 12))
def test_decades(start: float, span: float) -> None:
    """They enclose the values, and label few of their whole powers of ten."""
    low, high = 10.0**start, 10.0 ** (start + span)
    axis = decades("Power", low, high)
    assert axis.low <= low * (1 + 1e-9)
    assert axis.high >= high * (1 - 1e-9)
    assert 1 <= sum(bool(words) for _, words in axis.ticks) <= 7
    assert axis.share(axis.ticks[0][0]) == pytest.approx(0)
    assert axis.share(axis.ticks[-1][0]) == pytest.approx(1)


@given(st.floats(-100, 100), st.floats(0.01, 1000))
def test_even_ticks(low: float, span: float) -> None:
    """A few, evenly spaced, inside the range."""
    ticks = [value for value, _ in even_ticks(low, low + span)]
    assert 2 <= len(ticks) <= 7
    assert min(ticks) >= low - 1e-6 * span
    assert max(ticks) <= low + span + 1e-6 * span
