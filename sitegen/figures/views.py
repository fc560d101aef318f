"""What templates are given of a figure: clips with their scrubbers, stills, numbers, origins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


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
class Table:
    """Numbers that a figure shows, as words; the first column names the row.

    numeric: the columns, from 0, that hold numbers alone, which align on the point when set right
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()


@dataclass(frozen=True)
class Results:
    """What a figure measured."""

    summary: str
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Maker:
    """A model that a figure was made with, and the sha256 of its checkpoint."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Origin:
    """How a figure was made: with what, from which seed, and the command that makes it again."""

    models: tuple[Maker, ...]
    seed: int
    sampling_noise_std: str | None
    command: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Still:
    """A figure that does not move."""

    shape: ClassVar[str] = "still"

    id: str
    alt: str
    caption: str
    picture: Picture
    wide: bool
    downloads: tuple[Download, ...]
    results: Results | None
    origin: Origin


@dataclass(frozen=True)
class Steps:
    """What the scrubber of a clip says of each frame; texts hold one word a frame.

    fps: frames a second
    last: the number of the last frame
    levels, sigmas: k and σ_B of each frame; either may be empty
    level, sigma: those of the last frame, which the poster shows
    points, hold: of an interpolation: how many points lie on the way, and how many frames the
        clip rests at either end; 0 for other clips
    """

    fps: str
    last: int
    levels: str
    sigmas: str
    level: str
    sigma: str
    points: int = 0
    hold: int = 0


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

    first, last: the frames between which it forms, and is there in full
    shown: the levels at these frames, of each picture on the way from the root to this one; empty
        where frames have no levels
    arrow: the way of the arrow that leads to it, as a path of SVG
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


@dataclass(frozen=True)
class Clip:
    """A figure that moves.

    width, height: at which it is shown, in CSS pixels; film_width, film_height: its own
    pixelated: whether its pixels stay squares where it is enlarged
    dark: the clip for dark pages, if it has one
    strip: some of its moments side by side
    panels: the names of the parts that stand side by side in it
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
