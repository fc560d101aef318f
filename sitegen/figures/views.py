"""Views of figures: the values that templates get, and their construction from media.

Rendering notes places in the picture in a record's `parameters`, such as the `cells` of a grid in
native pixels. They are read here and in the views of the kinds. A missing or malformed note only
omits its control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sitegen.core.installed import resource
from sitegen.core.urls import INDEX, relative
from sitegen.figures.values import Results, format_value, results_of, sequence, whole
from sitegen.media.manifest import JSON, Media, MediaFile, Record


@dataclass(frozen=True)
class Picture:
    """A still picture and its size in pixels; `dark` is shown on dark pages instead."""

    uri: str
    width: int
    height: int
    dark: str | None = None


@dataclass(frozen=True)
class Download:
    """A file to save, with its size in words."""

    label: str
    uri: str
    size: str


@dataclass(frozen=True)
class Maker:
    """A model that a figure was made with, and the sha256 of its file; `what` says of which."""

    name: str
    sha256: str
    what: str = "checkpoint"


@dataclass(frozen=True)
class Origin:
    """How a figure was made: with what, from which seed, and the command that makes it again."""

    models: tuple[Maker, ...]
    seed: int | None
    sampling_noise_std: str | None
    command: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Still:
    """A figure that does not move.

    narrow: the same drawn for the column of a phone
    alone: a link to the page of it alone
    number: which figure of its page it is, from 1
    choice: that its samples were chosen, and from how many; empty where they were not
    """

    shape: ClassVar[str] = "still"

    id: str
    alt: str
    caption: str
    picture: Picture
    wide: bool
    downloads: tuple[Download, ...]
    results: Results | None
    origin: Origin
    alone: str = ""
    number: int = 0
    choice: str = ""
    narrow: Picture | None = None


@dataclass(frozen=True)
class Steps:
    """The words of a clip's scrubber for each frame; texts hold one word a frame.

    fps: frames a second
    last: the number of the last frame
    opening: the frames before the first step, which show the finished pictures
    levels: k of each frame; may be empty
    values: the value of each frame on the axis of the process; may be empty
    symbol, unit: of these values, as in σ_B and px
    level, value: those of the last frame, which the poster shows
    points, hold: of an interpolation: the points on its way, and the frames for which the clip
        rests at either end; 0 for other clips
    """

    fps: str
    last: int
    levels: str
    values: str
    level: str
    value: str
    symbol: str = ""
    unit: str = ""
    points: int = 0
    hold: int = 0
    opening: int = 0


@dataclass(frozen=True)
class Cells:
    """Where the samples of a grid stand, in pixels of the clip; the last row is centred."""

    columns: int
    count: int
    width: int
    height: int


@dataclass(frozen=True)
class Node:
    """A picture of a tree: its place in the tree, and in the clip in pixels.

    first, last: the frames between which it forms
    shown: the levels at these frames, of each picture on the way from the root to this one; empty
        where frames have no levels
    arrow: the way of the arrow that leads to it, as a path of SVG
    sample: the number of the sample whose noise a leaf has, where that was chosen
    """

    depth: int
    index: int
    x: int
    y: int
    size: int
    from_level: int
    to_level: int
    first: int = 0
    last: int = 0
    shown: tuple[tuple[int, int], ...] = ()
    arrow: str = ""
    sample: int | None = None


@dataclass(frozen=True)
class Clip:
    """A figure that moves.

    width, height: at which it is shown, in CSS pixels; film_width, film_height: its own
    pixelated: whether its pixels stay squares where it is enlarged
    dark: the clip for dark pages, if it has one
    strip: some of its moments side by side
    panels: the names of the parts that stand side by side in it
    samples: the number of the sample that each cell of a grid shows; empty where that is not known
    plain: whether a cell is that very sample, and not another state with its noise
    alone: a link to the page of it alone
    number: which figure of its page it is, from 1
    choice: that its samples were chosen, and from how many; empty where they were not
    hint: whether it says that its pictures can be opened; once a page
    """

    shape: ClassVar[str] = "clip"

    id: str
    kind: str
    alt: str
    caption: str
    width: int
    height: int
    film_width: int
    film_height: int
    pixelated: bool
    wide: bool
    poster: Picture
    mp4: str
    dark: str | None
    strip: Picture | None
    downloads: tuple[Download, ...]
    steps: Steps
    cells: Cells | None
    nodes: tuple[Node, ...]
    panels: tuple[str, ...]
    results: Results | None
    origin: Origin
    samples: tuple[int, ...] = ()
    plain: bool = False
    alone: str = ""
    number: int = 0
    choice: str = ""
    hint: bool = False


@dataclass(frozen=True)
class ModelChoice:
    """A model that a visitor can let draw, and the poster that is seen before.

    subject: what it draws, in words
    alt: what the poster shows
    width, height: of the poster, in CSS pixels
    side: pixels of a side of its pictures
    pixelated: whether their pixels stay squares where they are enlarged
    colour: whether they have colours
    model, weights: the files that a browser fetches once the button is pressed
    cost: what that is, and how long it takes to draw, in words
    symbol: of the axis of a model that starts from noise; empty for a start from flat colour
    command: whether `sitegen sample` draws the same
    """

    name: str
    subject: str
    alt: str
    width: int
    height: int
    poster: Picture
    side: int
    colour: bool
    model: str
    weights: str
    cost: str
    pixelated: bool = False
    symbol: str = ""
    command: bool = True


@dataclass(frozen=True)
class LiveModel:
    """Models that draw in the page, once a button is pressed; until then a poster is seen.

    choices: the models; where there are several, a visitor chooses, and the first is there before
    grow: whether the button grows a tree
    number: which figure of its page it is, from 1
    choice: that the samples of the poster were chosen, and from how many
    """

    shape: ClassVar[str] = "sampler"

    id: str
    alt: str
    caption: str
    wide: bool
    choices: tuple[ModelChoice, ...]
    grow: bool
    downloads: tuple[Download, ...]
    results: Results | None
    origin: Origin
    alone: str = ""  # it has no page of its own
    number: int = 0
    choice: str = ""


_COLUMN, _WIDE, _TALL = 640, 928, 720  # CSS pixels: of the text, of wide figures, of a height
_LANDSCAPE = 1.4  # width over height from which a clip is wide
_ENLARGED = 8  # times that pictures are enlarged at most
_COMFORTABLE = 352  # CSS pixels: posters of samplers are shown at most this wide
_PLAIN = {"trajectories"}  # kinds whose cells are samples of the seed, noise and state
_NUMBERED = {*_PLAIN, "shared_initial_state"}  # kinds whose cells are or have samples 0, 1, 2, …
_BY_ROWS = {"shared_noise"}  # kinds whose rows do
_LAYOUT = {"also", "cells", "choices", "grow", "nodes", "panels"}  # what says where, not how made
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


def front_picture(media: Media) -> MediaFile | None:
    """Return the picture that represents a figure: its poster, or its own raster image."""
    files = media.record.files
    still = files.get("image")
    if "poster" in files or still is None or still.path.endswith(".svg"):
        return files.get("poster")
    return still


def alone_uri(media: Media) -> str:
    """Return the path, in the built folder, of the page that shows only this figure."""
    return f"media/embed/{media.page.removesuffix(INDEX)}{media.id}/{INDEX}"


def still_view(media: Media, page: str) -> Still:
    """Return the view of a still for the page at `page`, a path from the site's root."""
    picture = _picture(media.record.files, "image", page)
    assert picture is not None
    return Still(
        id=media.id,
        alt=media.alt,
        caption=media.caption,
        picture=picture,
        wide=picture.width > _COLUMN,
        downloads=_downloads(media, page),
        results=results_of(media.record),
        origin=_origin(media),
        alone=relative(alone_uri(media), page),
        choice=media.choice,
        narrow=_picture(media.record.files, "narrow", page),
    )


def clip_view(media: Media, page: str) -> Clip:
    """Return the view of a clip, whose scrubber shows levels and whose grid cells can be opened."""
    record = media.record
    mp4 = record.files["mp4"]
    cells, factor = _cells(record)
    gif = record.files.get("gif", mp4)
    native = cells.columns * cells.width // factor if cells else gif.width
    width = _clip_width(mp4, native)
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
        pixelated=record.parameters.get("pixelated") is True,
        wide=width > _COLUMN,
        poster=poster,
        mp4=relative(mp4.path, page),
        dark=_uri(record.files, "mp4-dark", page),
        strip=_picture(record.files, "strip", page),
        downloads=_downloads(media, page),
        steps=_steps(media),
        cells=cells,
        nodes=(),
        panels=(),
        results=results_of(record),
        origin=_origin(media),
        samples=_samples(record, cells),
        plain=record.kind in _PLAIN or any(each.what == "recording" for each in record.models),
        alone=relative(alone_uri(media), page),
        choice=media.choice,
    )


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
    return LiveModel(
        id=media.id,
        alt=media.alt,
        caption=media.caption,
        wide=True,
        choices=tuple(choices),
        grow=grow,
        downloads=_downloads(media, page),
        results=results_of(record),
        origin=_origin(media),
        choice=media.choice,
    )


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
        Download(label, relative(files[name].path, page), size(files[name]))
        for name, label in (_LABELS | still).items()
        if name in files
    )


def size(file: MediaFile) -> str:
    """Write the size of a file for a reader, in steps of a thousand."""
    return megabytes(file.bytes)


def megabytes(count: int) -> str:
    """Format a number of bytes for a reader: in kB below 1 MB."""
    return f"{max(1, round(count / 1e3))} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def _steps(media: Media) -> Steps:
    """Return the words of the scrubber; levels and values only where each frame has them."""
    mp4, record = media.record.files["mp4"], media.record
    frames = mp4.frames or 1
    levels = record.levels if len(record.levels) == frames else ()
    symbol, unit, values = axis_of(media)
    said = [scale(values[level]) for level in levels] if values else []
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
    if axis is None and media.sigmas and len(media.sigmas) == len(levels):
        return "σ_B", "px", dict(zip(levels, media.sigmas, strict=True))  # a manifest of 0.1.0
    if axis is None or not all(0 <= level < len(axis.values) for level in levels):
        return "", "", {}
    if axis.values == tuple(range(len(axis.values))):  # which only repeats the level
        return "", "", {}
    return axis.symbol, axis.unit, {level: axis.values[level] for level in levels}


def scale(sigma: float) -> str:
    """Write a value of an axis for a reader: one digit after the point, and more below 1."""
    if 0 < abs(sigma) < 0.01:
        return f"{sigma:.1g}"
    return "0" if sigma == 0 else f"{sigma:.2f}" if sigma < 1 else f"{sigma:.1f}"


def _cells(record: Record) -> tuple[Cells | None, int]:
    """The cells of a grid in pixels of the clip, and how often it enlarges each of the model's."""
    noted = record.parameters.get("cells")
    known = noted if isinstance(noted, Mapping) else {}
    names = ("columns", "count", "width", "height")
    columns, count, width, height = (whole(known, name) for name in names)
    if min(columns, count, width, height) < 1:
        return None, 1
    factor = record.files["mp4"].width // (columns * width)
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
    if record.kind in _BY_ROWS:
        rows = -(-cells.count // cells.columns)
        chosen = chosen or tuple(range(rows))
        cut = chosen if len(chosen) == rows else ()
        return tuple(each for each in cut for _ in range(cells.columns))
    known = chosen or tuple(range(cells.count if record.kind in _NUMBERED else 0))
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
        models=tuple(Maker(model.name, model.sha256, model.what) for model in record.models),
        seed=record.seed,
        sampling_noise_std=None if noise is None else format_value(noise),
        command=f"sitegen build --rerender {media.id}{told_precision}",
        parameters=tuple(told.items()),
    )
