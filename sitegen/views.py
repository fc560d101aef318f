"""What the theme's templates are given: frozen values; every link is relative to its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Head:
    """What stands in the head of a page; `address` is where the page is published."""

    title: str
    policy: str
    description: str | None
    address: str | None
    icon: str
    stylesheet: str
    script: str


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
class Paper:
    """What stands under the title of the front page."""

    authors: tuple[Named, ...]
    affiliations: tuple[Named, ...]
    venue: str | None
    buttons: tuple[Button, ...]


@dataclass(frozen=True)
class MenuEntry:
    """A page in the menu."""

    title: str
    uri: str
    current: bool


@dataclass(frozen=True)
class Picture:
    """A still picture, its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Download:
    """A file to save, with its size in words."""

    label: str
    uri: str
    size: str


@dataclass(frozen=True)
class Prose:
    """A stretch of the page's text, as safe HTML."""

    prose: Markup


@dataclass(frozen=True)
class Clip:
    """A figure as the page shows it; width and height are the film's, in pixels."""

    id: str
    alt: str
    caption: str
    width: int
    height: int
    pixelated: bool
    poster: str
    mp4: str
    downloads: tuple[Download, ...]


@dataclass(frozen=True)
class Still:
    """A figure that stands still, as the page shows it."""

    id: str
    alt: str
    caption: str
    picture: Picture
    downloads: tuple[Download, ...]


@dataclass(frozen=True)
class Photograph:
    """A picture of the author's; `lazy` says that it can wait until it comes into sight."""

    shape: ClassVar[str] = "photograph"

    id: str
    alt: str
    caption: str
    picture: Picture
    lazy: bool


@dataclass(frozen=True)
class Screen:
    """A video of another host: the page loads its `player` when a reader asks for it.

    host: what the host is called
    link: the page of the video there
    poster: a picture of the site's own, to stand there until then
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
class PageView:
    """A whole page; `paper`, `lead` and `bibtex` are the front page's, `manifest` is a link."""

    language: str
    head: Head
    title: str
    backdrop: Picture | None
    paper: Paper | None
    menu: tuple[MenuEntry, ...]
    lead: str | None
    parts: tuple[Prose | Clip | Still | Photograph | Screen | OwnVideo, ...]
    bibtex: str | None
    manifest: str | None
