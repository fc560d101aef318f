"""Targets of the links and pictures of pages: other pages, anchors and the author's files."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from sitegen.config.schema import Site
from sitegen.content.embeds import Photo, read_photo
from sitegen.core.diagnostics import known_words
from sitegen.core.site_files import OwnFile, SiteFolder, own_file, read_own
from sitegen.core.source import page_name, page_sources
from sitegen.core.urls import INDEX, MANIFEST, NOT_FOUND, file_at

THEMED = r"fn(ref)?\d.*|citation|contents?|pages|top|viewer.*"
"""Pattern of the ids that the theme and footnotes use."""

_FOLDERS = re.compile(r"(media|assets)/.*")


@dataclass
class PageFiles:
    """The author's files as requested by one page; `used` records which ones were requested.

    `uris` are the paths of all pages in the built folder, `generated` those of the other files that
    sitegen writes there.
    """

    folder: SiteFolder
    uris: Collection[str]
    generated: Collection[str]
    used: dict[str, OwnFile] = field(default_factory=dict)

    def picture(self, src: str) -> Photo:
        """Read a picture that the Markdown refers to; raise ValueError if it cannot be shown."""
        photo = read_photo(self.folder.find(unquote(src)))
        self.used[photo.file.uri] = photo.file
        return photo

    def link(self, url: str) -> None:
        """Check that the target of a link inside the site will exist.

        Pages and files that sitegen writes exist; a file of the author is copied to the same path.
        Raises ValueError for other targets, and for a file at a path that sitegen writes to.
        """
        target = file_at(unquote(re.split(r"[?#]", url)[0]))
        if target in self.uris or target in self.used:
            return
        if target in self.generated or _FOLDERS.fullmatch(target):
            if (self.folder.root / target).is_file():
                raise ValueError("is at a path that sitegen writes to; rename it")
            return
        if re.fullmatch(r"pages/.*\.md", target):
            raise ValueError(f'is the text of a page; link to the page: "{target[6:-3]}/"')
        path = self.folder.find(target, [uri.removesuffix(INDEX) or uri for uri in self.uris])
        if any(uri.startswith(f"{target}/") for uri in (*self.uris, "media/", "assets/")):
            raise ValueError("is a file with the name of a folder of the site; rename it")
        self.used[target] = own_file(target, path, read_own(path))


def page_files(site: Site) -> PageFiles:
    """Return the files that pages of the site may show and link to."""
    uris = {page_uri(source) for source in page_sources(site.root / "pages")}
    return PageFiles(
        SiteFolder(site.root, (site.output, site.cache_dir)), uris, {MANIFEST, NOT_FOUND}
    )


def page_uri(source: Path) -> str:
    """Return the path of a page in the built folder: a folder with the name of the page."""
    return file_at("" if source.stem == "index" else f"{page_name(source)}/")


def anchor_fault(uri: str, url: str, ids: Mapping[str, Collection[str]]) -> str | None:
    """Return an error if a link of the page at `uri` has an anchor that its target lacks.

    `ids` are the ids of every page for which they are known. Returns None for a valid link.
    """
    path, _, fragment = url.partition("#")
    # What follows :~: is a text fragment, which names words of the page and no id.
    anchor = unquote(fragment.partition(":~:")[0])
    target = file_at(unquote(path.partition("?")[0])) if path else uri
    known_ids = ids.get(target)
    if known_ids is None or not anchor or anchor in known_ids or re.fullmatch(THEMED, anchor):
        return None
    hint = known_words(f"#{anchor}", {f"#{id}" for id in known_ids})
    return f"leads to no heading and no figure of {'this' if target == uri else 'that'} page{hint}"
