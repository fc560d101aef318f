"""Rendering of pages and a manifest to HTML text, without writing files or loading models.

Templates are trusted code. The values passed to them are data and are escaped, except the `Markup`
of a page's body, which `sitegen.content.markdown` has made safe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup

from sitegen.config.schema import Site
from sitegen.content.embeds import Embed
from sitegen.content.groups import Shown
from sitegen.content.markdown import Heading
from sitegen.content.pages import Page
from sitegen.core.errors import TargetError
from sitegen.core.source import page_name
from sitegen.core.urls import INDEX, MANIFEST, NOT_FOUND, relative
from sitegen.figures.base import Figure
from sitegen.figures.registry import plug_in_errors
from sitegen.html.figure_views import embed_view, figure_view, front_picture, group_view
from sitegen.html.heads import POLICY, base_address, bibtex, head, paper
from sitegen.html.theme import ICON, SCHEME, STYLESHEET, Theme, site_theme
from sitegen.html.views import FigureGroup, FigureView
from sitegen.media.manifest import Manifest, Media, MediaFile

_FEWEST = 4  # minimum number of sections for a table of contents
_FEWEST_IN_MENU = 2  # minimum number of sections of the open page in the menu


def render_site(
    site: Site, pages: tuple[Page, ...], manifest: Manifest, theme: Theme | None = None
) -> dict[str, str]:
    """Render every page; return HTML by path in the build folder.

    Raises TargetError if a figure of a page is not in the manifest, and ConfigError if one of the
    author's templates fails.
    """
    theme = theme or site_theme(site)
    media = {(entry.page, entry.id): entry for entry in manifest.figures}
    texts: dict[str, str] = {}
    book = Book(site, pages, media, theme, preview_picture(pages, manifest))
    for page in pages:
        texts[page.uri] = theme.render("page.html", site=site, page=book.view(page))
    return texts | {NOT_FOUND: theme.render(NOT_FOUND, site=site, page=_missing(site, theme))}


def preview_picture(pages: Sequence[Page], manifest: Manifest) -> MediaFile | None:
    """Return the poster for link previews: of the teaser, the front page or another page.

    Only raster images qualify, not vector drawings.
    """
    teasers = {(page.uri, f.id) for page in pages for f in page.figures if f.teaser}
    posters = [(media, poster) for media in manifest.figures if (poster := front_picture(media))]
    posters.sort(key=lambda pair: (pair[0].page, pair[0].id) not in teasers)
    posters.sort(key=lambda pair: pair[0].page != INDEX)  # sorting is stable
    return posters[0][1] if posters else None


@dataclass(frozen=True)
class Book:
    """All pages with all media, from which the view of each page is created."""

    site: Site
    pages: Sequence[Page]
    media: Mapping[tuple[str, str], Media]
    theme: Theme
    preview: MediaFile | None

    def view(self, page: Page) -> dict[str, Any]:
        """Return what `page.html` gets of a page, in addition to the site.

        language: of the page
        head: what is in the head of the page: title, policy, addresses, links of the theme
        title: of the page
        home: link to the front page
        teaser: the part under the title, as in `parts`; none if there is none
        paper: of the front page: `authors`, `affiliations`, `venue`, `buttons`, `equal`, `logos`
        menu: the pages of the site, with `title`, `uri` and `current`; empty where there is one
        contents: the sections of the page, with `title`, `id` and `sections`
        lead: the sentence that the front page opens with
        parts: what is on the page in its order: pairs of a shape and its content. They are "prose"
            and safe HTML, "figure" and a `FigureView`, "beside", "tabs", "grid" or
            "compare" and a `FigureGroup`, "embed" and a picture, a video or a table of yours
        moving, viewer: whether the page has clips, and so the dialog that shows samples large
        bibtex: the BibTeX entry, on the front page
        manifest: link to `media.json`
        """
        front = page.uri == INDEX
        teaser, parts = self._parts(page)
        figures = list[FigureView]()
        for shape, part in [*parts, *([teaser] if teaser else [])]:
            figures += part.figures if isinstance(part, FigureGroup) else []
            figures += [part] if shape == "figure" else []
        shapes = {figure.shape for figure in figures}
        names, several = self.site.menu_names, len(self.pages) > 1
        menu = [
            {
                "title": names.get(page_name(other.source), other.title),
                "uri": relative(other.uri, page.uri),
                "current": other is page,
            }
            for other in self.pages
        ]
        return {
            "language": self.site.language,
            "head": head(self.site, page, self.theme, self.preview, shapes),
            "title": page.title,
            "home": relative(INDEX, page.uri),
            "teaser": teaser,
            "paper": paper(self.site, page) if front else None,
            "menu": menu if several else [],
            "contents": contents(page.headings, _FEWEST_IN_MENU if several else _FEWEST),
            "lead": self.site.lead if front else None,
            "parts": parts,
            "moving": "clip" in shapes,
            "viewer": bool({"clip", "gallery"} & shapes),
            "bibtex": bibtex(self.site) if front else None,
            "manifest": relative(MANIFEST, page.uri) if self.media else None,
        }

    def _parts(self, page: Page) -> tuple[tuple[str, Any] | None, list[tuple[str, Any]]]:
        """Return the teaser of a page, if it has one, and the other parts in order.

        A part is its shape and its content: "prose" and safe HTML, "figure" and a `FigureView`,
        the name of a group and a `FigureGroup`, "embed" and a picture, a video or a table of the
        author's. The first clip has a hint.
        """
        views, hinted = dict[str, FigureView](), False
        for figure in sorted(page.figures, key=lambda figure: not figure.teaser):
            media = self.media.get((page.uri, figure.id))
            if media is None:
                line = f"{figure.place.file}:{figure.place.line}"
                raise TargetError(f"{line}: the figure {figure.id} has not been rendered")
            with plug_in_errors(figure.kind, f"{page.uri}: {figure.id}: "):
                view = figure_view(
                    media, page.uri, figure.number, figure.caption, figure.texts, figure.spec
                )
            if view.shape == "clip" and not hinted:
                view, hinted = replace(view, hint=True), True
            views[figure.id] = view
        top = [views[figure.id] for figure in page.figures if figure.teaser]
        cover = top[0].picture("poster") if top else None

        def shaped(part: Markup | Shown) -> tuple[str, Any]:
            match part:
                case Markup():
                    return "prose", part
                case Figure():
                    return "figure", views[part.id]
                case Embed():
                    return "embed", embed_view(part, page.uri, cover)
            return part.kind, group_view(part, tuple(map(shaped, part.parts)))

        teaser, rest = None, list[tuple[str, Any]]()
        for part in page.body:
            if isinstance(part, Markup) or not part.teaser:
                rest.append(shaped(part))
            else:
                teaser = shaped(part)
        return teaser, rest


def contents(headings: Sequence[Heading], fewest: int) -> list[dict[str, Any]]:
    """Return the sections of a page, two levels deep; none if there are fewer than `fewest`."""
    sections = list[dict[str, Any]]()
    for heading in headings:
        section = {"title": heading.title, "id": heading.id, "sections": []}
        if heading.level == 2:
            sections.append(section)
        elif heading.level == 3 and sections:
            sections[-1]["sections"].append(section)
    return sections if len(sections) >= fewest else []


def _missing(site: Site, theme: Theme) -> dict[str, Any]:
    """Return the 404 page. It is shown at any depth, so its links begin at the host's root.

    If neither an address nor a domain is configured, the site's root path is unknown. The page
    then has no links and no style.
    """
    view: dict[str, Any] = {"language": site.language, "title": site.title, "policy": POLICY}
    links = {"icon": ICON, "scheme": SCHEME, "stylesheet": STYLESHEET}
    root = "/" if site.domain else None
    if site.base_url:
        root = urlsplit(base_address(site.base_url)).path
    if root is None:
        return {**view, **dict.fromkeys([*links, "home"])}
    uris = {name: root + theme.assets[file].uri for name, file in links.items()}
    return {**view, **uris, "home": root}
