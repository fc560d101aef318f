"""What the theme's templates are given: frozen values; every link is relative to its page.

The author's pictures and videos become such values here, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

from sitegen.content.embeds import Embed, ImageCall, Photo, Player, VideoCall
from sitegen.content.markdown import NEAR_TOP
from sitegen.core.urls import relative
from sitegen.figures.base import Row
from sitegen.figures.views import Clip, LiveModel, Picture, Steps, Still
from sitegen.media.manifest import MediaFile


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
class Photograph:
    """A picture of the author's.

    lazy: whether it can wait until it comes into sight
    number: which figure of its page it is, from 1; 0 for one without a caption
    """

    shape: ClassVar[str] = "photograph"

    id: str
    alt: str
    caption: str
    picture: Picture
    lazy: bool
    number: int = 0


@dataclass(frozen=True)
class Screen:
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
    part: Clip | Still | LiveModel


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
    def parts(self) -> tuple[Clip | Still | LiveModel, ...]:
        """The figures."""
        return tuple(tab.part for tab in self.tabs)


@dataclass(frozen=True)
class Beside:
    """Figures side by side.

    parts: the figures, clips or stills
    steps: what one scrubber for all of them says; none where they are not clips over levels
    """

    shape: ClassVar[str] = "row"

    parts: tuple[Clip | Still | LiveModel, ...]
    caption: str
    steps: Steps | None


@dataclass(frozen=True)
class PaperEntry:
    """A paper under the roof, as the front page shows it.

    authors: their names, with commas
    picture: its card
    """

    title: str
    uri: str
    authors: str
    venue: str | None
    description: str | None
    picture: Picture


@dataclass(frozen=True)
class Shelf:
    """The papers under a roof."""

    shape: ClassVar[str] = "papers"

    papers: tuple[PaperEntry, ...]


Part = Prose | Clip | Still | LiveModel | Beside | Tabs | Photograph | Screen | OwnVideo | Shelf
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
    roof: a link to the front page of all papers, where the site is one of several
    """

    language: str
    head: Head
    title: str
    home: str
    teaser: Clip | Still | LiveModel | None
    paper: Paper | None
    menu: tuple[MenuEntry, ...]
    contents: tuple[Section, ...]
    lead: str | None
    parts: tuple[Part, ...]
    moving: bool
    viewer: bool
    bibtex: str | None
    manifest: str | None
    roof: str | None


@dataclass(frozen=True)
class AloneView:
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
    fonts: the files of the typeface, which are fetched early
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


@dataclass(frozen=True)
class DrawnPictures:
    """Drawn pictures at their places in the built folder.

    card: what previews of a link show; None where the site does not say where it is published
    tiles: the cards of papers under this roof, by their places
    """

    card: MediaFile | None = None
    tiles: Mapping[str, MediaFile] = field(default_factory=dict)

    @property
    def files(self) -> tuple[MediaFile, ...]:
        """All of them."""
        card = [self.card] if self.card else []
        return (*card, *self.tiles.values())


def row_view(parts: tuple[Clip | Still | LiveModel, ...], row: Row) -> Beside | Tabs:
    """Return the view of figures in one place: of a row, one scrubber moves clips over levels."""
    if row.tabs:
        names = row.names or tuple(_tab_name(part) for part in parts)
        tabs = tuple(Tab(*each) for each in zip(names, parts, strict=True))
        return Tabs(f"tabs-{row.number}", tabs, row.caption)
    clips = [part for part in parts if isinstance(part, Clip)]
    levels = all(clip.steps.levels and not clip.steps.points for clip in clips)
    together = len(clips) == len(parts) and levels
    return Beside(parts, row.caption, clips[0].steps if together else None)


def _tab_name(part: Clip | Still | LiveModel) -> str:
    return part.origin.models[0].name if part.origin.models else part.id


def embed_view(thing: Embed, uri: str) -> Part:
    """Return the view of a picture or a video on the page at `uri`."""
    call = thing.call
    if isinstance(call, ImageCall):
        picture, width = _picture(call.file, uri), call.width
        if width is not None:
            height = max(1, round(picture.height * width / picture.width))
            picture = Picture(picture.uri, width, height)
        lazy = thing.place.line > NEAR_TOP
        return Photograph(thing.id, call.alt, call.caption, picture, lazy, thing.number)
    poster, video = _picture(call.poster, uri) if call.poster else None, call.url
    words = (thing.id, call.title, call.caption)
    if isinstance(video, Player):
        return Screen(*words, video.name, video.address, video.link, poster)
    size, address = (video.width, video.height), relative(video.file.uri, uri)
    return OwnVideo(*words, address, video.type, *size, poster.uri if poster else None)


def frames_policy(parts: Iterable[object]) -> str:
    """What a page adds to its Content-Security-Policy: frames of the hosts of its videos."""
    calls = (part.call for part in parts if isinstance(part, Embed))
    players = (call.url for call in calls if isinstance(call, VideoCall))
    origins = {player.origin for player in players if isinstance(player, Player)}
    return f"; frame-src {' '.join(sorted(origins))}" if origins else ""


def _picture(photo: Photo, uri: str) -> Picture:
    return Picture(relative(photo.file.uri, uri), photo.width, photo.height)
