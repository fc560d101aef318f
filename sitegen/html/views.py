"""The values that the theme's templates get: frozen; every link is relative to its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from sitegen.media.manifest import ModelRef


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
    """What a figure measured; `short` is the first table, if it is short enough to be shown."""

    summary: str
    tables: tuple[Table, ...]
    short: Table | None


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
class Origin:
    """How a figure was made, and the command that makes it again.

    models: each with its `name`, and `what` has the `sha256`: a checkpoint, a recording or a
        sampler, with those of the files that it `uses`
    """

    models: tuple[ModelRef, ...]
    seed: int | None
    sampling_noise_std: str | None
    command: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ShownFigure:
    """What every figure has.

    standalone: a link to the page of only this figure; empty if there is none
    number: which figure of its page it is, from 1
    choice: that its samples were chosen, and from how many; empty where they were not
    """

    id: str
    alt: str
    caption: str
    wide: bool
    downloads: tuple[Download, ...]
    results: Results | None
    origin: Origin
    standalone: str = ""
    number: int = 0
    choice: str = ""


@dataclass(frozen=True, kw_only=True)
class Still(ShownFigure):
    """A figure that does not move; `narrow` is its picture for the column of a phone."""

    shape: ClassVar[str] = "still"

    picture: Picture
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
    fraction: whether the scrubber shows only the fraction of the way; its clips differ in levels
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
class NarrowClip:
    """A clip that is drawn a second time, for the column of a phone; sizes in pixels.

    nodes: in the order of the clip's own
    """

    width: int
    height: int
    poster: Picture
    mp4: str
    dark: str | None
    cells: Cells | None
    nodes: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Clip(ShownFigure):
    """A figure that moves.

    width, height: at which it is shown, in CSS pixels; video_width, video_height: its own
    pixelated: whether its pixels stay squares where it is enlarged
    dark: the clip for dark pages, if it has one
    strip: some of its moments side by side
    panels: the names of the parts that stand side by side in it
    samples: the number of the sample that each cell of a grid shows; empty where that is not known
    plain: whether a cell is that very sample, and not another state with its noise
    hint: whether it says that its pictures can be opened; once a page
    narrow: the same drawn for the column of a phone
    """

    shape: ClassVar[str] = "clip"

    kind: str
    width: int
    height: int
    video_width: int
    video_height: int
    pixelated: bool
    poster: Picture
    mp4: str
    dark: str | None
    strip: Picture | None
    steps: Steps
    cells: Cells | None
    nodes: tuple[Node, ...]
    panels: tuple[str, ...]
    samples: tuple[int, ...] = ()
    plain: bool = False
    hint: bool = False
    narrow: NarrowClip | None = None


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


@dataclass(frozen=True, kw_only=True)
class LiveModel(ShownFigure):
    """Models that draw in the page, once a button is pressed; until then a poster is seen.

    choices: the models; where there are several, a visitor chooses, and the first is there before
    grow: whether the button grows a tree
    """

    shape: ClassVar[str] = "sampler"

    choices: tuple[ModelChoice, ...]
    grow: bool


FigureView = Clip | Still | LiveModel
"""A figure of any kind."""


@dataclass(frozen=True)
class MenuEntry:
    """A page in the menu."""

    title: str
    uri: str
    current: bool


@dataclass(frozen=True)
class Section:
    """A heading in the table of contents, with the sections inside it."""

    title: str
    id: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Prose:
    """A stretch of the page's text, as safe HTML."""

    shape: ClassVar[str] = "prose"

    prose: Markup


@dataclass(frozen=True)
class Image:
    """A picture of the author's.

    lazy: whether it can wait until it comes into sight
    number: which figure of its page it is, from 1; 0 for one without a caption
    """

    shape: ClassVar[str] = "image"

    id: str
    alt: str
    caption: str
    picture: Picture
    lazy: bool
    number: int = 0


@dataclass(frozen=True)
class VideoEmbed:
    """A video of another host: the page loads its `player` when a reader asks for it.

    host: what the host is called
    link: the page of the video there
    poster: a picture of the site's own, which is shown until then
    """

    shape: ClassVar[str] = "screen"

    id: str
    title: str
    caption: str
    host: str
    player: str
    link: str
    poster: Picture | None


@dataclass(frozen=True)
class OwnVideo:
    """A video of the author's; `type` is that of its file, width and height in pixels."""

    shape: ClassVar[str] = "video"

    id: str
    title: str
    caption: str
    uri: str
    type: str
    width: int
    height: int
    poster: str | None


@dataclass(frozen=True)
class Tab:
    """A figure among others that are shown one at a time."""

    name: str
    part: FigureView


@dataclass(frozen=True)
class Tabs:
    """Figures that are shown one at a time, each under its tab.

    id: begins the names of its controls
    """

    shape: ClassVar[str] = "tabs"

    id: str
    tabs: tuple[Tab, ...]
    caption: str

    @property
    def parts(self) -> tuple[FigureView, ...]:
        """The figures."""
        return tuple(tab.part for tab in self.tabs)


@dataclass(frozen=True)
class FigureRow:
    """Figures side by side.

    parts: the figures, clips or stills
    steps: what one scrubber for all of them says; none where they are not clips over levels
    """

    shape: ClassVar[str] = "row"

    parts: tuple[FigureView, ...]
    caption: str
    steps: Steps | None


Part = Prose | FigureView | FigureRow | Tabs | Image | VideoEmbed | OwnVideo
"""What stands on a page, each in a place of its own."""


@dataclass(frozen=True)
class PageView:
    """A whole page; `paper`, `lead` and `bibtex` are the front page's.

    home: a link to the front page
    teaser: the figure under the title
    menu: the pages of the site; empty where there is one
    contents: the sections of the page; empty where there are few
    parts: prose, figures and what else stands on the page, in its order
    moving: whether it has clips
    viewer: whether it has samples that open large
    manifest: a link to `media.json`
    """

    language: str
    head: Head
    title: str
    home: str
    teaser: FigureView | None
    paper: Paper | None
    menu: tuple[MenuEntry, ...]
    contents: tuple[Section, ...]
    lead: str | None
    parts: tuple[Part, ...]
    moving: bool
    viewer: bool
    bibtex: str | None
    manifest: str | None


@dataclass(frozen=True)
class StandaloneView:
    """The page of one figure alone, for a frame in a page of others.

    title: of the site
    home: a link to the figure on its page
    viewer: whether it has samples that open large
    """

    language: str
    title: str
    policy: str
    icon: str
    scheme: str
    stylesheet: str
    script: str
    home: str
    part: Clip | Still
    viewer: bool


@dataclass(frozen=True)
class MissingView:
    """The page for addresses that lead nowhere.

    icon, scheme, stylesheet, home: whole paths from the root of the host; None where it is not
        known where on its host the site begins
    style: the stylesheet itself, where there is no path to it
    """

    language: str
    title: str
    policy: str
    icon: str | None
    scheme: str | None
    stylesheet: str | None
    home: str | None
    style: Markup | None


@dataclass(frozen=True)
class Card:
    """The picture that previews of a link show, under its whole address; sizes in pixels."""

    address: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class SamplerFiles:
    """What a page needs whose models draw in it; the worker brings the rest of the engine."""

    stylesheet: str
    script: str
    worker: str


@dataclass(frozen=True)
class Head:
    """What stands in the head of a page.

    address: where the page is published, where that is known
    citation: names and contents of the `citation_*` meta elements, for search engines of papers
    fonts: the files with the letters that every page has, which are fetched early
    scheme: the script that knows which colours were chosen; it runs before anything is seen
    sampler: what a page with a model that draws in it loads as well
    """

    title: str
    policy: str
    description: str | None
    site: str
    address: str | None
    card: Card | None
    citation: tuple[tuple[str, str], ...]
    fonts: tuple[str, ...]
    icon: str
    scheme: str
    stylesheet: str
    script: str
    sampler: SamplerFiles | None = None


@dataclass(frozen=True)
class Named:
    """An author or an affiliation, and the mark that ties the one to the other."""

    name: str
    uri: str | None
    mark: str


@dataclass(frozen=True)
class Button:
    """A button under the title."""

    label: str
    uri: str
    icon: str | None


@dataclass(frozen=True)
class Logo:
    """The logo of a place where authors work."""

    name: str
    uri: str | None
    picture: Picture


@dataclass(frozen=True)
class Paper:
    """The lines under the title of the front page.

    equal: whether some authors have the mark `*`, which says that they contributed equally
    """

    authors: tuple[Named, ...]
    affiliations: tuple[Named, ...]
    venue: str | None
    buttons: tuple[Button, ...]
    equal: bool = False
    logos: tuple[Logo, ...] = ()
