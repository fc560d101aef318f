"""The drawing of both processes: heat melts an image in the upper row, a model undoes it below."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sitegen.figures.svg import Drawing, Sheet, element, group, label, path, picture, written
from sitegen.media.frames import Frame

WIDE, NARROW = Sheet(640.0, 640), Sheet(440.0, 440, narrow=True)
_LEFT, _RIGHT, _GAP = 18.0, 66.0, 3.0
_BAND = 15.0
_LARGEST_TILE = 190.0
_TITLE, _NARROW_TITLE, _SMALL = 22.0, 20.0, 17.0
_MANY, _NARROW_MANY = 8, 6  # columns: more have no room for words, or for a narrow sheet
_SECOND_LINE = 24.0  # of the heading of a narrow sheet
_UPPER_BAND, _ROWS = 62.0, 96.0
_STYLE = """\
.pixels { image-rendering: pixelated; }
.band { fill: none; stroke: url(#flow); }
.above { stop-color: #757a8c; }
.below, .head { stop-color: #adb1c0; fill: #adb1c0; }
.rule { stroke: #1d2130; }
"""
_DARK = """\
.above { stop-color: #8c92a8; }
.below, .head { stop-color: #565c74; fill: #565c74; }
.rule { stroke: #e4e7f1; }
"""


def narrow_sheet(columns: int) -> Sheet | None:
    """What so many columns are drawn on for narrow pages; none where they would be too small."""
    return NARROW if columns <= _NARROW_MANY else None


def process_drawing(
    forward: Sequence[Frame],
    inverse: Sequence[Frame],
    levels: Sequence[int],
    description: str,
    sheet: Sheet = WIDE,
) -> Drawing:
    """Two rows of pictures (H, W, 3), of the same `levels` 0 … K from left to right."""
    width, title_size = sheet.width, _NARROW_TITLE if sheet.narrow else _TITLE
    down = _SECOND_LINE if sheet.narrow else 0.0
    room, first = width - _LEFT - _RIGHT, _ROWS + down
    tile = min(_LARGEST_TILE, (room + _GAP) / len(levels) - _GAP)
    used = len(levels) * (tile + _GAP) - _GAP
    columns = [_LEFT + (room - used) / 2 + at * (tile + _GAP) for at in range(len(levels))]
    bottom = first + 2 * tile + _GAP
    rows = ((first, forward), (first + tile + _GAP, inverse))
    told = levels[:1] if sheet.narrow or len(levels) > _MANY else (levels[0], levels[-1])
    body = group(
        _narrow_heading(title_size) if sheet.narrow else _heading(title_size),
        _flow(width, _UPPER_BAND + down, bottom + 28),
        *(
            label(x + tile / 2, first - 9, _level(level, told), size=_SMALL, class_="soft")
            for x, level in zip(columns, levels, strict=True)
        ),
        *(
            picture(frame, x, top, tile)
            for top, frames in rows
            for x, frame in zip(columns, frames, strict=True)
        ),
        _bold(width / 2 - 20, bottom + 64, "Inverse process: generation", "middle", title_size),
    )
    title = "Forward process: heat dissipation. Inverse process: generation"
    return Drawing(width, bottom + 76, sheet.shown, title, description, body, _STYLE, _DARK)


def _bold(x: float, y: float, words: str, anchor: str, size: float) -> Markup:
    classes = "ink serif"
    return label(x, y, words, size=size, anchor=anchor, class_=classes, font_weight="bold")


def _symbol(x: float, y: float, *words: object, anchor: str = "middle") -> Markup:
    return label(x, y, *words, size=20.0, anchor=anchor, class_="ink serif")


def _heading(size: float) -> Markup:
    """The name of the forward process, and the heat equation."""
    words = _bold(450, 34, "Forward process: heat dissipation", "end", size)
    return group(words, _equation(484, 29.5))


def _narrow_heading(size: float) -> Markup:
    """The same in two lines."""
    lines = enumerate(("Forward process:", "heat dissipation"))
    words = (_bold(_LEFT, 28 + _SECOND_LINE * at, line, "start", size) for at, line in lines)
    return group(*words, _equation(336, 37))


def _equation(x: float, y: float) -> Markup:
    """The heat equation, ∂u/∂t = Δu, the middle of its fraction there."""
    bold = element("tspan", "u", font_weight="bold")
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
    line = f"M{written(_LEFT)} {written(upper)}H{written(width - 60)}{turn} 34 34"
    line += f"V{written(lower - 34)}{turn} -34 34H{written(_LEFT + 40)}"
    stops = (element("stop", offset=at, class_=name) for at, name in ((0, "above"), (1, "below")))
    along = {"x1": 0, "y1": upper, "x2": 0, "y2": lower, "gradientUnits": "userSpaceOnUse"}
    return group(
        element("linearGradient", *stops, id="flow", **along),
        path(line, class_="band", stroke_width=_BAND),
        path(f"M{written(_LEFT)} {written(lower)}l44 -19v38z", class_="head"),
    )


def _level(level: int, told: Sequence[int]) -> str:
    """The first column, and the last where there is room, say what the numbers are."""
    return f"level {level}" if level in told else str(level)
