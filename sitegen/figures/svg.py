"""Self-contained SVG pictures and charts, for light and dark pages.

A picture in an `<img>` cannot use the page's style sheet, so it carries its own, whose colours
follow the reader's preference, and the letters of its words. Equal values give equal bytes.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

from sitegen.core.files import platform_errors
from sitegen.core.progress import raised
from sitegen.media.encoder import media_file
from sitegen.media.frames import Frame
from sitegen.media.manifest import MediaFile
from sitegen.media.typeface import BOLD, REGULAR, font_face

if TYPE_CHECKING:
    from PIL import Image

WIDE, NARROW = 576, 350
"""Widths of drawings: of the text's column, and of its column on a phone of 390 CSS pixels."""
FAR = 20.0
"""Largest distance of a value from a panel at which it is drawn, in sizes of the panel."""
PANEL_ID = "panel"
SMALL = 13.5
"""Size of a text in a drawing, in CSS pixels: that of captions, since drawings are not scaled."""
STYLE = """\
:root { color-scheme: light dark; }
text { font-family: "Sitegen Text", "Segoe UI", system-ui, Helvetica, Arial, sans-serif; }
.ink { fill: #1d2130; }
.soft { fill: #565c70; }
.frame { stroke: #8b90a3; fill: none; }
.grid { stroke: #d9dce6; fill: none; }
"""
"""Fonts, and the colours of the theme on light pages."""
DARK_STYLE = """\
.ink { fill: #e4e7f1; }
.soft { fill: #a3aac0; }
.frame { stroke: #777e96; }
.grid { stroke: #2e3447; }
"""
"""Colours of the theme on dark pages."""

_SVG = "http://www.w3.org/2000/svg"


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
    """Return elements joined in order."""
    return Markup().join(escape(part) for part in content)


def written(value: object) -> str:
    """A value of an attribute as text."""
    if isinstance(value, float):
        # What rounds to zero from below would be written as -0.
        return f"{value:.2f}".rstrip("0").rstrip(".").replace("-0", "0", int(abs(value) < 0.005))
    return str(value)


def label(
    x: float, y: float, *text: object, size: float = SMALL, anchor: str = "middle", **more: object
) -> Markup:
    """A text whose baseline is at `y`; `anchor` is start, middle or end."""
    classes = more.pop("class_", "ink")
    position = {"x": x, "y": y, "font_size": size, "text_anchor": anchor}
    return element("text", *text, class_=classes, **position, **more)


def path(points: str, **attributes: object) -> Markup:
    """A path along SVG's path data."""
    return element("path", d=points, **attributes)


def picture(frame: Frame, x: float, y: float, size: float, *, quality: int | None = None) -> Markup:
    """Return a picture (H, W, 3) of that width, embedded as PNG with pixels that stay square.

    With `quality`, between 1 and 95, it is enlarged smoothly, and a JPEG where that is smaller.
    """
    from PIL import Image

    grey = bool((frame == frame[..., :1]).all())
    image = Image.fromarray(np.ascontiguousarray(frame[..., 0] if grey else frame))
    kind, data = "png", _encoded(image, "png", optimize=True)
    if quality is not None:
        # subsampling=0 stores the colour of every pixel, each of which is enlarged here.
        jpeg = _encoded(image, "jpeg", quality=quality, subsampling=0, optimize=True)
        kind, data = min((kind, data), ("jpeg", jpeg), key=lambda encoded: len(encoded[1]))
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    sharp = "pixels" if quality is None else None
    height = size * frame.shape[0] / frame.shape[1]
    return element("image", x=x, y=y, width=size, height=height, class_=sharp, href=uri)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@dataclass(frozen=True)
class Drawing:
    """A whole picture.

    width, height: in CSS pixels
    title: for readers who open the file on its own; the description is on the page, so that the
        words of an author decide no byte of a file
    style, dark_style: styles in addition to `STYLE` and `DARK_STYLE`
    """

    width: int
    height: float
    title: str
    body: Markup
    style: str = ""
    dark_style: str = ""

    def text(self) -> str:
        """The file's content."""
        weights = [REGULAR, BOLD] if f'font-weight="{BOLD}"' in self.body else [REGULAR]
        faces = "".join(map(font_face, weights))
        dark = f"@media (prefers-color-scheme: dark) {{\n{DARK_STYLE}{self.dark_style}}}\n"
        parts = (
            element("title", self.title, id="title"),
            element("style", Markup("\n" + faces + STYLE + self.style + dark)),
            self.body,
        )
        root = element(
            "svg",
            *(line for part in parts for line in ("\n", part)),
            "\n",
            xmlns=_SVG,
            width=self.width,
            height=round(self.height),
            viewBox=f"0 0 {self.width} {round(self.height)}",
            role="img",
            aria_labelledby="title",
        )
        return f"{root}\n"

    def write(self, folder: Path, name: str = "image") -> MediaFile:
        """Write NAME.svg. Raises PlatformError if the file cannot be written."""
        file = folder / f"{name}.svg"
        with platform_errors(file):
            file.write_text(self.text(), encoding="utf-8", newline="\n")
        return media_file(file, self.width, round(self.height))


def stills(
    draw: Callable[[int], Drawing], *, narrow: bool = True
) -> dict[str, Callable[[Path], MediaFile]]:
    """Return the stills that `draw` draws at a width: for the text's column, and for a phone's."""

    def write(name: str, width: int, folder: Path) -> MediaFile:
        return draw(width).write(folder, name)

    widths = {"image": WIDE, **({"narrow": NARROW} if narrow else {})}
    return {name: partial(write, name, width) for name, width in widths.items()}


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high` with its ticks: values and labels, "" for a line alone."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return a value's position, 0 at `low` and 1 at `high`, limited to ± `FAR`."""
        if not self.logarithmic:
            share = (value - self.low) / (self.high - self.low)
        elif value > 0:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = -FAR
        return min(max(share, -FAR), FAR)


def decades(title: str, low: float, high: float) -> Axis:
    """A logarithmic axis of whole decades around `low` … `high`, with at most six labels."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    every = -(-(last - first) // 6)
    powers = {
        n: f"10{raised(n)}" if n not in (0, 1) else str(10**n) for n in range(first, last + 1)
    }
    ticks = tuple((10.0**n, text if (n - first) % every == 0 else "") for n, text in powers.items())
    return Axis(title, 10.0**first, 10.0**last, ticks, logarithmic=True)


@dataclass(frozen=True)
class Panel:
    """A rectangle in a drawing with an axis along its lower and one along its left side."""

    left: float
    top: float
    width: float
    height: float
    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of two values in the drawing."""
        return (
            self.left + self.width * self.x.share(x),
            self.top + self.height * (1 - self.y.share(y)),
        )

    def curve(self, xs: Sequence[float], ys: Sequence[float], **attributes: object) -> Markup:
        """Return a line through the points, clipped to the panel."""
        points = (self.at(x, y) for x, y in zip(xs, ys, strict=True))
        line = "M" + "L".join(f"{written(x)} {written(y)}" for x, y in points)
        return path(line, fill="none", clip_path=f"url(#{PANEL_ID})", **attributes)

    def axes(self) -> Markup:
        """Grid, frame, ticks and titles."""
        right, bottom = self.left + self.width, self.top + self.height
        soft: dict[str, Any] = {"class_": "soft"}
        parts: list[object] = []
        for value, text in self.x.ticks:
            x, _ = self.at(value, self.y.low)
            line = f"M{written(x)} {written(self.top)}V{written(bottom)}"
            parts.append(path(line, class_="grid"))
            parts += [label(x, bottom + 18, text, **soft)] if text else []
        for value, text in self.y.ticks:
            _, y = self.at(self.x.low, value)
            line = f"M{written(self.left)} {written(y)}H{written(right)}"
            parts.append(path(line, class_="grid"))
            end = self.left - 7, y + 4.5
            parts += [label(*end, text, anchor="end", **soft)] if text else []
        sides = {"x": self.left, "y": self.top, "width": self.width, "height": self.height}
        parts.append(element("rect", **sides, class_="frame"))
        middle = self.left + self.width / 2
        parts.append(label(middle, bottom + 40, self.x.title))
        if self.y.title:
            centre = self.left - 42, self.top + self.height / 2
            turned = f"rotate(-90 {written(centre[0])} {written(centre[1])})"
            parts.append(label(*centre, self.y.title, transform=turned))
        return group(*parts, element("clipPath", element("rect", **sides), id=PANEL_ID))
