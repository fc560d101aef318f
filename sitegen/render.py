"""Pages and a manifest to HTML text. Nothing is written here, and the model is not known here.

Templates are code and are trusted; everything that they are given is data and is escaped, except
the `Markup` of a page's body, which `sitegen.markdown` has made safe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sitegen.bibtex import bibtex
from sitegen.config import Site
from sitegen.embedviews import embed_view, frames_policy
from sitegen.errors import TargetError
from sitegen.figures import Figure
from sitegen.links import relative
from sitegen.media import Manifest, Media, MediaFile
from sitegen.pages import Page
from sitegen.resources import resource
from sitegen.views import (
    Button,
    Clip,
    Download,
    Head,
    MenuEntry,
    Named,
    OwnVideo,
    PageView,
    Paper,
    Photograph,
    Picture,
    Prose,
    Screen,
    Still,
)

POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'self'; script-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""What a page may load: files of its own site."""

FRONT = "index.html"
"""Where the front page goes."""


def render_site(site: Site, pages: tuple[Page, ...], manifest: Manifest) -> dict[str, str]:
    """Render every page: its path in the build folder to its HTML text.

    Raises TargetError when a figure of a page is not in the manifest.
    """
    book = _Book(site, pages, {(each.page, each.id): each for each in manifest.figures})
    template = _environment().get_template("page.html")
    return {page.uri: template.render(page=book.view(page)) for page in pages}


def assets(site: Site) -> dict[str, Path]:
    """The theme's files: the path in the build folder, named after the content, to the source."""
    return {f"assets/{_content_name(path)}": path for path in sorted(resource("static").iterdir())}


def _content_name(path: Path) -> str:
    return f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}{path.suffix}"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(resource("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@dataclass(frozen=True)
class _Book:
    """All pages with all media; it makes the view of each page."""

    site: Site
    pages: Sequence[Page]
    media: Mapping[tuple[str, str], Media]

    def view(self, page: Page) -> PageView:
        """Everything that the template shows of a page."""
        front = page.uri == FRONT
        return PageView(
            language=self.site.language,
            head=_head(self.site, page),
            title=page.title,
            backdrop=self._backdrop(page),
            paper=_paper(self.site, page) if front else None,
            menu=self._menu(page),
            lead=self.site.lead if front else None,
            parts=tuple(self._parts(page)),
            bibtex=bibtex(self.site) if front else None,
            manifest=relative("media.json", page.uri) if self.media else None,
        )

    def _parts(self, page: Page) -> Iterator[Prose | Clip | Still | Photograph | Screen | OwnVideo]:
        for part in page.body:
            if isinstance(part, Figure):
                yield _clip(self._media(page, part), page)
            elif not isinstance(part, Markup):
                yield embed_view(part, page.uri, self._backdrop(page))
            elif part:
                yield Prose(part)

    def _media(self, page: Page, figure: Figure) -> Media:
        try:
            return self.media[page.uri, figure.id]
        except KeyError as error:
            place = f"{figure.place.file}:{figure.place.line}"
            raise TargetError(f"{place}: the figure {figure.id} has not been filmed") from error

    def _backdrop(self, page: Page) -> Picture | None:
        """The samples behind the title: those of the page's first clip, or the front page's."""
        for place in (page, *self.pages):
            for figure in place.figures:
                poster = self._media(place, figure).record.files.get("poster")
                if poster is not None:
                    return Picture(relative(poster.path, page.uri), poster.width, poster.height)
        return None

    def _menu(self, page: Page) -> tuple[MenuEntry, ...]:
        if len(self.pages) == 1:
            return ()
        return tuple(
            MenuEntry(each.title, relative(each.uri, page.uri), each is page) for each in self.pages
        )


def _head(site: Site, page: Page) -> Head:
    files = {path.name: relative(uri, page.uri) for uri, path in assets(site).items()}
    folder = page.uri.removesuffix("index.html")
    return Head(
        title=page.title if page.title == site.title else f"{page.title} – {site.title}",
        policy=f"{POLICY}{frames_policy(page.body)}",
        description=site.description,
        address=f"{site.base_url.rstrip('/')}/{folder}" if site.base_url else None,
        icon=files["icon.svg"],
        stylesheet=files["style.css"],
        script=files["script.js"],
    )


def _paper(site: Site, page: Page) -> Paper:
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


def _still(media: Media, image: MediaFile, page: Page) -> Still:
    uri = relative(image.path, page.uri)
    label = image.path.rpartition(".")[2].upper()
    return Still(
        id=media.id,
        alt=media.alt,
        caption=media.caption,
        picture=Picture(uri, image.width, image.height),
        downloads=(Download(label, uri, _size(image)),),
    )


def _clip(media: Media, page: Page) -> Clip | Still:
    files = media.record.files
    if (image := files.get("image")) is not None:
        return _still(media, image, page)
    mp4, gif = files["mp4"], files.get("gif")
    downloads = {"MP4": mp4} | ({"GIF": gif} if gif else {})
    return Clip(
        id=media.id,
        alt=media.alt,
        caption=media.caption,
        width=mp4.width,
        height=mp4.height,
        pixelated=gif is not None and mp4.width >= 2 * gif.width,  # the GIF has the model's size
        poster=relative(files["poster"].path, page.uri),
        mp4=relative(mp4.path, page.uri),
        downloads=tuple(
            Download(label, relative(file.path, page.uri), _size(file))
            for label, file in downloads.items()
        ),
    )


def _size(file: MediaFile) -> str:
    """Write the size of a file for a reader, in steps of a thousand."""
    if file.bytes < 1_000_000:
        return f"{max(1, round(file.bytes / 1000))} kB"
    return f"{file.bytes / 1_000_000:.1f} MB"
