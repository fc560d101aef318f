"""Views of figures, made from their media, and the text of values in a record."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any, Literal

from markupsafe import Markup, escape

from sitegen.content.embeds import Embed, ImageCall, Photo, Player, RawHtmlCall, TableCall
from sitegen.content.groups import COMPARE, TABS, Group, noun, shapes_fault
from sitegen.content.markdown import NEAR_TOP, InlineText
from sitegen.core.errors import ConfigError
from sitegen.core.installed import resource
from sitegen.core.progress import megabytes, raised
from sitegen.core.urls import relative
from sitegen.html.views import (
    WIDE,
    Clip,
    FigureGroup,
    FigureView,
    GalleryItem,
    ModelChoice,
    Node,
    Picture,
    Steps,
    Tick,
)
from sitegen.media.manifest import JSON, Cells, Media, MediaFile, Record

_COLUMN, _TALL = 576, 720  # CSS pixels: of the text, of a height
_LANDSCAPE = 1.4  # width over height from which a clip is wide
_ENLARGED = 9  # times that pictures are enlarged at most
_COMFORTABLE = 400  # CSS pixels: posters of samplers are shown at most this wide
_SHOWN_ELSEWHERE = {"also", "choices", "kind", "model", "models", "seed"}
_SHOWN_ELSEWHERE |= {"sampling_noise_std"}
_LABELS = {"mp4": "MP4", "gif": "GIF", "poster-webp": "Poster"}
_NAMES = {
    "ddim_steps": "DDIM steps",
    "ddpm": "DDPM",
    "fps": "Frames a second",
    "numpy": "NumPy",
    "vary": "Varies",
}
_NUMBER = re.compile(r"[-+−–±<>≈~.,%×\s\d]*")  # a cell that is set right
_VIDEO_WIDTH = 1280  # pixels of an author's video; narrower columns scale it
_RATE = 25.0  # GFLOP/s of the page's sampler in one thread of a laptop that is some years old


def figure_view(
    media: Media,
    page: str,
    number: str = "",
    caption: str = "",
    texts: Sequence[str] = (),
    spec: Any = None,
) -> FigureView:
    """Return the view of a figure for the page at `page`, a path from the site's root.

    texts: captions of its parts
    spec: the arguments of its call, for a gallery
    """
    record, caption = media.record, caption or media.caption
    results = results_of(record) if record.results else None
    if {"weights", "tiles"} & record.files.keys():
        shape: Literal["atlas", "sampler"] = "atlas" if "tiles" in record.files else "sampler"
        choices = _choices(media, page) if shape == "sampler" else ()
        maps = _maps(media, page) if shape == "atlas" else ()
        return FigureView(
            media, page, shape, True, None, choices, maps, results, number, caption=caption
        )
    if "picture-0" in record.files:
        view = FigureView(media, page, "gallery", True, number=number, caption=caption, spec=spec)
        return replace(view, items=gallery_items(view, texts))
    if record.cells is not None:
        clip = clip_view(media, record.cells)
        wide = clip.width > _COLUMN
    else:
        clip, wide = None, record.files["image"].width > _COLUMN
    still: Literal["clip", "still"] = "clip" if clip else "still"
    return FigureView(
        media, page, still, wide, clip, results=results, number=number, caption=caption
    )


def gallery_items(figure: FigureView, texts: Sequence[str]) -> tuple[GalleryItem, ...]:
    """Return the pictures and videos of a gallery; without captions, with their labels."""
    facts, items = sequence(figure.media.record.parameters.get("items")), list[GalleryItem]()
    for at, item in enumerate(facts):
        noted = item if isinstance(item, Mapping) else {}
        name, label = PurePosixPath(str(noted.get("name", ""))).stem, str(noted.get("label", ""))
        caption = texts[at] if at < len(texts) else label
        alt = " ".join(inline(caption).striptags().split()) or re.sub(r"[-_.]+", " ", name)
        picture, film = figure.picture(f"picture-{at}"), f"film-{at}"
        assert picture is not None
        large = figure.picture(f"large-{at}") or picture
        uri = figure.uri(film) if film in figure.media.record.files else ""
        items.append(GalleryItem(alt, caption, picture, large, uri))
    return tuple(items)


def front_picture(media: Media) -> MediaFile | None:
    """Return the picture that represents a figure: its poster, or its own raster image."""
    files = media.record.files
    still = files.get("image")
    if "poster-webp" in files or still is None or still.path.endswith(".svg"):
        return files.get("poster-webp")
    return still


def clip_view(media: Media, cells: Cells) -> Clip:
    """Return the view of a clip, whose slider shows levels and whose cells can be opened."""
    width, height = cells.size
    column = WIDE if width >= _LANDSCAPE * height else min(_COLUMN, round(_TALL * width / height))
    shown = max(1, min(column, _ENLARGED * media.record.files["gif"].width))
    steps = _steps(media)
    nodes = _nodes(media, cells) if cells.nodes else ()
    ticks = _ticks(media, cells) if cells.nodes else ()
    return Clip(shown, max(1, round(shown * height / width)), steps, cells, nodes, ticks)


def _choices(media: Media, page: str) -> tuple[ModelChoice, ...]:
    """Return the models that draw, from files such as "model" and "weights-2"."""
    record, figure = media.record, FigureView(media, page, "sampler", True)
    facts_of_all = sequence(record.parameters.get("choices"))
    choices = []
    for number, model in enumerate(record.models, 1):
        noted = facts_of_all[number - 1] if number <= len(facts_of_all) else {}
        facts = noted if isinstance(noted, Mapping) else {}
        ending = f"-{number}" if number > 1 else ""
        files = [record.files[f"{kind}{ending}"] for kind in ("model", "weights")]
        poster, subject = record.files[f"poster{ending}"], model.subject or model.name
        webp = figure.uri(f"poster-webp{ending}")
        picture = Picture(figure.uri(f"poster{ending}"), poster.width, poster.height, webp)
        count = whole(record.parameters, "count")
        alt = f"{count} {subject}, drawn when this page was made" if ending else media.alt
        choices.append(
            ModelChoice(
                name=model.name,
                subject=subject,
                alt=alt,
                width=_COMFORTABLE,
                height=max(1, round(_COMFORTABLE * poster.height / poster.width)),
                poster=picture,
                side=files[0].width,
                colour=whole(facts, "channels") > 1,
                model=relative(files[0].path, page),
                weights=relative(files[1].path, page),
                cost=_cost(sum(file.bytes for file in files), facts.get("gflop")),
                pixelated=record.parameters.get("pixelated") is True,
                symbol=str(facts.get("symbol") or ""),
                command=facts.get("command") is not False,
                labels=tuple(map(str, sequence(facts.get("labels")))),
            )
        )
    return tuple(choices)


def _maps(media: Media, page: str) -> tuple[Mapping[str, JSON], ...]:
    """Return the models of an atlas: what its record says of each, with its name and its files."""
    maps = list[Mapping[str, JSON]]()
    facts_of_all = sequence(media.record.parameters.get("choices"))
    endings = ("", "-2")[: len(facts_of_all)]
    for model, facts, ending in zip(media.record.models, facts_of_all, endings, strict=True):
        assert isinstance(facts, Mapping)
        links = dict.fromkeys(("model", "weights", "tiles"), "")
        size = 0
        for name in links:
            if file := media.record.files.get(f"{name}{ending}"):
                links[name] = relative(file.path, page)
                size += file.bytes if name != "tiles" else 0
        subject = {"name": model.name, "subject": model.subject or model.name}
        cost = ""
        if isinstance(gflop := facts["gflop"], float):
            cost = f"Deeper tiles fetch {_download(size)} and are drawn on your machine, "
            cost = f"{cost}an image in {_seconds(gflop)}."
        maps.append({**facts, **subject, **links, "cost": cost})
    return tuple(maps)


def _cost(size: int, gflop: JSON) -> str:
    """Return a sentence on the download, `size` bytes and the engine's, and the time to sample."""
    download = f"Fetches {_download(size)}"
    if not isinstance(gflop, int | float):
        return f"{download}."
    return f"{download}; then a sample takes {_seconds(gflop)} on a laptop, longer on a phone."


def _download(size: int) -> str:
    """Return the size of a model of `size` bytes with the engine."""
    engine = sum(path.stat().st_size for path in (resource("static") / "sampler").iterdir())
    return megabytes(engine + size)


def _seconds(gflop: float) -> str:
    """Return the time that a laptop takes to sample."""
    seconds = gflop / _RATE
    time = "under a second" if seconds < 0.75 else f"about {max(1, round(seconds))} seconds"
    return "about a second" if time == "about 1 seconds" else time


def downloads(figure: FigureView) -> list[tuple[str, str, str]]:
    """Return the files to save: label, link and size in text."""
    files = figure.media.record.files
    still = {"image": files["image"].path.rpartition(".")[2].upper()} if "image" in files else {}
    return [
        (label, figure.uri(name), megabytes(files[name].bytes))
        for name, label in (_LABELS | still).items()
        if name in files
    ]


def settings(media: Media) -> dict[str, str]:
    """Return the parameters of a figure and the environment of its rendering, in text."""
    record = media.record
    hidden = _SHOWN_ELSEWHERE | (set() if record.parameters.get("ddpm") else {"ddim_steps"})
    values = [*sorted(record.parameters.items()), *sorted(record.environment.items())]
    return {
        _NAMES.get(name, name.replace("_", " ").capitalize()): format_value(value)
        for name, value in values
        if name not in hidden and value is not None
    }


def command(media: Media) -> str:
    """Return the command that renders a figure again."""
    precision = media.record.environment.get("precision")
    option = f" --precision {precision}" if precision else ""
    return f"sitegen build --rerender {media.id}{option}"


def _steps(media: Media) -> Steps:
    """Return what the slider says; levels and values only where each frame has them."""
    mp4, record = media.record.files["mp4"], media.record
    frames, fps = mp4.frames or 1, f"{mp4.fps or 24.0:g}"
    levels = record.levels if len(record.levels) == frames else ()
    points, hold = whole(record.parameters, "points"), whole(record.parameters, "hold")
    if points >= 2 and 2 * (points + hold) == frames:  # of a path that goes there and back
        return Steps(fps, frames - 1, points=points, hold=hold)
    symbol, unit, values = axis_of(media)
    texts = [scale(values[level]) for level in levels] if values else []
    return Steps(
        fps=fps,
        last=frames - 1,
        levels=" ".join(map(str, levels)),
        values=" ".join(texts),
        level=str(levels[-1]) if levels else "",
        value=texts[-1] if texts else "",
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
    # Such an axis only repeats the level, which the page shows anyway.
    if repeats and (axis.symbol, axis.unit) in (("t", ""), ("level", "")):
        return "", "", {}
    values = {level: axis.values[level] for level in levels}
    are_whole = all(value == round(value) for value in values.values())  # as steps of a training
    number: type[int | float] = int if are_whole else float
    return axis.symbol, axis.unit, {level: number(value) for level, value in values.items()}


def scale(sigma: float) -> str:
    """Write a value of an axis for a reader: one digit after the point, and more below 1.

    0.999 is not written as 1.00.
    """
    if 0 < abs(sigma) < 0.01:
        return f"{sigma:.1g}"
    if abs(sigma) >= 1e9:
        return f"{sigma:.4g}".replace("e+0", "e").replace("e+", "e")
    if isinstance(sigma, int):
        return f"{sigma}"
    if sigma == 0 or abs(sigma) >= 1:
        return f"{sigma:.1f}" if sigma else "0"
    digits = (f"{sigma:.{count}f}" for count in range(2, 10))
    return next((text for text in digits if abs(float(text)) < 1), f"{sigma:.2f}")


def _nodes(media: Media, cells: Cells) -> tuple[Node, ...]:
    """Return the pictures of a tree, with their arrows and the frames in which they form."""
    levels = media.record.levels
    opening = opening_of(levels)
    nodes = list[Node]()
    for number, cell in enumerate(cells.nodes):  # parents come before their children
        depth = (number + 1).bit_length() - 1
        index = number + 1 - 2**depth
        frames = [
            frame
            for frame, level in enumerate(levels)
            if frame >= opening and cell.to_level <= level <= cell.from_level
        ]
        parent = None if cell.parent is None else nodes[cell.parent]
        leaf = 2**depth == len(cells.samples)
        nodes.append(
            Node(
                depth,
                index,
                cell.x,
                cell.y,
                frames[0] if frames else opening,
                frames[-1] if frames else opening,
                span=(cell.from_level, cell.to_level),
                path=(parent.path[0] if parent else cell.from_level, cell.to_level),
                arrow=_arrow(parent, cell.x, cell.y, cells) if parent else "",
                sample=cells.samples[index] if leaf else None,
            )
        )
    return tuple(nodes)


def _arrow(parent: Node, x: int, y: int, cells: Cells) -> str:
    """Return a curve from a picture to the next, which ends level; the page adds the head.

    The second column of leaves is farther away: the curve is done at the first, then straight.
    """
    # 1.8 is the distance of generations, `STEP` of figures/hierarchy.py.
    start, bend = parent.x + cells.width, parent.x + round(1.8 * cells.width)
    half = (cells.height - cells.strip) / 2
    y0, y1 = parent.y + half, y + half
    middle, bend = (start + min(bend, x)) / 2, min(bend, x)
    return f"M{start} {y0:g}C{middle:g} {y0:g} {middle:g} {y1:g} {bend} {y1:g}H{x}"


def _ticks(media: Media, cells: Cells) -> tuple[Tick, ...]:
    """Return the levels of a tree's axis: where each generation ends, below its pictures."""
    _, _, values = axis_of(media)
    columns: dict[int, set[int]] = {}
    for node in cells.nodes:
        columns.setdefault(node.to_level, set()).add(node.x + cells.width // 2)
    return tuple(
        Tick(
            (min(marks) + max(marks)) / 2,
            level,
            scale(values[level]) if level in values else str(level),
            tuple(sorted(marks)),
        )
        for level, marks in columns.items()
    )


def group_view(group: Group, parts: tuple[tuple[str, Any], ...]) -> FigureGroup:
    """Return the view of parts in one place: of a row, one slider moves clips over levels.

    Raises ConfigError for compared parts of which one cannot cover the other.
    """
    view = FigureGroup(group, parts)
    if group.kind == COMPARE:
        pictures = [figure.clip or figure.media.record.files["image"] for figure in view.figures]
        shapes = [(picture.width, picture.height) for picture in pictures]
        shapes += [part.shape for part in group.parts if isinstance(part, Embed) and part.shape]
        if fault := shapes_fault(shapes):
            raise ConfigError(f"{group.place.file}:{group.place.line}: compare(…): {fault}")
    clips = [figure.clip.steps for figure in view.clips if figure.clip]
    together = len(clips) > 1 and all(steps.levels and not steps.points for steps in clips)
    if group.kind == TABS or not together:
        return view
    # The levels with their values that a clip shows over time, however long each stays.
    first, *others = (
        (frozenset(zip_longest(s.levels.split(), s.values.split())), s.symbol, s.unit)
        for s in clips
    )
    steps = clips[0]
    if any(other != first for other in others):
        steps = Steps(steps.fps, steps.last, opening=steps.opening, fraction=True)
    return FigureGroup(group, parts, steps)


def inline(text: str, *, linked: bool = True) -> Markup:
    """Return the HTML of inline Markdown, or of plain text; without links where it is repeated."""
    if not isinstance(text, InlineText):
        return escape(text)
    return text.html if linked else text.unlinked.html


def notes(text: str) -> Markup:
    """Return the footnotes of inline Markdown, to be shown below it."""
    return text.notes if isinstance(text, InlineText) else Markup()


def embed_view(embed: Embed, uri: str, cover: Picture | None = None) -> dict[str, Any]:
    """Return a picture or a video of the author's on the page at `uri`.

    cover: stands in for the poster of a video on another host that has none

    All have `shape`, `id`, `caption`, `noun` and `number`; an "image" also `alt`, `picture` and
    `lazy`, a "screen" (a video on another host) `title`, `host`, `player`, `link` and `poster`, a
    "video" `title`, `uri`, `type`, `width`, `height` and `poster`, a "table" its `table`, and "raw"
    its `html`.
    """
    call = embed.call
    view: dict[str, Any] = {"id": embed.id, "caption": embed.caption, "number": embed.number}
    view["noun"] = noun(embed)
    if isinstance(call, TableCall):
        columns, *rows = embed.cells
        numeric = [n for n in range(len(columns)) if all(_NUMBER.fullmatch(row[n]) for row in rows)]
        table = {"caption": "", "columns": columns, "rows": rows, "numeric": numeric}
        return {**view, "shape": "table", "table": table}
    if isinstance(call, RawHtmlCall):
        return {**view, "shape": "raw", "html": call.file}
    if isinstance(call, ImageCall):
        picture, width = photo_view(call.file, uri), call.width
        if width is not None:
            height = max(1, round(picture.height * width / picture.width))
            picture = Picture(picture.uri, width, height)
        lazy = embed.place.line > NEAR_TOP
        return {**view, "shape": "image", "alt": call.alt, "picture": picture, "lazy": lazy}
    poster, video = photo_view(call.poster, uri) if call.poster else None, call.url
    view |= {"title": call.title}
    if isinstance(video, Player):
        facts = {"host": video.name, "player": video.address, "link": video.link}
        return {**view, "shape": "screen", **facts, "poster": poster or cover}
    across, down = map(int, call.aspect.split(":"))
    return {
        **view,
        "shape": "video",
        "uri": relative(video.file.uri, uri),
        "type": video.type,
        "width": _VIDEO_WIDTH,
        "height": max(1, round(_VIDEO_WIDTH * down / across)),
        "poster": poster.uri if poster else None,
    }


def photo_view(photo: Photo, uri: str) -> Picture:
    """Return the view of one of the author's pictures on the page at `uri`."""
    return Picture(relative(photo.file.uri, uri), photo.width, photo.height)


def whole(values: Mapping[str, JSON], name: str) -> int:
    """Return the integer of that name, 0 if there is none."""
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


_SHORT = 6  # maximum rows of a table below a figure


def results_of(record: Record) -> dict[str, Any]:
    """Return the measurements of a figure: `summary`, `tables`, and `short`, the first if short.

    A table has a `caption`, `columns`, `rows` of text, and `numeric`, its columns of numbers.
    """
    noted = sequence(record.results.get("tables"))
    tables = [_table(table) for table in noted if isinstance(table, Mapping)]
    short = tables[0] if tables and len(tables[0]["rows"]) <= _SHORT else None
    summary = str(record.results.get("summary") or "")
    return {"summary": summary, "tables": tables, "short": short}


def _table(noted: Mapping[str, JSON]) -> dict[str, Any]:
    rows = [sequence(row) for row in sequence(noted.get("rows"))]
    columns = list(zip_longest(*rows))
    numbers = (int, float, type(None))  # but not bool
    numeric = [n for n, column in enumerate(columns) if all(type(v) in numbers for v in column)]
    texts = [list(map(format_value, column)) for column in columns]
    return {
        "caption": str(noted.get("caption") or ""),
        "columns": [str(name) for name in sequence(noted.get("columns"))],
        "rows": list(zip(*texts, strict=True)),
        "numeric": numeric,
    }


def sequence(value: JSON) -> Sequence[JSON]:
    """Return a list of a record, or an empty list for any other value."""
    return value if isinstance(value, list | tuple) else ()


def format_value(value: JSON) -> str:
    """Write a value for a reader."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        digits, _, power = f"{value:.4g}".partition("e")
        return f"{digits} × 10{raised(int(power))}" if power else digits
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, Sequence):
        return ", ".join(format_value(item) for item in value)
    return json.dumps(dict(value), ensure_ascii=False, sort_keys=True)
