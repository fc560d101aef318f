"""The site as a value: pages rendered, clips and the author's files, and the manifest.

What is drawn for it is kept in its store, so that drawing is needed only once; Pillow is imported
only then, and a build that has everything needs no more than the store.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sitegen.builder.cache import Store
from sitegen.builder.output import CopiedFile, Tree
from sitegen.builder.plan import PlannedFigure
from sitegen.config.schema import Site
from sitegen.content.pages import Page
from sitegen.core.bounded import bounded
from sitegen.core.errors import ConfigError
from sitegen.core.files import canonical_json, digest_bytes
from sitegen.core.source import shown
from sitegen.core.urls import MANIFEST, NOT_FOUND
from sitegen.html.heads import webmap
from sitegen.html.render import front_poster, render_site
from sitegen.html.theme import site_theme
from sitegen.html.views import DrawnPictures
from sitegen.media.manifest import Manifest, Media, MediaAxis, MediaFile, Record

DRAWING_RECIPE = 2
"""Raised by hand when the code that draws changes its pixels."""

_OF_MODEL = re.compile(r"(model|weights)(-\d+)?")  # files that figures of one model share


_ROOFS_OWN = frozenset({NOT_FOUND, "robots.txt", "sitemap.xml", ".nojekyll"})
"""What a host asks for at the root of a site only."""


@dataclass(frozen=True)
class PaperSite:
    """A site that stands under the roof of another.

    tree: what its own built folder holds
    find: where the files of its figures are
    """

    site: Site
    pages: tuple[Page, ...]
    manifest: Manifest
    tree: Tree
    find: Callable[[MediaFile], Path]

    @property
    def front(self) -> MediaFile | None:
        """The poster that its card shows."""
        return front_poster(self.pages, self.manifest)


def placed(figures: Iterable[PlannedFigure], records: Mapping[str, Record]) -> Manifest:
    """Every figure on its page. `records`, by request, has one for each."""
    return Manifest(tuple(_place(each, records[each.request_digest]) for each in figures))


def assemble(
    site: Site,
    pages: tuple[Page, ...],
    manifest: Manifest,
    store: Store,
    find: Callable[[MediaFile], Path] | None = None,
    papers: Sequence[PaperSite] = (),
) -> Tree:
    """Everything that the built folder holds; `find` says where files are that no store has.

    papers: the sites that this one is the roof of, which lie in folders of their own
    """
    find, theme = find or store.object, site_theme(site)
    front = front_poster(pages, manifest)
    drawn = draw(site, front, find(front) if front else None, store)
    drawn = replace(drawn, tiles={paper.site.place: _tile(paper, store) for paper in papers})
    tree: dict[str, bytes | CopiedFile] = {
        file.path: CopiedFile(find(file), file)
        for media in manifest.figures
        for file in media.record.files.values()
    }
    tree |= {own.uri: CopiedFile(own.source.resolve(), own) for page in pages for own in page.files}
    tree |= {file.path: CopiedFile(store.object(file), file) for file in drawn.files}
    samples = any("weights" in media.record.files for media in manifest.figures)
    tree |= theme.files(samples=samples)
    texts = bounded(
        render_site, site, pages, manifest, theme, drawn, [paper.site for paper in papers]
    )
    below = [f"{paper.site.place}/{page.uri}" for paper in papers for page in paper.pages]
    texts |= webmap(site, [*(page.uri for page in pages), *below])
    tree |= {uri: text.encode() for uri, text in texts.items()}
    tree[MANIFEST] = manifest.to_json().encode()
    tree[".nojekyll"] = b""
    for paper in papers:
        tree |= _below(paper, tree)
    return tree


def _below(paper: PaperSite, roof: Tree) -> Tree:
    """What a paper adds to the folder of its roof. Raises ConfigError where its place is taken."""
    place = paper.site.place
    if taken := [uri for uri in roof if uri == place or uri.startswith(f"{place}/")]:
        raise ConfigError(f"{shown(paper.site.root)}: its place is taken by {taken[0]}; rename it")
    mine = {uri: content for uri, content in paper.tree.items() if uri not in _ROOFS_OWN}
    return {f"{place}/{uri}": content for uri, content in mine.items()}


def _tile(paper: PaperSite, store: Store) -> MediaFile:
    """The card of a paper, as the front page of its roof shows it."""
    front = paper.front
    known = (front.sha256, paper.find(front)) if front else (None, None)
    return _drawn(store, "tile.webp", *known, *_card_words(paper.site))


def _place(planned: PlannedFigure, record: Record) -> Media:
    """A record on its page: files get the figure's name and the start of their digest.

    Those of a model keep the name that they have, so that a visitor fetches them once.
    """
    figure = planned.figure
    stems = {
        name: Path(file.path).stem if _OF_MODEL.fullmatch(name) else figure.id
        for name, file in record.files.items()
    }
    files = {
        name: replace(file, path=f"media/{stems[name]}-{file.sha256[:8]}{Path(file.path).suffix}")
        for name, file in record.files.items()
    }
    summary = record.results.get("summary")
    measured = f". {summary}" if isinstance(summary, str) else ""
    alt = figure.alt or f"{planned.description}{measured}"
    axis = MediaAxis(**asdict(planned.axis)) if planned.axis else None
    parameters = figure.spec.with_words(record.parameters, planned.cards)
    placed, words = replace(record, files=files, parameters=parameters), figure.spec.choice
    return Media(figure.id, planned.page, alt, figure.caption, placed, axis, words)


def draw(site: Site, front: MediaFile | None, path: Path | None, store: Store) -> DrawnPictures:
    """Find or draw the pictures of a site, whose card shows the poster `front`, a file at `path`.

    Raises PlatformError where the store cannot be written.
    """
    if site.base_url is None:
        return DrawnPictures()
    words = _card_words(site)
    return DrawnPictures(_drawn(store, "card.png", front.sha256 if front else None, path, *words))


def drawn_keys(
    site: Site, pages: Iterable[Page], manifest: Manifest, papers: Sequence[PaperSite] = ()
) -> set[str]:
    """The keys in the store of what is drawn for a site, and for the papers under its roof."""
    front, keys = front_poster(tuple(pages), manifest), set[str]()
    for paper in papers:
        poster = paper.front
        words = _card_words(paper.site)
        keys.add(_drawn_key("tile", poster.sha256 if poster else None, *words))
    own = front.sha256 if front else None
    return keys | {_drawn_key("card", own, *_card_words(site))}


def _card_words(site: Site) -> tuple[Any, ...]:
    return site.title, [author.name for author in site.authors], site.venue


def _drawn_key(kind: str, sha256: str | None, *words: Any) -> str:
    decides = [DRAWING_RECIPE, kind, sha256, *words]
    return f"drawn-{digest_bytes(canonical_json(decides).encode())}"


def _drawn(
    store: Store, name: str, sha256: str | None, poster: Path | None, *words: Any
) -> MediaFile:
    """The picture that a poster, by its sha256, and words decide: from the store, or drawn now."""
    kind = Path(name).stem
    key = _drawn_key(kind, sha256, *words)
    record = store.get(key)
    if record is None:
        from sitegen.html import social_card

        with store.workspace() as folder:
            file = social_card.save(getattr(social_card, kind)(poster, *words), folder / name)
            record = Record("drawn", (), 0, {}, (), {"picture": file})
            store.put(key, record, {"picture": folder / file.path})
    file = record.files["picture"]
    stem, suffix = Path(file.path).stem, Path(file.path).suffix
    return replace(file, path=f"assets/{stem}-{file.sha256[:8]}{suffix}")
