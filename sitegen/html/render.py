"""Rendering of pages and a manifest to HTML text, without writing files or loading models.

Templates are trusted code. The values passed to them are data and are escaped, except the `Markup`
of a page's body, which `sitegen.content.markdown` has made safe.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain, groupby
from urllib.parse import urlsplit

from markupsafe import Markup

from sitegen.config.schema import Site
from sitegen.content.markdown import Heading
from sitegen.content.pages import Page
from sitegen.core.errors import TargetError
from sitegen.core.source import page_name
from sitegen.core.urls import INDEX, MANIFEST, NOT_FOUND, relative
from sitegen.figures.base import Figure
from sitegen.html.figure_views import (
    embed_view,
    figure_view,
    front_picture,
    row_view,
    standalone_uri,
)
from sitegen.html.heads import POLICY, base_address, bibtex, head, paper
from sitegen.html.theme import ICON, SCHEME, SCRIPT, STYLESHEET, Theme, site_theme
from sitegen.html.views import (
    Clip,
    FigureRow,
    FigureView,
    LiveModel,
    MenuEntry,
    MissingView,
    PageView,
    Part,
    Prose,
    Section,
    StandaloneView,
    Still,
    Tabs,
)
from sitegen.media.manifest import Manifest, Media, MediaFile

_FEWEST = 4  # minimum number of sections for a table of contents
_FEWEST_IN_MENU = 2  # minimum number of sections of the open page in the menu


def render_site(
    site: Site,
    pages: tuple[Page, ...],
    manifest: Manifest,
    theme: Theme | None = None,
) -> dict[str, str]:
    """Render every page; return HTML by path in the build folder.

    Raises TargetError if a figure of a page is not in the manifest, and ConfigError if one of the
    author's templates fails.
    """
    theme = theme or site_theme(site)
    media = {(each.page, each.id): each for each in manifest.figures}
    texts: dict[str, str] = {}
    book = _Book(site, pages, media, theme, preview_picture(pages, manifest))
    for page in pages:
        texts[page.uri] = theme.render("page.html", page=book.view(page))
    for each in media.values():
        if (view := book.standalone(each)) is not None:
            texts[standalone_uri(each)] = theme.render("standalone.html", page=view)
    return texts | {NOT_FOUND: theme.render(NOT_FOUND, page=_missing(site, theme))}


def preview_picture(pages: Sequence[Page], manifest: Manifest) -> MediaFile | None:
    """Return the poster for link previews: of the teaser, the front page or another page.

    Only raster images qualify, not vector drawings.
    """
    teasers = {(page.uri, each.id) for page in pages for each in page.figures if each.teaser}
    found = [(media, poster) for media in manifest.figures if (poster := front_picture(media))]

    def order(each: tuple[Media, MediaFile]) -> tuple[bool, bool]:
        media = each[0]
        return media.page != INDEX, (media.page, media.id) not in teasers

    return min(found, key=order)[1] if found else None


@dataclass(frozen=True)
class _Book:
    """All pages with all media, from which the view of each page is created."""

    site: Site
    pages: Sequence[Page]
    media: Mapping[tuple[str, str], Media]
    theme: Theme
    preview: MediaFile | None

    def view(self, page: Page) -> PageView:
        """Return the template's view of a page."""
        front = page.uri == INDEX
        teaser, parts = self._parts(page)
        shown = [teaser, *chain.from_iterable(_alone(part) for part in parts)]
        clips = [part for part in shown if isinstance(part, Clip)]
        samples = any(isinstance(part, LiveModel) for part in shown)
        names, several = self.site.menu_names, len(self.pages) > 1
        menu = (
            MenuEntry(names.get(page_name(p.source), p.title), relative(p.uri, page.uri), p is page)
            for p in self.pages
        )
        return PageView(
            language=self.site.language,
            head=head(self.site, page, self.theme, self.preview, samples=samples),
            title=page.title,
            home=relative(INDEX, page.uri),
            teaser=teaser,
            paper=paper(self.site, page, self.pages) if front else None,
            menu=tuple(menu) if several else (),
            contents=contents(page.headings, _FEWEST_IN_MENU if several else _FEWEST),
            lead=self.site.lead if front else None,
            parts=parts,
            moving=bool(clips),
            viewer=any(clip.cells or clip.nodes for clip in clips),
            bibtex=bibtex(self.site) if front else None,
            manifest=relative(MANIFEST, page.uri) if self.media else None,
        )

    def standalone(self, media: Media) -> StandaloneView | None:
        """Return the view of a standalone figure; None for a figure without a standalone page."""
        uri = standalone_uri(media)
        shown = (page.figures for page in self.pages if page.uri == media.page)
        numbers = {figure.id: figure.number for figure in chain.from_iterable(shown)}
        part = replace(figure_view(media, uri), number=numbers.get(media.id, 0))
        assets = self.theme.assets
        if isinstance(part, LiveModel) or not part.standalone:
            return None
        if isinstance(part, Clip | Still):
            part = replace(part, narrow=None)  # the size in the embed code is that of the wide one
        icon, scheme, stylesheet, script = (
            relative(assets[name].uri, uri) for name in (ICON, SCHEME, STYLESHEET, SCRIPT)
        )
        return StandaloneView(
            language=self.site.language,
            title=self.site.title,
            policy=POLICY,
            icon=icon,
            scheme=scheme,
            stylesheet=stylesheet,
            script=script,
            home=f"{relative(media.page, uri)}#{media.id}",
            part=part,
            viewer=isinstance(part, Clip) and bool(part.cells or part.nodes),
        )

    def _parts(self, page: Page) -> tuple[FigureView | None, tuple[Part, ...]]:
        """Return the teaser of a page, if it has one, and the other parts in order."""
        filled = [part for part in page.body if part or not isinstance(part, Markup)]
        figures = [part for part in filled if isinstance(part, Figure)]
        views = _with_hint({each.id: self._figure(page, each) for each in figures}, figures)
        teaser, parts = None, list[Part]()
        for row, group in groupby(filled, lambda part: getattr(part, "row", None)):
            if row is not None:
                shown = (views[part.id] for part in group if isinstance(part, Figure))
                parts.append(row_view(tuple(shown), row))
                continue
            for part in group:
                if isinstance(part, Markup):
                    parts.append(Prose(part))
                elif not isinstance(part, Figure):
                    parts.append(embed_view(part, page.uri))
                elif part.teaser:
                    teaser = views[part.id]
                else:
                    parts.append(views[part.id])
        return teaser, tuple(parts)

    def _figure(self, page: Page, figure: Figure) -> FigureView:
        media = self.media.get((page.uri, figure.id))
        if media is None:
            place = f"{figure.place.file}:{figure.place.line}"
            raise TargetError(f"{place}: the figure {figure.id} has not been rendered")
        return replace(figure_view(media, page.uri), number=figure.number)


def _alone(part: Part) -> Sequence[Part]:
    """Return the figures of a row, or the part itself."""
    return part.parts if isinstance(part, FigureRow | Tabs) else [part]


def _with_hint(
    views: Mapping[str, FigureView], figures: Iterable[Figure]
) -> Mapping[str, FigureView]:
    """Add a hint to the first clip of a page that has samples which can be opened."""
    for figure in sorted(figures, key=lambda each: each.number):
        view = views[figure.id]
        if isinstance(view, Clip) and (view.cells or view.nodes):
            return {**views, figure.id: replace(view, hint=True)}
    return views


def contents(headings: Sequence[Heading], fewest: int) -> tuple[Section, ...]:
    """Return the table of contents, two levels deep; empty if there are fewer than `fewest`."""
    found: list[tuple[Heading, list[Section]]] = []
    for heading in headings:
        if heading.level == 2:
            found.append((heading, []))
        elif heading.level == 3 and found:
            found[-1][1].append(Section(heading.title, heading.id, ()))
    sections = (Section(top.title, top.id, tuple(below)) for top, below in found)
    return tuple(sections) if len(found) >= fewest else ()


def _missing(site: Site, theme: Theme) -> MissingView:
    """Return the 404 page. It is shown at any depth, so its links begin at the host's root.

    If neither an address nor a domain is configured, the site's root path is unknown. The page
    then has no links, and an inline style that its policy allows by digest.
    """
    root = "/" if site.domain else None
    if site.base_url:
        root = urlsplit(base_address(site.base_url)).path
    if root is not None:
        icon, scheme, stylesheet = (
            root + theme.assets[name].uri for name in (ICON, SCHEME, STYLESHEET)
        )
        return MissingView(site.language, site.title, POLICY, icon, scheme, stylesheet, root, None)
    style = "\n".join(theme.assets[STYLESHEET].data.decode().splitlines()).replace("</", r"<\/")
    style = re.sub(r"@font-face\s*\{[^}]*\}\n*", "", style)  # fonts have no address either
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = POLICY.replace("style-src 'self'", f"style-src 'sha256-{digest}'")
    return MissingView(site.language, site.title, policy, None, None, None, None, Markup(style))
