"""What the templates are given for the head of a page and for what stands under its title."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """The picture that previews of a link show, under its whole address; sizes in pixels."""

    address: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Head:
    """What stands in the head of a page.

    address: where the page is published, where that is known
    citation: names and contents of the `citation_*` meta elements, for search engines of papers
    """

    title: str
    policy: str
    description: str | None
    site: str
    address: str | None
    card: Card | None
    citation: tuple[tuple[str, str], ...]
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
