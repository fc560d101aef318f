"""What the Markdown of one page takes from the site's folder: pictures, and files to link to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import unquote

from sitegen.config import Site
from sitegen.links import is_whole
from sitegen.ownfiles import Folder, OwnFile, own_file
from sitegen.photos import Photo, read_photo
from sitegen.problems import Problem, quoted
from sitegen.source import KeyPath

_GENERATED = re.compile(r"(media|assets)/.*|media\.json")


class PageFiles:
    """The author's files as one page asks for them; it remembers which.

    `uris` are the paths of all pages in the built folder.
    """

    def __init__(self, folder: Folder, uris: Collection[str]) -> None:
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
        target = f"{path}index.html" if path == "" or path.endswith("/") else path
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
        pages = [uri.removesuffix("index.html") or uri for uri in self.uris]
        path, data = self.folder.read(target, pages)
        return own_file(target, path, data)


def site_links(site: Site) -> Mapping[KeyPath, str]:
    """The links of `site.toml` inside the site, by their keys."""
    urls: dict[KeyPath, str | None] = {
        ("authors", at, "url"): author.url for at, author in enumerate(site.authors)
    }
    urls |= {("links", at, "url"): link.url for at, link in enumerate(site.links)}
    return {key: url for key, url in urls.items() if url is not None and not is_whole(url)}


def link_faults(site: Site, files: PageFiles) -> Iterator[Problem]:
    """See that the links of `site.toml` inside the site lead somewhere; say which do not."""
    for key, url in site_links(site).items():
        if not url.startswith("#"):
            try:
                files.link(url)
            except ValueError as error:
                yield site.problem(key, f" = {quoted(url)}: {error}")
