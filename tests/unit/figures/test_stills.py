"""Stills: SVG that is whole and safe, and charts and words that tell what was measured."""

import base64
import io
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from sitegen.core.errors import PlatformError
from sitegen.figures.process.drawing import process_drawing
from sitegen.figures.spectra.drawing import Curves, Spectrum, spectra_drawing, spectra_table
from sitegen.figures.svg import (
    NARROW,
    WIDE,
    Axis,
    Drawing,
    Panel,
    decades,
    element,
    label,
    picture,
    written,
)

SVG = "{http://www.w3.org/2000/svg}"


FREQUENCIES = [ring / 2 for ring in range(12)]
DATA = [9.0, *(1 / ring**2 for ring in range(1, 12))]
CURVES = Curves(
    FREQUENCIES,
    [Spectrum(4, [9.0, 0.1, *[0.0] * 10]), Spectrum(0, [10 * power for power in DATA])],
    [Spectrum(3, [20.0] * 12), Spectrum(0, DATA)],
    DATA,
    floor=1e-4,
)


def texts(curves: Curves) -> list[str]:
    """The words in the drawing."""
    root = ElementTree.fromstring(spectra_drawing(curves).text())
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_chart_of_spectra() -> None:
    """Table, legend and dashes name what there is, no words on curves, flat images as well."""
    results = spectra_table(CURVES, 7)
    assert "IHDM 1.00, DDPM 0.00" in results["summary"]
    distances, table = results["tables"]
    assert distances["columns"] == ["Cycles an image", "All", "0 to 4", "4 to 5.5"]
    assert distances["rows"] == [["IHDM", 1, 1, 1], ["DDPM", 0, 0, 0]]
    assert [row[:2] for row in table["rows"]] == [
        ["IHDM", 4], ["IHDM", 0], ["DDPM", 3], ["DDPM", 0], ["data", None]
    ]  # fmt: skip
    assert table["columns"] == ["Curve", "Level", "0.5", "1", "2", "4", "5.5"]
    assert table["rows"][-1][2:] == [1, 0.25, 0.0625, 0.0156, float(f"{DATA[-1]:.3g}")]
    assert "mean of 7 samples" in table["caption"]
    words = texts(CURVES)
    assert {"IHDM, levels 4 (faint) to 0", "data", "sampling noise δ²"} <= set(words)
    assert "DDPM (dashed), levels 3 (faint) to 0" in words
    named = replace(CURVES, name="Ours")
    assert "Ours, levels 4 (faint) to 0" in texts(named)
    assert "Ours 1.00, DDPM 0.00" in spectra_table(named, 7)["summary"]
    fewer = texts(replace(CURVES, noise=[], data=None, floor=0.0))
    assert not [word for word in fewer if "DDPM" in word or word in ("data", "sampling noise δ²")]
    root = ElementTree.fromstring(spectra_drawing(CURVES).text())
    long = [e for e in root.iter() if "clip-path" in e.attrib]
    dashes = {e.get("class"): e.get("stroke-dasharray") for e in long}
    assert dashes["heat-0"] is None
    assert dashes["noise-0"] == "6 3"
    assert dashes["data"] is None
    for data in [DATA, None]:
        root = ElementTree.fromstring(spectra_drawing(replace(CURVES, data=data)).text())
        names = "{http://www.w3.org/2000/svg}"
        (frame,) = (e for e in root.iter(f"{names}rect") if e.get("class") == "frame")
        left, top, width, height = (float(frame.get(n, 0)) for n in ("x", "y", "width", "height"))
        places = [(float(e.get("x", 0)), float(e.get("y", 0))) for e in root.iter(f"{names}text")]
        assert not [(x, y) for x, y in places if left < x < left + width and top < y < top + height]
        assert len(set(places)) == len(places)
    for floor in [0.0, 1e-4]:
        flat = Spectrum(0, [1.0, *[0.0] * 11])
        drawing = spectra_drawing(Curves(FREQUENCIES, [flat, flat], [], None, floor))
        root = ElementTree.fromstring(drawing.text())
        assert not [e for e in root.iter() if "nan" in (e.get("d") or "") + (e.get("y") or "")]
        assert math.isfinite(drawing.height)


def lines(drawing: Drawing) -> list[str]:
    """The lines of words in the drawing."""
    texts = ElementTree.fromstring(drawing.text()).iter(f"{SVG}text")
    return ["".join(each.itertext()) for each in texts]


def said(drawing: Drawing) -> set[str]:
    """All words in it, whichever line they stand in."""
    return {word.strip(";") for line in lines(drawing) for word in line.split()}


def test_charts_for_phones() -> None:
    """The narrow drawing has all words of the wide one, both in the sizes of the page's texts."""
    frames = [np.full((8, 8, 3), 10 * n, np.uint8) for n in range(6)]
    levels = (0, 36, 56, 70, 85, 100)
    rows = (frames, frames, levels)
    for wide, narrow in [
        (spectra_drawing(CURVES), spectra_drawing(CURVES, NARROW)),
        (process_drawing(*rows), process_drawing(*rows, NARROW)),
    ]:
        assert said(narrow) == said(wide)
        for drawn, width in ((wide, WIDE), (narrow, NARROW)):
            assert f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}"' in drawn.text()
            assert f'viewBox="0 0 {width} ' in drawn.text()  # one unit is a CSS pixel
            sizes = re.findall(r'font-size="([\d.]+)"', drawn.text())
            assert {float(size) for size in sizes} <= {13.5, 15, 18}
    ends = [text for text in lines(process_drawing(*rows, NARROW)) if text.endswith("100")]
    assert ends == ["100"]
    long = replace(CURVES, name="A label of 24 characters")
    broken = lines(spectra_drawing(long, NARROW))
    assert broken[-5:-3] == ["A label of 24 characters,", "levels 4 (faint) to 0"]
    assert "A label of 24 characters, levels 4 (faint) to 0" in lines(spectra_drawing(long))


HOSTILE = "</title><script>alert(1)</script>&\"'\u2028"


def drawing(body: Markup, words: str = "Words") -> Drawing:
    """A small drawing."""
    return Drawing(200, 100.0, words, body)


def test_file(tmp_path: Path) -> None:
    """It has size, title and style, words are escaped, pictures inside, nothing from outside."""
    file = drawing(label(10, 20, "x", size=14)).write(tmp_path)
    assert drawing(label(10, 20, "x", size=14)).write(tmp_path) == file
    with pytest.raises(PlatformError):
        drawing(Markup()).write(tmp_path / "missing")
    root = ElementTree.parse(tmp_path / file.path).getroot()
    assert (file.width, file.height) == (200, 100)
    assert [root.get(name) for name in ("width", "height")] == ["200", "100"]
    assert root.get("viewBox") == "0 0 200 100"
    names = [each.tag.rpartition("}")[2] for each in root]
    assert names == ["title", "style", "text"]
    assert "prefers-color-scheme: dark" in (root[1].text or "")
    assert root.get("role") == "img"
    assert file.bytes == (tmp_path / file.path).stat().st_size
    file = drawing(element("g", label(0, 0, HOSTILE, size=10), id=HOSTILE), HOSTILE).write(tmp_path)
    root = ElementTree.parse(tmp_path / file.path).getroot()
    assert {each.tag.rpartition("}")[2] for each in root.iter()} == {
        "svg", "title", "style", "g", "text"
    }  # fmt: skip
    assert root[0].text == HOSTILE
    assert root[2].get("id") == HOSTILE
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
        assert "class" not in picture(frame, 0, 0, 5, quality=90)


def test_numbers_and_axes() -> None:
    """Two digits at most, halfway in value or ratio; corners of axes are corners of panels."""
    values = (1.0, 0.5, 1 / 3, -0.001, -1.5, 100.0, 3)
    assert [*map(written, values)] == ["1", "0.5", "0.33", "0", "-1.5", "100", "3"]
    texts = [text for _, text in decades("x", 1e-3, 1e2).ticks]
    assert texts == ["10⁻³", "10⁻²", "10⁻¹", "1", "10", "10²"]
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
