"""Views of figures, made from their media, and of the author's own pictures and videos.

Rendering notes places in the picture in a record's `parameters`, such as the `cells` of a grid in
native pixels. A missing or malformed note only omits its control.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from sitegen.content.embeds import Embed, ImageCall, Photo, Player, VideoCall
from sitegen.content.markdown import NEAR_TOP
from sitegen.core.installed import resource
from sitegen.core.progress import megabytes
from sitegen.core.urls import INDEX, relative
from sitegen.figures.base import FigureSpec, Row
from sitegen.figures.registry import figure_kinds, plug_in_errors
from sitegen.html.values import format_value, results_of, sequence, whole
from sitegen.html.views import (
    Cells,
    Clip,
    Download,
    FigureRow,
    FigureView,
    Image,
    LiveModel,
    ModelChoice,
    NarrowClip,
    Node,
    Origin,
    OwnVideo,
    Part,
    Picture,
    Steps,
    Still,
    Tab,
    Tabs,
    VideoEmbed,
)
from sitegen.media.manifest import JSON, Media, MediaFile, Record

_COLUMN, _WIDE, _TALL = 640, 928, 720  # CSS pixels: of the text, of wide figures, of a height
_LANDSCAPE = 1.4  # width over height from which a clip is wide
_ENLARGED = 8  # times that pictures are enlarged at most
_VIDEO_WIDTH = 1280  # pixels of an author's video; narrower columns scale it
_COMFORTABLE = 352  # CSS pixels: posters of samplers are shown at most this wide
_LAYOUT = {"also", "cells", "choices", "grow", "narrow", "nodes", "panels"}  # where, not how made
_TOLD = {"kind", "seed", "sampling_noise_std", "model", "models"}  # shown on separate lines
_LABELS = {
    "mp4": "MP4",
    "mp4-dark": "MP4, dark",
    "gif": "GIF",
    "gif-dark": "GIF, dark",
    "poster": "Poster",
    "poster-dark": "Poster, dark",
    "strip": "Strip",
}
_NAMES = {
    "ddim_steps": "DDIM steps",
    "ddpm": "DDPM",
    "fps": "Frames a second",
    "vary": "Varies",
}
_LEAVES = 8  # of a tree that is grown in a page
_RATE = 25.0  # GFLOP/s of the page's sampler in one thread of a laptop that is some years old


def figure_view(media: Media, page: str) -> FigureView:
    """Return the view of a figure for the page at `page`, a path from the site's root."""
    kind = figure_kinds().get(media.record.kind)
    files = media.record.files
    plain = live_view if "weights" in files else clip_view if "mp4" in files else still_view
    with plug_in_errors(media.record.kind, f"{page}: {media.id}: "):
        view: FigureView = ((kind and kind.view) or plain)(media, page)
        return view


def front_picture(media: Media) -> MediaFile | None:
    """Return the picture that represents a figure: its poster, or its own raster image."""
    files = media.record.files
    still = files.get("image")
    if "poster" in files or still is None or still.path.endswith(".svg"):
        return files.get("poster")
    return still


def standalone_uri(media: Media) -> str:
    """Return the path, in the built folder, of the page that shows only this figure."""
    return f"media/embed/{media.page.removesuffix(INDEX)}{media.id}/{INDEX}"


def still_view(media: Media, page: str) -> Still:
    """Return the view of a still for the page at `page`, a path from the site's root."""
    picture = _picture(media.record.files, "image", page)
    assert picture is not None
    return Still(
        **_shown(media, page),
        picture=picture,
        wide=picture.width > _COLUMN,
        standalone=relative(standalone_uri(media), page),
        narrow=_picture(media.record.files, "narrow", page),
    )


def _shown(media: Media, page: str) -> dict[str, Any]:
    """Return what figures of all kinds have in common."""
    return {
        "id": media.id,
        "alt": media.alt,
        "caption": media.caption,
        "downloads": _downloads(media, page),
        "results": results_of(media.record),
        "origin": _origin(media),
        "choice": media.choice,
    }


def clip_view(media: Media, page: str) -> Clip:
    """Return the view of a clip, whose scrubber shows levels and whose grid cells can be opened."""
    record = media.record
    mp4 = record.files["mp4"]
    cells, factor = _cells(record.parameters, mp4)
    gif = record.files.get("gif", mp4)
    native = cells.columns * cells.width // factor if cells else gif.width
    enlarged = record.parameters.get("factor")
    if record.parameters.get("panels") and isinstance(enlarged, int):
        native = mp4.width // max(1, enlarged)
    width = _clip_width(mp4, native)
    poster = _picture(record.files, "poster", page)
    assert poster is not None
    return Clip(
        **_shown(media, page),
        kind=record.kind,
        width=width,
        height=max(1, round(width * mp4.height / mp4.width)),
        video_width=mp4.width,
        video_height=mp4.height,
        pixelated=record.parameters.get("pixelated") is True,
        wide=width > _COLUMN,
        poster=poster,
        mp4=relative(mp4.path, page),
        dark=_uri(record.files, "mp4-dark", page),
        strip=_picture(record.files, "strip", page),
        steps=_steps(media),
        cells=cells,
        nodes=_nodes(record.parameters, record),
        panels=tuple(map(str, sequence(record.parameters.get("panels")))),
        samples=_samples(record, cells),
        plain=_spec(record).plain_samples or any(m.what == "recording" for m in record.models),
        standalone=relative(standalone_uri(media), page),
        narrow=_narrow(record, page),
    )


def _narrow(record: Record, page: str) -> NarrowClip | None:
    """Return the drawing of a clip for the column of a phone, if it has one."""
    mp4, poster = record.files.get("mp4-narrow"), _picture(record.files, "poster-narrow", page)
    if mp4 is None or poster is None:
        return None
    noted = _mapping(record.parameters, "narrow")
    cells = {**_mapping(record.parameters, "cells"), **noted}
    return NarrowClip(
        width=mp4.width,
        height=mp4.height,
        poster=poster,
        mp4=relative(mp4.path, page),
        dark=_uri(record.files, "mp4-narrow-dark", page),
        cells=_cells({"cells": cells}, mp4)[0],
        nodes=_nodes(noted, record),
    )


def _mapping(values: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    """Return the object of that name, an empty one if there is none."""
    value = values.get(name)
    return value if isinstance(value, Mapping) else {}


def _clip_width(mp4: MediaFile, native: int) -> int:
    """Return the width of a clip in CSS pixels: that of the text, or of wide figures."""
    ratio = mp4.width / mp4.height
    column = _WIDE if ratio >= _LANDSCAPE else min(_COLUMN, round(_TALL * ratio))
    return max(1, min(column, _ENLARGED * native))


def live_view(media: Media, page: str) -> LiveModel:
    """Return the view of models that draw in the page, from files such as "model", "weights-2"."""
    record = media.record
    grow = record.parameters.get("grow") is True
    noted = [
        each if isinstance(each, Mapping) else {}
        for each in sequence(record.parameters.get("choices"))
    ]
    noted += [{}] * (len(record.models) - len(noted))
    choices = (
        _choice(media, page, place, model.name, noted[place], grow)
        for place, model in enumerate(record.models)
    )
    return LiveModel(**_shown(media, page), wide=True, choices=tuple(choices), grow=grow)


def _choice(
    media: Media, page: str, place: int, name: str, noted: Mapping[str, JSON], grow: bool
) -> ModelChoice:
    """A model of a sampler, from 0, and what rendering `noted` of it."""
    files, ending = media.record.files, f"-{place + 1}" if place else ""
    own = [files[f"{kind}{ending}"] for kind in ("model", "weights")]
    poster = _picture(files, f"poster{ending}", page)
    assert poster is not None
    width = _COMFORTABLE
    shows = str(noted.get("shows") or name)
    return ModelChoice(
        name=name,
        subject=str(noted.get("subject") or name),
        alt=f"{shows}, drawn when this page was made" if place else media.alt,
        width=width,
        height=max(1, round(width * poster.height / poster.width)),
        poster=poster,
        side=own[0].width,
        colour=whole(noted, "channels") > 1,
        model=relative(own[0].path, page),
        weights=relative(own[1].path, page),
        cost=_cost(sum(file.bytes for file in own), noted.get("gflop"), grow),
        pixelated=media.record.parameters.get("pixelated") is True,
        symbol=str(noted.get("symbol") or ""),
        command=noted.get("command") is not False,
    )


def _cost(size: int, gflop: JSON, grow: bool) -> str:
    """Return a sentence on the download, `size` bytes and the engine's, and the time to sample."""
    engine = sum(path.stat().st_size for path in (resource("static") / "sampler").iterdir())
    words = f"Fetches {megabytes(engine + size)}"
    if not isinstance(gflop, int | float):
        return f"{words}."
    what, share = (f"a tree of {_LEAVES}", _LEAVES) if grow else ("a sample", 1)
    seconds = gflop / _RATE * share
    told = "under a second" if seconds < 0.75 else f"about {max(1, round(seconds))} seconds"
    told = "about a second" if told == "about 1 seconds" else told
    return f"{words}; then {what} takes {told} on a laptop, longer on a phone."


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
        Download(label, relative(files[name].path, page), megabytes(files[name].bytes))
        for name, label in (_LABELS | still).items()
        if name in files
    )


def _steps(media: Media) -> Steps:
    """Return the words of the scrubber; levels and values only where each frame has them."""
    mp4, record = media.record.files["mp4"], media.record
    frames = mp4.frames or 1
    levels = record.levels if len(record.levels) == frames else ()
    symbol, unit, values = axis_of(media)
    said = [scale(values[level]) for level in levels] if values else []
    points, hold = whole(record.parameters, "points"), whole(record.parameters, "hold")
    if points >= 2 and 2 * (points + hold) == frames:  # of a path that goes there and back
        fps = f"{mp4.fps or 24.0:g}"
        return Steps(fps, frames - 1, symbol=symbol, unit=unit, points=points, hold=hold)
    return Steps(
        fps=f"{mp4.fps or 24.0:g}",
        last=frames - 1,
        levels=" ".join(map(str, levels)),
        values=" ".join(said),
        level=str(levels[-1]) if levels else "",
        value=said[-1] if said else "",
        symbol=symbol,
        unit=unit,
        opening=opening_of(levels),
    )


def opening_of(levels: Sequence[int]) -> int:
    """Return the frames before the first step of a clip: those that show the finished pictures."""
    if not levels or levels[0] != levels[-1]:
        return 0
    return next((at for at, level in enumerate(levels) if level != levels[0]), 0)


def axis_of(media: Media) -> tuple[str, str, Mapping[int, float]]:
    """Return the axis of a figure's process: symbol, unit, and the value of each level shown."""
    levels, axis = media.record.levels, media.axis
    if axis is None or not all(0 <= level < len(axis.values) for level in levels):
        return "", "", {}
    repeats = axis.values == tuple(range(len(axis.values)))
    if repeats and (axis.symbol, axis.unit) in (("t", ""), ("level", "")):
        return "", "", {}
    return axis.symbol, axis.unit, {level: axis.values[level] for level in levels}


def scale(sigma: float) -> str:
    """Write a value of an axis for a reader: one digit after the point, and more below 1.

    0.999 is not written as 1.00.
    """
    if 0 < abs(sigma) < 0.01:
        return f"{sigma:.1g}"
    if abs(sigma) >= 1e9:
        return f"{sigma:.4g}".replace("e+0", "e").replace("e+", "e")
    if sigma == 0 or abs(sigma) >= 1:
        return f"{sigma:.1f}" if sigma else "0"
    digits = (f"{sigma:.{count}f}" for count in range(2, 10))
    return next((each for each in digits if abs(float(each)) < 1), f"{sigma:.2f}")


def _spec(record: Record) -> type[FigureSpec]:
    kind = figure_kinds().get(record.kind)
    return kind.spec if kind else FigureSpec


def _cells(parameters: Mapping[str, JSON], mp4: MediaFile) -> tuple[Cells | None, int]:
    """The cells of a grid in pixels of the clip, and how often it enlarges each of the model's."""
    known = _mapping(parameters, "cells")
    names = ("columns", "count", "width", "height")
    columns, count, width, height = (whole(known, name) for name in names)
    if min(columns, count, width, height) < 1:
        return None, 1
    factor = mp4.width // (columns * width)
    return Cells(columns, count, width * factor, height * factor) if factor else None, factor or 1


def chosen_samples(record: Record) -> tuple[int, ...]:
    """The numbers of the samples that an author chose; empty where none were."""
    noted = sequence(record.parameters.get("samples"))
    return tuple(each for each in noted if isinstance(each, int) and not isinstance(each, bool))


def _samples(record: Record, cells: Cells | None) -> tuple[int, ...]:
    """The number of the sample that each cell shows, as far as they are known."""
    chosen = chosen_samples(record)
    if cells is None:
        return ()
    numbered = _spec(record).cell_numbers
    if numbered == "rows":
        rows = -(-cells.count // cells.columns)
        chosen = chosen or tuple(range(rows))
        cut = chosen if len(chosen) == rows else ()
        return tuple(each for each in cut for _ in range(cells.columns))
    known = chosen or tuple(range(cells.count if numbered == "cells" else 0))
    return known if len(known) == cells.count else ()


def _origin(media: Media) -> Origin:
    record = media.record
    noise = record.parameters.get("sampling_noise_std")
    precision = record.environment.get("precision", record.parameters.get("precision"))
    told_precision = f" --precision {format_value(precision)}" if precision else ""
    silent = _LAYOUT | _TOLD | (set() if record.parameters.get("ddpm") else {"ddim_steps"})
    told = {
        _NAMES.get(name, name.replace("_", " ").capitalize()): format_value(value)
        for name, value in [*sorted(record.parameters.items()), *sorted(record.environment.items())]
        if name not in silent and value is not None
    }
    return Origin(
        models=record.models,
        seed=record.seed,
        sampling_noise_std=None if noise is None else format_value(noise),
        command=f"sitegen build --rerender {media.id}{told_precision}",
        parameters=tuple(told.items()),
    )


def _nodes(parameters: Mapping[str, JSON], record: Record) -> tuple[Node, ...]:
    """The nodes of a tree, with their arrows, levels and the numbers of chosen samples."""
    names = ("depth", "index", "x", "y", "size", "from_level", "to_level")
    chosen, found = chosen_samples(record), list[Node]()
    for noted in sequence(parameters.get("nodes")):
        if isinstance(noted, Mapping) and all(name in noted for name in names):
            depth, index, x, y, size, start, end = (whole(noted, name) for name in names)
            leaf = 2**depth == len(chosen) and index < len(chosen)
            number = chosen[index] if leaf else None
            found.append(Node(depth, index, x, y, size, start, end, sample=number))
    return tuple(_joined(found, record))


def _joined(nodes: Sequence[Node], record: Record) -> Iterator[Node]:
    """The nodes with their arrows, and with the frames and levels of the way down to each."""
    frames = record.files["mp4"].frames or 1
    levels = record.levels if len(record.levels) == frames else ()
    opening = opening_of(levels)
    found: dict[tuple[int, int], Node] = {}
    for node in nodes:  # parents come before their children
        above = found.get((node.depth - 1, node.index // 2))
        column = min(other.x for other in nodes if other.depth == node.depth)
        first = opening + sum(level > node.from_level for level in levels)
        still = levels[opening:] if node.to_level else levels
        last = opening * bool(node.to_level) + sum(level >= node.to_level for level in still) - 1
        last = max(first, last) if levels else frames - 1
        shown = (*(above.shown if above else ()), (levels[first], levels[last])) if levels else ()
        timed = replace(node, first=first, last=last, shown=shown)
        found[node.depth, node.index] = replace(timed, arrow=_arrow(above, node, column))
    yield from found.values()


def _arrow(parent: Node | None, node: Node, column: int) -> str:
    """Return the arrow that leads to a node, as an SVG path; no arrow leads to the root.

    It bends until the `column` where the first nodes of the generation begin, and continues
    straight to nodes further right.
    """
    if parent is None:
        return ""
    start, middle = parent.x + parent.size, (parent.x + parent.size + column) / 2
    y0, y1 = parent.y + parent.size / 2, node.y + node.size / 2
    return f"M{start},{y0:g}C{middle:g},{y0:g} {middle:g},{y1:g} {column},{y1:g}H{node.x}"


def row_view(parts: tuple[FigureView, ...], row: Row) -> FigureRow | Tabs:
    """Return the view of figures in one place: of a row, one scrubber moves clips over levels."""
    if row.tabs:
        models = [part.origin.models for part in parts]
        own = (made[0].name if made else p.id for made, p in zip(models, parts, strict=True))
        names = row.names or tuple(own)
        tabs = tuple(Tab(*each) for each in zip(names, parts, strict=True))
        return Tabs(f"tabs-{row.number}", tabs, row.caption)
    clips = [part.steps for part in parts if isinstance(part, Clip)]
    if len(clips) < len(parts) or not all(each.levels and not each.points for each in clips):
        return FigureRow(parts, row.caption, None)
    first, *others = map(_over_time, clips)
    steps = clips[0] if all(each == first for each in others) else _fraction(clips[0])
    return FigureRow(parts, row.caption, steps)


def _over_time(steps: Steps) -> tuple[object, ...]:
    """Return what a clip shows over time: its levels with their values, however long each stays."""
    pairs = zip_longest(steps.levels.split(), steps.values.split())
    return frozenset(pairs), steps.symbol, steps.unit


def _fraction(steps: Steps) -> Steps:
    """Return the words of a scrubber for clips that differ, each of which shows its own level."""
    return Steps(steps.fps, steps.last, opening=steps.opening, fraction=True)


def embed_view(thing: Embed, uri: str) -> Part:
    """Return the view of a picture or a video on the page at `uri`."""
    call = thing.call
    if isinstance(call, ImageCall):
        picture, width = photo_view(call.file, uri), call.width
        if width is not None:
            height = max(1, round(picture.height * width / picture.width))
            picture = Picture(picture.uri, width, height)
        lazy = thing.place.line > NEAR_TOP
        return Image(thing.id, call.alt, call.caption, picture, lazy, thing.number)
    poster, video = photo_view(call.poster, uri) if call.poster else None, call.url
    words = (thing.id, call.title, call.caption)
    if isinstance(video, Player):
        return VideoEmbed(*words, video.name, video.address, video.link, poster)
    across, down = map(int, call.aspect.split(":"))
    height, address = max(1, round(_VIDEO_WIDTH * down / across)), relative(video.file.uri, uri)
    still = poster.uri if poster else None
    return OwnVideo(*words, address, video.type, _VIDEO_WIDTH, height, still)


def frames_policy(parts: Iterable[object]) -> str:
    """What a page adds to its Content-Security-Policy: frames of the hosts of its videos."""
    calls = (part.call for part in parts if isinstance(part, Embed))
    players = (call.url for call in calls if isinstance(call, VideoCall))
    origins = {player.origin for player in players if isinstance(player, Player)}
    return f"; frame-src {' '.join(sorted(origins))}" if origins else ""


def photo_view(photo: Photo, uri: str) -> Picture:
    """Return the view of one of the author's pictures on the page at `uri`."""
    return Picture(relative(photo.file.uri, uri), photo.width, photo.height)
