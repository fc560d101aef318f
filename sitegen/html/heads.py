"""What stands in the head of a page and under its title, for readers and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from sitegen.config.schema import Site
from sitegen.content.pages import Page
from sitegen.core.urls import INDEX, relative
from sitegen.html.embeds import frames_policy
from sitegen.html.theme import ICON, SCRIPT, STYLESHEET, Theme
from sitegen.html.views import Button, Card, Head, Named, Paper
from sitegen.media.manifest import MediaFile

POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""What a page may load: files of its own site. Nothing connects; Lighthouse asks for robots.txt."""

FRONT = INDEX
"""Where the front page goes."""

_LONGEST = 70  # characters of a title that search engines and tabs show


def head(site: Site, page: Page, theme: Theme, card: MediaFile | None) -> Head:
    """The head of a page; addresses only where the site says where it is published."""
    names = {name: relative(asset.uri, page.uri) for name, asset in theme.assets.items()}
    return Head(
        title=_title(site, page),
        policy=f"{POLICY}{frames_policy(page.body)}",
        description=site.description,
        site=site.title,
        address=address(site, page.uri),
        card=_card(site, card),
        citation=tuple(_citation(site)) if page.uri == FRONT else (),
        icon=names[ICON],
        stylesheet=names[STYLESHEET],
        script=names[SCRIPT],
    )


def address(site: Site, uri: str) -> str | None:
    """The whole address of something in the site; a folder's is that of its `index.html`."""
    if site.base_url is None:
        return None
    return f"{base_address(site.base_url)}{uri.removesuffix(INDEX)}"


def base_address(base_url: str) -> str:
    """The address of the front page, which ends with a slash."""
    return f"{base_url.rstrip('/')}/"


def _title(site: Site, page: Page) -> str:
    whole = f"{page.title} – {site.title}"
    return page.title if page.title == site.title or len(whole) > _LONGEST else whole


def _card(site: Site, card: MediaFile | None) -> Card | None:
    if site.base_url is None or card is None:
        return None
    whole = f"{base_address(site.base_url)}{card.path}"
    return Card(whole, card.width, card.height, f"{site.title}: samples of the model")


def _citation(site: Site) -> Iterator[tuple[str, str]]:
    """The elements by which search engines of papers know one (Highwire Press's names)."""
    if site.citation is None:
        return
    yield "citation_title", site.title
    for author in site.authors:
        yield "citation_author", author.name
        if author.affiliation:
            yield "citation_author_institution", author.affiliation
    yield "citation_publication_date", str(site.citation.year)
    if site.citation.booktitle:
        yield "citation_conference_title", site.citation.booktitle
    if site.citation.journal:
        yield "citation_journal_title", site.citation.journal
    yield from _papers(site)


def _papers(site: Site) -> Iterator[tuple[str, str]]:
    """Where the paper is, by the buttons that lead to it."""
    own = address(site, FRONT)
    if own:
        yield "citation_public_url", own
    for link in site.links:
        parts = urlsplit(link.url)
        if parts.hostname == "arxiv.org" and parts.path.startswith("/abs/"):
            yield "citation_arxiv_id", parts.path.removeprefix("/abs/")
        is_paper = parts.path.endswith(".pdf") and link.icon in ("paper", None)
        if is_paper and (parts.scheme or site.base_url):
            whole = link.url if parts.scheme else f"{base_address(site.base_url or '')}{link.url}"
            yield "citation_pdf_url", whole


def paper(site: Site, page: Page) -> Paper:
    """Authors with their marks, affiliations, venue and buttons."""
    named = dict.fromkeys(author.affiliation for author in site.authors if author.affiliation)
    marks = {name: str(number) for number, name in enumerate(named, 1)} if len(named) > 1 else {}
    authors = [
        Named(
            author.name,
            relative(author.url, page.uri) if author.url else None,
            marks.get(author.affiliation or "", ""),
        )
        for author in site.authors
    ]
    return Paper(
        authors=tuple(authors),
        affiliations=tuple(Named(name, None, marks.get(name, "")) for name in named),
        venue=site.venue,
        buttons=tuple(Button(b.label, relative(b.url, page.uri), b.icon) for b in site.links),
    )
