"""What the Markdown of one page takes from the site's folder: pictures, and files to link to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from sitegen.config.schema import Site
from sitegen.content.markdown import Anchor
from sitegen.content.photos import Photo, read_photo
from sitegen.core.diagnostics import Diagnostic, known_words, quoted
from sitegen.core.site_files import OwnFile, SiteFolder, own_file
from sitegen.core.source import KeyPath, read_text, require_inside, shown
from sitegen.core.urls import INDEX, file_at, is_whole

_GENERATED = re.compile(r"(media|assets)/.*|media\.json")


class PageFiles:
    """The author's files as one page asks for them; it remembers which.

    `uris` are the paths of all pages in the built folder.
    """

    def __init__(self, folder: SiteFolder, uris: Collection[str]) -> None:
        self.folder = folder
        self.uris = uris
        self.used: dict[str, OwnFile] = {}

    def picture(self, src: str) -> Photo:
        """Read the picture that stands in the Markdown; ValueError says what is wrong with it."""
        photo = read_photo(self.folder, unquote(src))
        self.used[photo.file.uri] = photo.file
        return photo

    def link(self, url: str) -> None:
        """See that what a link inside the site leads to will be there.

        A page is, and a file of the author's is copied to the same path. ValueError says what is
        wrong with others.
        """
        path = unquote(re.split(r"[?#]", url)[0])
        target = file_at(path)
        if target in self.uris or target in self.used:
            return
        if _GENERATED.fullmatch(target):
            if (self.folder.root / target).is_file():
                raise ValueError("lies in a folder whose name sitegen uses itself; rename it")
            return
        self.used[target] = self._file(target)

    def _file(self, target: str) -> OwnFile:
        """Read a file that a page links to."""
        if re.fullmatch(r"pages/.*\.md", target):
            raise ValueError(f'is the text of a page; link to the page: "{target[6:-3]}/"')
        pages = [uri.removesuffix(INDEX) or uri for uri in self.uris]
        path, data = self.folder.read(target, pages)
        return own_file(target, path, data)


def site_links(site: Site) -> Mapping[KeyPath, str]:
    """The links of `site.toml` inside the site, by their keys."""
    urls: dict[KeyPath, str | None] = {
        ("authors", at, "url"): author.url for at, author in enumerate(site.authors)
    }
    urls |= {("links", at, "url"): link.url for at, link in enumerate(site.links)}
    return {key: url for key, url in urls.items() if url is not None and not is_whole(url)}


def link_faults(site: Site, files: PageFiles) -> Iterator[Diagnostic]:
    """See that the links of `site.toml` inside the site lead somewhere; say which do not."""
    for key, url in site_links(site).items():
        if not url.startswith("#"):
            try:
                files.link(url)
            except ValueError as error:
                yield site.problem(key, f" = {quoted(url)}: {error}")


THEMED = r"fn(ref)?\d.*|citation|content|top|viewer.*"
"""What the theme and footnotes use for ids."""

_ID = re.compile(r"""\bid=["']([^"'{}]+)["']""")


class Paged(Protocol):
    """What is known of a page."""

    @property
    def uri(self) -> str:
        """Where it goes in the built folder."""

    @property
    def source(self) -> Path:
        """Its Markdown."""

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """Its links to places in pages."""

    @property
    def ids(self) -> frozenset[str]:
        """The ids of its headings and figures."""


def anchor_faults(pages: Sequence[Paged], site: Site) -> Iterator[Diagnostic]:
    """Name the links to places that no page of the site has, those of `site.toml` included.

    What the templates of the author's own theme name counts for every page. Raises ConfigError for
    a template that cannot be read, or is a link out of the site.
    """
    extra = _own_ids(site.root)
    known = {page.uri: page.ids | extra for page in pages}
    for page in pages:
        for anchor in page.anchors:
            fault = _fault(page.uri, anchor.url, known)
            if fault is not None:
                text = f"the link {quoted(anchor.url)} {fault}"
                yield Diagnostic(shown(page.source), anchor.line, text)
    for key, url in site_links(site).items():  # they stand on the front page
        fault = _fault(INDEX, url, known)
        if fault is not None:
            yield site.problem(key, f" = {quoted(url)}: {fault}")


def _fault(uri: str, url: str, known: Mapping[str, frozenset[str]]) -> str | None:
    """What is wrong with a link of the page at `uri`, or None."""
    whole, _, rest = url.partition("#")
    path, place = unquote(whole.partition("?")[0]), unquote(rest.partition(":~:")[0])
    target = file_at(path) if whole else uri
    ids = known.get(target)
    if ids is None or not place or place in ids or re.fullmatch(THEMED, place):
        return None
    hint = known_words(f"#{place}", [f"#{name}" for name in ids])
    return f"leads to no heading and no figure of {'this' if target == uri else 'that'} page{hint}"


def _own_ids(root: Path) -> frozenset[str]:
    """The ids that stand in an author's templates."""
    paths = sorted((root / "theme" / "templates").glob("[!.]*.html"))
    for path in paths:
        require_inside(path, root)
    return frozenset(name for path in paths for name in _ID.findall(read_text(path)))
