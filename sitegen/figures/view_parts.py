"""Media to what a page shows of them: clips with their scrubbers, stills, numbers, and origins.

What rendering noted in a record's `parameters` about places in the picture is read here: `cells` of
a grid in native pixels, `nodes` of a tree in pixels of the clip, `panels`, `points` and `hold` of
an interpolation. Whatever of it is missing or odd only leaves its control out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from sitegen.core.urls import relative
from sitegen.figures.views import (
    Cells,
    Clip,
    Download,
    Maker,
    Node,
    Origin,
    Picture,
    Results,
    Steps,
    Still,
    Table,
)
from sitegen.media.manifest import JSON, Media, MediaFile, Record

_COMFORTABLE = 520  # CSS pixels: small clips are shown at most this wide
_WIDE = 680  # CSS pixels: what is wider may leave the column of the text
_GROWTH = 0.35  # share of its levels in which a branch of a tree grows, as clips draw it
_LAYOUT = {"cells", "nodes", "panels"}  # parameters that say where things are, not how made
_TOLD = {"kind", "seed", "sampling_noise_std", "model", "models"}  # told on lines of their own
_LABELS = {
    "mp4": "MP4",
    "mp4-dark": "MP4, dark",
    "gif": "GIF",
    "gif-dark": "GIF, dark",
    "poster": "Poster",
    "poster-dark": "Poster, dark",
    "strip": "Strip",
}


_NAMES = {"ddim_steps": "DDIM steps", "ddpm": "DDPM", "fps": "Frames a second", "vary": "Varies"}


def figure_view(media: Media, page: str) -> Clip | Still:
    """What the page at `page`, a path from the site's root, shows of a figure."""
    return _clip(media, page) if "mp4" in media.record.files else _still(media, page)


def front_picture(media: Media) -> MediaFile | None:
    """The picture that stands for a figure: its poster, or itself where it is in pixels."""
    files = media.record.files
    still = files.get("image")
    if "poster" in files or still is None or still.path.endswith(".svg"):
        return files.get("poster")
    return still


def _still(media: Media, page: str) -> Still:
    picture = _picture(media.record.files, "image", page)
    assert picture is not None
    return Still(
        id=media.id,
        alt=media.alt,
        caption=media.caption,
        picture=picture,
        wide=picture.width > _WIDE,
        downloads=_downloads(media, page),
        results=results_of(media.record),
        origin=_origin(media),
    )


def _clip(media: Media, page: str) -> Clip:
    record = media.record
    mp4 = record.files["mp4"]
    cells = _cells(record)
    native = cells.columns * cells.width // _factor(record, cells) if cells else None
    width = _shown_width(mp4, native or record.files.get("gif", mp4).width)
    poster = _picture(record.files, "poster", page)
    assert poster is not None
    return Clip(
        id=media.id,
        kind=record.kind,
        alt=media.alt,
        caption=media.caption,
        width=width,
        height=max(1, round(width * mp4.height / mp4.width)),
        film_width=mp4.width,
        film_height=mp4.height,
        pixelated=width > mp4.width or mp4.width >= 2 * record.files.get("gif", mp4).width,
        wide=width > _WIDE,
        poster=poster,
        mp4=relative(mp4.path, page),
        dark=_uri(record.files, "mp4-dark", page),
        strip=_picture(record.files, "strip", page),
        downloads=_downloads(media, page),
        steps=_steps(media),
        cells=cells,
        nodes=tuple(_joined(list(_nodes(record)), record)),
        panels=tuple(str(each) for each in sequence(record.parameters.get("panels"))),
        results=results_of(record),
        origin=_origin(media),
    )


def _shown_width(mp4: MediaFile, native: int) -> int:
    """The width in CSS pixels at which every pixel of the model is as wide as the next."""
    times = max(1, _COMFORTABLE // native)
    return mp4.width if mp4.width >= _COMFORTABLE or mp4.width < native else times * native


def _picture(files: Mapping[str, MediaFile], name: str, page: str) -> Picture | None:
    file = files.get(name)
    if file is None:
        return None
    dark = _uri(files, f"{name}-dark", page)
    return Picture(relative(file.path, page), file.width, file.height, dark)


def _uri(files: Mapping[str, MediaFile], name: str, page: str) -> str | None:
    return relative(files[name].path, page) if name in files else None


def _downloads(media: Media, page: str) -> tuple[Download, ...]:
    files = media.record.files
    still = {"image": files["image"].path.rpartition(".")[2].upper()} if "image" in files else {}
    return tuple(
        Download(label, relative(files[name].path, page), size(files[name]))
        for name, label in (_LABELS | still).items()
        if name in files
    )


def size(file: MediaFile) -> str:
    """Write the size of a file for a reader, in steps of a thousand."""
    if file.bytes < 1_000_000:
        return f"{max(1, round(file.bytes / 1000))} kB"
    return f"{file.bytes / 1_000_000:.1f} MB"


def _steps(media: Media) -> Steps:
    """What the scrubber says; levels and scales only where there is one for each frame."""
    mp4, record = media.record.files["mp4"], media.record
    frames = mp4.frames or 1
    points, hold = _whole(record.parameters, "points"), _whole(record.parameters, "hold")
    there_and_back = points > 1 and 2 * (points + hold) == frames
    levels = record.levels if len(record.levels) == frames and not there_and_back else ()
    sigmas = media.sigmas if len(media.sigmas) == len(levels) else ()
    format_value = [scale(sigma) for sigma in sigmas]
    return Steps(
        fps=f"{mp4.fps or 24.0:g}",
        last=frames - 1,
        levels=" ".join(map(str, levels)),
        sigmas=" ".join(format_value),
        level=str(levels[-1]) if levels else "",
        sigma=format_value[-1] if format_value else "",
        points=points if there_and_back else 0,
        hold=hold if there_and_back else 0,
    )


def scale(sigma: float) -> str:
    """Write a blur scale in pixels for a reader: two digits below 1, one after the point above."""
    return "0" if sigma == 0 else f"{sigma:.2f}" if sigma < 1 else f"{sigma:.1f}"


def _cells(record: Record) -> Cells | None:
    """The cells of a grid in pixels of the clip."""
    noted = record.parameters.get("cells")
    if isinstance(noted, Mapping):
        names = ("columns", "count", "width", "height")
        columns, count, width, height = (_whole(noted, name) for name in names)
    else:
        columns, count = _whole(record.parameters, "columns"), _whole(record.parameters, "count")
        native = record.files.get("gif", record.files["mp4"]).width
        width = height = native // columns if columns else 0
    if min(columns, count, width, height) < 1:
        return None
    factor = record.files["mp4"].width // (columns * width)
    return Cells(columns, count, width * factor, height * factor) if factor else None


def _factor(record: Record, cells: Cells) -> int:
    """How often the clip enlarges each pixel of the model."""
    gif = record.files.get("gif")
    noted = record.parameters.get("cells")
    native = _whole(noted, "width") if isinstance(noted, Mapping) else 0
    native = native or (gif.width // cells.columns if gif else cells.width)
    return max(1, cells.width // max(1, native))


def _nodes(record: Record) -> Iterator[Node]:
    names = ("depth", "index", "x", "y", "size", "from_level", "to_level")
    for noted in sequence(record.parameters.get("nodes")):
        if isinstance(noted, Mapping) and all(name in noted for name in names):
            depth, index, x, y, size, start, end = (_whole(noted, name) for name in names)
            yield Node(depth, index, x, y, size, start, end)


def _joined(nodes: Sequence[Node], record: Record) -> Iterator[Node]:
    """The nodes with their arrows, and when their pictures are there in full."""
    frames = record.files["mp4"].frames or 1
    levels = record.levels if len(record.levels) == frames else ()
    timed = [_timed(node, levels) if levels else replace(node, last=frames - 1) for node in nodes]
    places = {(node.depth, node.index): node for node in timed}
    for node in timed:
        column = min(other.x for other in timed if other.depth == node.depth)
        above = places.get((node.depth - 1, node.index // 2))
        branch = _branch(node, places) if levels else ()
        shown = tuple((levels[part.first], levels[part.last]) for part in branch)
        yield replace(node, arrow=_arrow(above, node, column), shown=shown)


def _branch(node: Node, places: Mapping[tuple[int, int], Node]) -> tuple[Node, ...]:
    """The nodes on the way to one, from the root on."""
    above = places.get((node.depth - 1, node.index // 2))
    return (*(_branch(above, places) if above else ()), node)


def _timed(node: Node, levels: Sequence[int]) -> Node:
    """A node with the frames at which its picture is there in full, by the level of each frame."""
    begin, end = node.from_level + 1, node.to_level
    whole = begin - max(1, round(_GROWTH * (begin - end)))
    first = max(sum(level >= whole for level in levels) - 1, 0) if node.depth else 0
    last = sum(level >= end for level in levels) - 1
    return replace(node, first=first, last=max(first, last))


def _arrow(parent: Node | None, node: Node, column: int) -> str:
    """The way of the arrow that leads to a node, as a path of SVG; nothing leads to the root.

    It bends as far as the `column` where the first of the node's generation begin, and goes
    straight on to those that stand behind.
    """
    if parent is None:
        return ""
    start, middle = parent.x + parent.size, (parent.x + parent.size + column) / 2
    y0, y1 = parent.y + parent.size / 2, node.y + node.size / 2
    return f"M{start},{y0:g}C{middle:g},{y0:g} {middle:g},{y1:g} {column},{y1:g}H{node.x}"


def _whole(values: Mapping[str, JSON], name: str) -> int:
    """The whole number of that name, 0 where there is none."""
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _origin(media: Media) -> Origin:
    record = media.record
    noise = record.parameters.get("sampling_noise_std")
    precision = record.parameters.get("precision")
    silent = _LAYOUT | _TOLD | (set() if record.parameters.get("ddpm") else {"ddim_steps"})
    told = {
        _NAMES.get(name, name.replace("_", " ").capitalize()): format_value(value)
        for name, value in sorted(record.parameters.items())
        if name not in silent and value is not None
    }
    return Origin(
        models=tuple(Maker(model.name, model.sha256) for model in record.models),
        seed=record.seed,
        sampling_noise_std=None if noise is None else format_value(noise),
        command=f"sitegen build --only {media.id}"
        + (f" --precision {format_value(precision)}" if precision else ""),
        parameters=tuple(told.items()),
    )


_DIGIT_BLANK, _POINT_BLANK = "\u2007", "\u2008"  # as wide as a digit, and as a point
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def results_of(record: Record) -> Results | None:
    """What a figure has measured, for its page; None where that is nothing."""
    noted = record.results
    if not noted:
        return None
    tables = [_table(each) for each in sequence(noted.get("tables")) if isinstance(each, Mapping)]
    return Results(str(noted.get("summary") or ""), tuple(tables))


def _table(noted: Mapping[str, JSON]) -> Table:
    rows = [sequence(row) for row in sequence(noted.get("rows"))]
    columns = list(zip_longest(*rows))
    numeric = tuple(at for at, column in enumerate(columns) if all(map(_is_number, column)))
    words = [[format_value(value) for value in column] for column in columns]
    words = [align_decimals(each) if at in numeric else each for at, each in enumerate(words)]
    return Table(
        caption=str(noted.get("caption") or ""),
        columns=tuple(str(each) for each in sequence(noted.get("columns"))),
        rows=tuple(zip(*words, strict=True)),
        numeric=numeric,
    )


def _is_number(value: JSON) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def align_decimals(words: Sequence[str]) -> list[str]:
    """Numbers of a column with blanks behind them, so that, set right, their points are in line."""
    parts = [word.partition(".") for word in words]
    longest = max((len(after) for _, _, after in parts), default=0)
    if longest == 0 or any("×" in word for word in words):
        return list(words)
    return [
        word + (not point) * _POINT_BLANK + (longest - len(after)) * _DIGIT_BLANK
        if word[-1:].isdigit()
        else word
        for word, (_, point, after) in zip(words, parts, strict=True)
    ]


def sequence(value: JSON) -> Sequence[JSON]:
    """A list of a record, empty where it is none."""
    return value if isinstance(value, list | tuple) else ()


def format_value(value: JSON) -> str:
    """Write a value for a reader."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        digits, _, power = f"{value:.4g}".partition("e")
        return f"{digits} × 10{str(int(power)).translate(_RAISED)}" if power else digits
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Sequence):
        return ", ".join(format_value(each) for each in value)
    return json.dumps(dict(value), ensure_ascii=False, sort_keys=True)
