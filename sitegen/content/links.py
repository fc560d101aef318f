"""What the links and pictures of pages lead to: other pages, places in them, the author's files."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import unquote

from sitegen.config.schema import Site
from sitegen.content.embeds import Photo, read_photo
from sitegen.core.diagnostics import known_words
from sitegen.core.site_files import OwnFile, SiteFolder, own_file, read_own
from sitegen.core.source import KeyPath, page_name, page_sources, read_text, require_inside
from sitegen.core.urls import INDEX, MANIFEST, NOT_FOUND, file_at, is_whole

THEMED = r"fn(ref)?\d.*|citation|contents?|pages|top|viewer.*"
"""What the theme and footnotes use for ids."""

_FOLDERS = re.compile(r"(media|assets)/.*")
_ID = re.compile(r"""\bid=["']([^"'{}]+)["']""")


class PageFiles:
    """The author's files as one page asks for them; it remembers which.

    `uris` are the paths of all pages in the built folder, `made` those of what sitegen makes there
    besides.
    """

    def __init__(self, folder: SiteFolder, uris: Collection[str], made: Collection[str]) -> None:
        self.folder = folder
        self.uris = uris
        self.made = made
        self.used: dict[str, OwnFile] = {}

    def anew(self) -> "PageFiles":
        """The same for another page, which has asked for none yet."""
        return PageFiles(self.folder, self.uris, self.made)

    def picture(self, src: str) -> Photo:
        """Read the picture that stands in the Markdown; ValueError says what is wrong with it."""
        photo = read_photo(self.folder.find(unquote(src)))
        self.used[photo.file.uri] = photo.file
        return photo

    def link(self, url: str) -> None:
        """See that what a link inside the site leads to will be there.

        A page is, and what sitegen makes, and a file of the author's is copied to the same path.
        ValueError says what is wrong with others, and with a file that lies where sitegen writes.
        """
        target = file_at(unquote(re.split(r"[?#]", url)[0]))
        if target in self.uris or target in self.used:
            return
        inside = _FOLDERS.fullmatch(target)
        if not inside and target not in self.made:
            if re.fullmatch(r"pages/.*\.md", target):
                raise ValueError(f'is the text of a page; link to the page: "{target[6:-3]}/"')
            self._require_no_folder(target)
            path = self.folder.find(target, [uri.removesuffix(INDEX) or uri for uri in self.uris])
            self.used[target] = own_file(target, path, read_own(path))
        elif (self.folder.root / target).is_file():
            where = "lies in a folder whose" if inside else "has a"
            raise ValueError(f"{where} name sitegen uses itself; rename it")

    def _require_no_folder(self, target: str) -> None:
        """Raise ValueError for a file with the name of a folder of the built site."""
        inside = (uri for uri in (*self.uris, "media/", "assets/") if uri.startswith(f"{target}/"))
        uri = next(inside, None)
        if uri is not None and (self.folder.root / target).is_file():
            folder = f"the folder of the page {target}.md" if uri in self.uris else "a folder"
            own = "" if uri in self.uris else " that sitegen uses itself"
            raise ValueError(f"is a file with the name of {folder}{own}; rename the file")


def page_files(site: Site) -> PageFiles:
    """What a page of the site may show and link to."""
    made = {MANIFEST, NOT_FOUND, "robots.txt", *(["sitemap.xml"] if site.base_url else [])}
    uris = {page_uri(each) for each in page_sources(site.root / "pages")}
    return PageFiles(SiteFolder(site.root, (site.output, site.cache_dir)), uris, made)


def page_uri(source: Path) -> str:
    """The path in the built folder that a page has by its name: a folder of its own."""
    return file_at("" if source.stem == "index" else f"{page_name(source)}/")


def site_links(site: Site) -> Mapping[KeyPath, str]:
    """The links of `site.toml` inside the site, by their keys; they stand on the front page."""
    urls = {("authors", at, "url"): author.url for at, author in enumerate(site.authors)}
    urls |= {("affiliations", at, "url"): place.url for at, place in enumerate(site.affiliations)}
    urls |= {("links", at, "url"): link.url for at, link in enumerate(site.links)}
    return {key: url for key, url in urls.items() if url is not None and not is_whole(url)}


def place_fault(uri: str, url: str, ids: Mapping[str, Collection[str]]) -> str | None:
    """Say that a link of the page at `uri` leads to a place that its target has not, or None.

    `ids` are those of every page whose ids are known.
    """
    whole, _, rest = url.partition("#")
    path, place = unquote(whole.partition("?")[0]), unquote(rest.partition(":~:")[0])
    target = file_at(path) if whole else uri
    known = ids.get(target)
    if known is None or not place or place in known or re.fullmatch(THEMED, place):
        return None
    own = "" if place.startswith("h-") else "h-"  # a heading is found by its words alone
    hint = known_words(f"#{place}", {f"#{name.removeprefix(own)}" for name in known})
    return f"leads to no heading and no figure of {'this' if target == uri else 'that'} page{hint}"


def at_heading(uri: str, url: str, ids: Mapping[str, Collection[str]]) -> str:
    """A link to a place: where nothing is called `results`, to the heading `h-results`."""
    whole, _, place = url.partition("#")
    heading = f"{whole}#h-{place}"
    wrong = place_fault(uri, url, ids) and not place_fault(uri, heading, ids)
    return heading if wrong else url


def themed_ids(root: Path) -> frozenset[str]:
    """The ids that stand in the templates of the author's own theme, which counts for every page.

    Raises ConfigError for a template that cannot be read, or is a link out of the site.
    """
    paths = sorted((root / "theme" / "templates").glob("[!.]*.html"))
    for path in paths:
        require_inside(path, root)
    return frozenset(name for path in paths for name in _ID.findall(read_text(path)))
