"""Values that templates get, in addition to `Site` and `Media`; links are relative to a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sitegen.content.groups import Group
from sitegen.core.urls import relative
from sitegen.media.manifest import JSON, Cells, Media


@dataclass(frozen=True)
class Picture:
    """A still picture and its size in pixels.

    fallback: the same for browsers that cannot read AVIF
    """

    uri: str
    width: int
    height: int
    fallback: str = ""


@dataclass(frozen=True)
class Steps:
    """What a clip's slider says; texts hold one item a frame, with a space between.

    fps: frames a second
    last: the number of the last frame
    opening: the frames before the first step, which show the finished pictures
    levels: k of each frame; may be empty
    values: the value of each frame on the axis of the process; may be empty
    symbol, unit: of these values, as in σ_B and px
    level, value: those of the last frame, which the poster shows
    points, hold: of an interpolation: the points on its path, and the frames for which the clip
        holds each end; 0 for other clips
    fraction: whether the slider shows only the fraction of the frames; its clips differ in levels
        or values, and each clip shows its own
    """

    fps: str
    last: int
    levels: str = ""
    values: str = ""
    level: str = ""
    value: str = ""
    symbol: str = ""
    unit: str = ""
    points: int = 0
    hold: int = 0
    opening: int = 0
    fraction: bool = False


@dataclass(frozen=True)
class Node:
    """A picture of a tree.

    depth, index: its generation, and its number in it, both from 0
    x, y: its upper left corner in pixels of the clip
    first, last: the frames between which it forms
    span: the levels at these frames
    path: the levels at the first frame of the root, and at its own last frame
    arrow: the arrow that leads to it, as a path of SVG; empty for the root
    sample: the number of the sample whose noise a leaf has, if that was chosen
    """

    depth: int
    index: int
    x: int
    y: int
    first: int
    last: int
    span: tuple[int, int]
    path: tuple[int, int]
    arrow: str = ""
    sample: int | None = None


@dataclass(frozen=True)
class Tick:
    """A level on the axis of a tree.

    x: the position of its text, in pixels of the clip
    value: the text
    marks: the columns of its pictures, two where the last generation stands in two
    """

    x: float
    level: int
    value: str
    marks: tuple[int, ...]


@dataclass(frozen=True)
class Clip:
    """The moving part of a figure.

    width, height: size at which it is shown, in CSS pixels
    cells: where its pictures are, in pixels of the clip, whose size is `cells.size`
    nodes, ticks: of a tree: its pictures, and the levels on its axis
    """

    width: int
    height: int
    steps: Steps
    cells: Cells
    nodes: tuple[Node, ...] = ()
    ticks: tuple[Tick, ...] = ()


@dataclass(frozen=True)
class ModelChoice:
    """A model that draws in a page, and the poster that is shown before.

    subject: what it draws, in text
    alt: what the poster shows
    width, height: of the poster, in CSS pixels
    side: pixels of a side of its pictures
    pixelated: whether their pixels stay squares where they are enlarged
    colour: whether they have colours
    model, weights: the files that a browser fetches once the button is pressed
    cost: size of the download, and time to draw, in text
    symbol: of the axis of a model that starts from noise; empty for a start from flat colour
    command: whether `sitegen sample` draws the same
    labels: names of the classes that a visitor can choose
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
    labels: tuple[str, ...] = ()


WIDE = 928
"""CSS pixels of the width of wide figures."""


@dataclass(frozen=True)
class GalleryItem:
    """A picture or a video of a gallery.

    alt: what it shows, in text
    caption: inline Markdown; may be empty
    picture, large: its versions, the same if it is small
    film: link to the video; empty for a picture
    """

    alt: str
    caption: str
    picture: Picture
    large: Picture
    film: str = ""


@dataclass(frozen=True)
class FigureView:
    """A figure on the page with the path `page`.

    shape: "clip", "still", "gallery", or "sampler" and "atlas" for models that draw in the page
    clip: its clip, if it has one
    choices: the models of a sampler; a visitor chooses one
    maps: the models of an atlas, with what a page needs to draw their tiles, as JSON
    items, spec: of a gallery: its pictures and videos, and the arguments of its call
    number: number of the figure on its page, from "1", or "3a" under tabs
    results: what it measured: `summary`, `tables`, and `short`, the table shown below the figure
    hint: whether it says that its pictures can be opened; once a page
    caption: the author's; inline Markdown with the filter `inline`, its footnotes with `notes`
    """

    media: Media
    page: str
    shape: Literal["clip", "still", "gallery", "sampler", "atlas"]
    wide: bool
    clip: Clip | None = None
    choices: tuple[ModelChoice, ...] = ()
    maps: tuple[Mapping[str, JSON], ...] = ()
    results: Mapping[str, Any] | None = None
    number: str = ""
    hint: bool = False
    caption: str = ""
    items: tuple[GalleryItem, ...] = ()
    spec: Any = None

    def uri(self, name: str) -> str:
        """Return the link to one of the files."""
        return relative(self.media.record.files[name].path, self.page)

    def picture(self, name: str) -> Picture | None:
        """Return one of the files as a picture; None if there is none of that name."""
        file = self.media.record.files.get(name)
        if file is None:
            return None
        fallback = f"{name}-webp"
        other = self.uri(fallback) if fallback in self.media.record.files else ""
        return Picture(self.uri(name), file.width, file.height, other)


@dataclass(frozen=True)
class FigureGroup:
    """Parts of a page in one place: side by side, one at a time under tabs, or in a grid.

    group: the call, with `caption`, `names`, `columns`, `rows`, `phone`, `id` and `number`
    parts: as those of a page, but no groups
    steps: what one slider for all clips says; None unless there are several, all over levels
    """

    group: Group
    parts: tuple[tuple[str, Any], ...]
    steps: Steps | None = None

    @property
    def figures(self) -> tuple[FigureView, ...]:
        """The figures among the parts."""
        return tuple(part for _, part in self.parts if isinstance(part, FigureView))

    @property
    def clips(self) -> tuple[FigureView, ...]:
        """The figures that are clips."""
        return tuple(figure for figure in self.figures if figure.clip)

    @property
    def names(self) -> Sequence[str]:
        """The text on the tabs: the author's, or models, titles of videos, or numbers."""
        names = list[str]()
        for number, (_, part) in enumerate(self.parts, 1):
            models = part.media.record.models if isinstance(part, FigureView) else ()
            title = part.get("title") if isinstance(part, dict) else None
            names.append(models[0].name if models else title or f"{number}")
        return self.group.names or tuple(names)
