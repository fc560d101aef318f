"""The drawing of both processes: heat melts an image in the upper row, a model undoes it below."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sitegen.figures.process import look
from sitegen.figures.svg import Drawing, Sheet, element, group, label, path, picture, written
from sitegen.media.frames import Frame
from sitegen.media.typeface import BOLD

WIDE, NARROW = Sheet(*look.WIDTHS[0]), Sheet(*look.WIDTHS[1], narrow=True)


def narrow_sheet(columns: int) -> Sheet | None:
    """Return the sheet for narrow pages; None if the columns would be too small."""
    return NARROW if columns <= look.NARROW_MANY else None


def process_drawing(
    forward: Sequence[Frame],
    inverse: Sequence[Frame],
    levels: Sequence[int],
    sheet: Sheet = WIDE,
    *,
    pixelated: bool = False,
) -> Drawing:
    """Two rows of pictures (H, W, 3), of the same `levels` 0 … K from left to right."""
    width, title_size = sheet.width, look.NARROW_TITLE if sheet.narrow else look.TITLE
    down = look.SECOND_LINE if sheet.narrow else 0.0
    room, first = width - look.LEFT - look.RIGHT, look.ROWS + down
    tile = min(look.LARGEST_TILE, (room + look.GAP) / len(levels) - look.GAP)
    used = len(levels) * (tile + look.GAP) - look.GAP
    columns = [look.LEFT + (room - used) / 2 + at * (tile + look.GAP) for at in range(len(levels))]
    bottom = first + 2 * tile + look.GAP
    rows = ((first, forward), (first + tile + look.GAP, inverse))
    told = levels[:1] if sheet.narrow or len(levels) > look.MANY else (levels[0], levels[-1])
    quality = None if pixelated else look.JPEG_QUALITY
    body = group(
        _narrow_heading(title_size) if sheet.narrow else _heading(title_size),
        _flow(width, look.UPPER_BAND + down, bottom + 28),
        *(
            label(x + tile / 2, first - 9, _level(level, told), size=look.SMALL, class_="soft")
            for x, level in zip(columns, levels, strict=True)
        ),
        *(
            picture(frame, x, top, tile, quality=quality)
            for top, frames in rows
            for x, frame in zip(columns, frames, strict=True)
        ),
        _bold(width / 2 - 20, bottom + 64, look.INVERSE, "middle", title_size),
    )
    title = f"{look.FORWARD}. {look.INVERSE}"
    return Drawing(width, bottom + 76, sheet.shown, title, body, look.STYLE, look.DARK)


def _bold(x: float, y: float, words: str, anchor: str, size: float) -> Markup:
    classes = "ink"
    return label(x, y, words, size=size, anchor=anchor, class_=classes, font_weight=BOLD)


def _symbol(x: float, y: float, *words: object, anchor: str = "middle") -> Markup:
    return label(x, y, *words, size=20.0, anchor=anchor, class_="ink")


def _heading(size: float) -> Markup:
    """The name of the forward process, and the heat equation."""
    words = _bold(450, 34, look.FORWARD, "end", size)
    return group(words, _equation(484, 29.5))


def _narrow_heading(size: float) -> Markup:
    """The heading of a narrow sheet, in two lines."""
    lines = enumerate(look.FORWARD.replace(": ", ":\n").splitlines())
    tops = ((28 + look.SECOND_LINE * at, line) for at, line in lines)
    words = (_bold(look.LEFT, y, line, "start", size) for y, line in tops)
    return group(*words, _equation(336, 37))


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
    line = f"M{written(look.LEFT)} {written(upper)}H{written(width - 60)}{turn} 34 34"
    line += f"V{written(lower - 34)}{turn} -34 34H{written(look.LEFT + 40)}"
    stops = (element("stop", offset=at, class_=name) for at, name in ((0, "above"), (1, "below")))
    along = {"x1": 0, "y1": upper, "x2": 0, "y2": lower, "gradientUnits": "userSpaceOnUse"}
    return group(
        element("linearGradient", *stops, id="flow", **along),
        path(line, class_="band", stroke_width=look.BAND),
        path(f"M{written(look.LEFT)} {written(lower)}l44 -19v38z", class_="head"),
    )


def _level(level: int, told: Sequence[int]) -> str:
    """Return a column's label: "level 3" for the levels in `told`, "3" for others."""
    return f"level {level}" if level in told else str(level)
