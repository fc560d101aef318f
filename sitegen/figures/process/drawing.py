"""The drawing of both processes: heat melts an image in the upper row, a model undoes it below."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sitegen.figures.svg import Drawing, Sheet, element, group, label, path, picture, written
from sitegen.media.frames import Frame
from sitegen.media.typeface import BOLD

WIDTHS = (640.0, 640), (440.0, 440)
"""Width of the wide and of the narrow sheet, in units, and as shown in CSS pixels."""
LEFT, RIGHT, GAP = 18.0, 66.0, 3.0
BAND = 15.0
LARGEST_TILE = 190.0
TITLE, NARROW_TITLE, SMALL = 20.0, 20.0, 17.0
"""Sizes of texts."""
MANY, NARROW_MANY = 8, 6
"""Maximum numbers of columns for all labels, and for a narrow sheet."""
SECOND_LINE = 24.0
"""Height of the second line of a narrow sheet's heading."""
UPPER_BAND, ROWS = 62.0, 96.0
FORWARD, INVERSE = "Forward process: heat dissipation", "Inverse process: generation"
"""Headings."""
JPEG_QUALITY = 82
"""Quality of pictures that are enlarged smoothly, 1 to 95."""
STYLE = """\
.pixels { image-rendering: pixelated; }
.band { fill: none; stroke: url(#flow); }
.above { stop-color: #757a8c; }
.below, .head { stop-color: #adb1c0; fill: #adb1c0; }
.rule { stroke: #1d2130; }
"""
DARK = """\
.above { stop-color: #8c92a8; }
.below, .head { stop-color: #565c74; fill: #565c74; }
.rule { stroke: #e4e7f1; }
"""

WIDE, NARROW = Sheet(*WIDTHS[0]), Sheet(*WIDTHS[1], narrow=True)


def narrow_sheet(columns: int) -> Sheet | None:
    """Return the sheet for narrow pages; None if the columns would be too small."""
    return NARROW if columns <= NARROW_MANY else None


def process_drawing(
    forward: Sequence[Frame],
    inverse: Sequence[Frame],
    levels: Sequence[int],
    sheet: Sheet = WIDE,
    *,
    pixelated: bool = False,
) -> Drawing:
    """Two rows of pictures (H, W, 3), of the same `levels` 0 … K from left to right."""
    width, title_size = sheet.width, NARROW_TITLE if sheet.narrow else TITLE
    down = SECOND_LINE if sheet.narrow else 0.0
    room, first = width - LEFT - RIGHT, ROWS + down
    tile = min(LARGEST_TILE, (room + GAP) / len(levels) - GAP)
    used = len(levels) * (tile + GAP) - GAP
    columns = [LEFT + (room - used) / 2 + at * (tile + GAP) for at in range(len(levels))]
    bottom = first + 2 * tile + GAP
    rows = ((first, forward), (first + tile + GAP, inverse))
    labelled = levels[:1] if sheet.narrow or len(levels) > MANY else (levels[0], levels[-1])
    quality = None if pixelated else JPEG_QUALITY
    if sheet.narrow:
        lines = enumerate(FORWARD.replace(": ", ":\n").splitlines())
        tops = ((28 + SECOND_LINE * at, line) for at, line in lines)
        titles = [_bold(LEFT, y, line, "start", title_size) for y, line in tops]
        heading = group(*titles, _equation(336, 37))
    else:
        heading = group(_bold(450, 34, FORWARD, "end", title_size), _equation(484, 29.5))
    body = group(
        heading,
        _flow(width, UPPER_BAND + down, bottom + 28),
        *(
            label(
                x + tile / 2,
                first - 9,
                f"level {level}" if level in labelled else level,
                size=SMALL,
                class_="soft",
            )
            for x, level in zip(columns, levels, strict=True)
        ),
        *(
            picture(frame, x, top, tile, quality=quality)
            for top, frames in rows
            for x, frame in zip(columns, frames, strict=True)
        ),
        _bold(width / 2 - 20, bottom + 64, INVERSE, "middle", title_size),
    )
    title = f"{FORWARD}. {INVERSE}"
    return Drawing(width, bottom + 76, sheet.shown, title, body, STYLE, DARK)


def _bold(x: float, y: float, text: str, anchor: str, size: float) -> Markup:
    classes = "ink"
    return label(x, y, text, size=size, anchor=anchor, class_=classes, font_weight=BOLD)


def _symbol(x: float, y: float, *text: object, anchor: str = "middle") -> Markup:
    return label(x, y, *text, size=20.0, anchor=anchor, class_="ink")


def _equation(x: float, y: float) -> Markup:
    """The heat equation, ∂u/∂t = Δu, the middle of its fraction there."""
    bold = element("tspan", "u", font_weight=BOLD)
    rule = f"M{written(x - 15)} {written(y)}H{written(x + 15)}"
    return group(
        _symbol(x, y - 6.5, "∂", bold),
        path(rule, class_="rule", stroke_width=1.3),
        _symbol(x, y + 17.5, "∂", element("tspan", "t", font_style="italic")),
        _symbol(x + 24, y + 6.5, "= Δ", bold, anchor="start"),
    )


def _flow(width: float, upper: float, lower: float) -> Markup:
    """The band that leads along the upper row, around, and back along the lower one."""
    turn = "a34 34 0 0 1"
    line = f"M{written(LEFT)} {written(upper)}H{written(width - 60)}{turn} 34 34"
    line += f"V{written(lower - 34)}{turn} -34 34H{written(LEFT + 40)}"
    stops = (element("stop", offset=at, class_=name) for at, name in ((0, "above"), (1, "below")))
    along = {"x1": 0, "y1": upper, "x2": 0, "y2": lower, "gradientUnits": "userSpaceOnUse"}
    return group(
        element("linearGradient", *stops, id="flow", **along),
        path(line, class_="band", stroke_width=BAND),
        path(f"M{written(LEFT)} {written(lower)}l44 -19v38z", class_="head"),
    )
