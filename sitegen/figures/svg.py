"""SVG pictures that need nothing outside themselves, on light and on dark pages.

A picture in an `<img>` has no part in the page's style sheet, so it carries its own, whose colours
follow the reader's preference. Texts use fonts that every system has. The same values are the same
bytes.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup, escape

from sitegen.core.files import platform_errors
from sitegen.media.encoder import media_file, require
from sitegen.media.frames import Frame
from sitegen.media.manifest import MediaFile

NAME = "image.svg"
_SVG = "http://www.w3.org/2000/svg"
_OUTSIDE = re.compile(r"""(href|src)=["'](?!#|data:)|url\((?!#)|@import""")

STYLE = """\
:root { color-scheme: light dark; }
text { font-family: Roboto, "Open Sans", "Segoe UI", system-ui, Helvetica, Arial, sans-serif; }
.serif { font-family: "STIX Two Text", "Libertinus Serif", "Times New Roman", Times, serif; }
.ink { fill: #1d2130; }
.soft { fill: #565c70; }
.frame { stroke: #8b90a3; fill: none; }
.grid { stroke: #d9dce6; fill: none; }
"""
"""The colours of the theme in light mode; what is drawn without fill is meant to be filled."""
DARK_STYLE = """\
.ink { fill: #e4e7f1; }
.soft { fill: #a3aac0; }
.frame { stroke: #777e96; }
.grid { stroke: #2e3447; }
"""
"""The same on dark pages."""


def element(name: str, *content: object, **attributes: object) -> Markup:
    """An element; content that is not Markup is escaped, None is left out.

    Attributes are written in their order: `font_size` as font-size, `class_` as class, numbers with
    at most two digits after the point.
    """
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    inside = Markup().join(
        Markup(' {}="{}"').format(key, written(value)) for key, value in pairs if value is not None
    )
    start = Markup("<") + name + inside
    if not content:
        return start + Markup("/>")
    return start + Markup(">") + group(*content) + Markup("</") + name + Markup(">")


def group(*content: object) -> Markup:
    """Some elements one after the other."""
    return Markup().join(escape(each) for each in content)


def written(value: object) -> str:
    """A value of an attribute as text."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".").replace("-0", "0", int(abs(value) < 0.005))
    return str(value)


def label(
    x: float, y: float, *words: object, size: float, anchor: str = "middle", **more: object
) -> Markup:
    """A text whose baseline is at `y`; `anchor` is start, middle or end."""
    classes = more.pop("class_", "ink")
    place = {"x": x, "y": y, "font_size": size, "text_anchor": anchor}
    return element("text", *words, class_=classes, **place, **more)


def path(points: str, **attributes: object) -> Markup:
    """A path along SVG's path data."""
    return element("path", d=points, **attributes)


def picture(frame: Frame, x: float, y: float, size: float) -> Markup:
    """A square picture (H, W, 3), its pixels inside the drawing; small ones stay sharp squares."""
    return element(
        "image",
        x=x,
        y=y,
        width=size,
        height=size,
        class_="pixels" if frame.shape[0] <= 64 else None,
        href=_data_uri(frame),
    )


def _data_uri(frame: Frame) -> str:
    from PIL import Image

    grey = bool((frame == frame[..., :1]).all())
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame[..., 0] if grey else frame)).save(
        data, "PNG", optimize=True
    )
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


@dataclass(frozen=True)
class Drawing:
    """A whole picture.

    width, height: of the drawing, in its own units
    shown: how wide the picture is where nothing narrows it, in CSS pixels
    title, description: what it is and shows, for readers who open the file by itself
    style, dark_style: what it needs beside `STYLE` and `DARK_STYLE`
    """

    width: float
    height: float
    shown: int
    title: str
    description: str
    body: Markup
    style: str = ""
    dark_style: str = ""

    def text(self) -> str:
        """The file's content."""
        dark = f"@media (prefers-color-scheme: dark) {{\n{DARK_STYLE}{self.dark_style}}}\n"
        root = element(
            "svg",
            "\n",
            element("title", self.title, id="title"),
            "\n",
            element("desc", self.description, id="description"),
            "\n",
            element("style", Markup("\n" + STYLE + self.style + dark)),
            "\n",
            self.body,
            "\n",
            xmlns=_SVG,
            width=self.shown,
            height=self.shown_height,
            viewBox=f"0 0 {written(self.width)} {written(self.height)}",
            role="img",
            aria_labelledby="title description",
        )
        return f"{root}\n"

    @property
    def shown_height(self) -> int:
        """How high the picture is at the width `shown`."""
        return round(self.shown * self.height / self.width)

    def write(self, folder: Path) -> MediaFile:
        """Write the file, and read it again: well-formed, of that size, complete in itself.

        Raises TargetError where it is not, PlatformError if it cannot be written.
        """
        file = folder / NAME
        with platform_errors(file):
            file.write_text(self.text(), encoding="utf-8", newline="\n")
            text = file.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        require(root.tag == f"{{{_SVG}}}svg", file, "is not SVG")
        require(not _OUTSIDE.search(text), file, "needs something outside itself")
        return media_file(file, self.shown, self.shown_height)
