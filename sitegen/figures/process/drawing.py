"""The drawing of both processes: heat melts an image in the upper row, a model undoes it below."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from markupsafe import Markup

from sitegen.figures.svg import WIDE, Drawing, element, group, label, path, picture, written
from sitegen.media.frames import Frame
from sitegen.media.typeface import BOLD

RIGHT, GAP = 30.0, 3.0
BAND = 15.0
LARGEST_TILE = 190.0
LABEL_WIDTH = 62.0
"""Least width of pictures over which the last level is labelled as the first one is."""
NARROW_MANY = 6
"""Maximum number of columns on a phone."""
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


def process_drawing(
    forward: Sequence[Frame],
    inverse: Sequence[Frame],
    levels: Sequence[int],
    width: int = WIDE,
    *,
    pixelated: bool = False,
    heat: bool = True,
) -> Drawing:
    """Two rows of pictures (H, W, 3), of the same `levels` 0 … K from left to right.

    heat: whether the forward process is heat dissipation, whose equation is shown
    """
    forward_heading = FORWARD if heat else FORWARD.partition(":")[0]
    size = 18.0 if width == WIDE else 15.0  # of headings
    upper = 2.8 * size
    first, room = upper + 30, width - RIGHT
    tile = min(LARGEST_TILE, (room + GAP) / len(levels) - GAP)
    columns = [at * (tile + GAP) for at in range(len(levels))]
    down = tile * forward[0].shape[0] / forward[0].shape[1]
    bottom = first + 2 * down + GAP
    lower = bottom + 23
    rows = ((first, forward), (first + down + GAP, inverse))
    labelled = (levels[0], levels[-1]) if tile > LABEL_WIDTH else levels[:1]
    quality = None if pixelated else JPEG_QUALITY
    heading = partial(label, 0, size=size, anchor="start", font_weight=BOLD)
    body = group(
        heading(1.35 * size, forward_heading),
        _equation(16.3 * size, 1.1 * size, size) if heat else Markup(),
        _flow(width, upper, lower),
        *(
            label(
                x + tile / 2,
                first - 7,
                f"level {level}" if level in labelled else level,
                class_="soft",
            )
            for x, level in zip(columns, levels, strict=True)
        ),
        *(
            picture(frame, x, top, tile, quality=quality)
            for top, frames in rows
            for x, frame in zip(columns, frames, strict=True)
        ),
        heading(lower + 20 + size, INVERSE),
    )
    title = f"{forward_heading}. {INVERSE}"
    return Drawing(width, lower + 26 + size, title, body, STYLE, DARK)


def _equation(x: float, y: float, size: float) -> Markup:
    """The heat equation, ∂u/∂t = Δu, the middle of its fraction there."""
    bold = element("tspan", "u", font_weight=BOLD)
    rule = f"M{written(x - 0.75 * size)} {written(y)}h{written(1.5 * size)}"
    return group(
        label(x, y - 0.325 * size, "∂", bold, size=size),
        path(rule, class_="rule", stroke_width=1.3),
        label(x, y + 0.875 * size, "∂", element("tspan", "t", font_style="italic"), size=size),
        label(x + 1.2 * size, y + 0.325 * size, "= Δ", bold, size=size, anchor="start"),
    )


def _flow(width: float, upper: float, lower: float) -> Markup:
    """The band that leads along the upper row, around, and back along the lower one."""
    turn = "a34 34 0 0 1"
    line = f"M0 {written(upper)}H{written(width - 34 - BAND / 2)}{turn} 34 34"
    line += f"V{written(lower - 34)}{turn} -34 34H40"
    stops = (element("stop", offset=at, class_=name) for at, name in ((0, "above"), (1, "below")))
    along = {"x1": 0, "y1": upper, "x2": 0, "y2": lower, "gradientUnits": "userSpaceOnUse"}
    return group(
        element("linearGradient", *stops, id="flow", **along),
        path(line, class_="band", stroke_width=BAND),
        path(f"M0 {written(lower)}l44 -19v38z", class_="head"),
    )
