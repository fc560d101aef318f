"""The site as a value: rendered pages, clips, the author's files and the manifest.

Drawn pictures are kept in the store, so that each is drawn only once. Pillow is imported only to
draw; a build that finds everything in the store does not need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sitegen.builder.cache import Store
from sitegen.builder.executor import naming
from sitegen.builder.output import CopiedFile, Tree
from sitegen.builder.plan import PlannedFigure
from sitegen.builder.state import SiteBuild
from sitegen.config.schema import Site
from sitegen.content.pages import Page
from sitegen.core.errors import ConfigError
from sitegen.core.files import canonical_json, digest_bytes
from sitegen.core.source import shown
from sitegen.core.urls import MANIFEST, NOT_FOUND
from sitegen.html.heads import webmap
from sitegen.html.render import front_poster, render_site
from sitegen.html.search import MANY_PAGES
from sitegen.html.theme import site_theme
from sitegen.html.views import DrawnPictures
from sitegen.media.manifest import Manifest, Media, MediaAxis, MediaFile, Record
from sitegen.media.typeface import SHIPPED, Typeface

DRAWING_RECIPE = 3
"""Version of the drawing code; raise it by hand when its pixels change."""

_OF_MODEL = re.compile(r"(model|weights)(-\d+)?")  # files shared by the figures of a model


_ROOFS_OWN = frozenset({NOT_FOUND, "robots.txt", "sitemap.xml", ".nojekyll"})
"""Files that a host requests only at the root of a site."""


def placed(figures: Iterable[PlannedFigure], records: Mapping[str, Record]) -> Manifest:
    """Return the manifest: every figure on its page, with its record from `records` (by
    request).
    """
    paths: dict[tuple[str, str], str] = {}
    return Manifest(tuple(_place(each, records[each.request_digest], paths) for each in figures))


def tree_of(build: SiteBuild) -> Tree:
    """Return the content of the built folder, with papers; every figure needs a record."""
    context, manifest = build.context, placed(build.context.figures, build.records)
    return assemble(context.site, context.pages, manifest, context.store(), build.papers)


def _front(build: SiteBuild) -> MediaFile | None:
    """Return the poster on a site's card."""
    manifest = placed(build.context.figures, build.records)
    return front_poster(build.context.pages, manifest)


def assemble(
    site: Site,
    pages: tuple[Page, ...],
    manifest: Manifest,
    store: Store,
    papers: Sequence[SiteBuild] = (),
) -> Tree:
    """Return the content of the built folder.

    papers: the papers of this collection, each in a folder of its own
    """
    theme, front = site_theme(site), front_poster(pages, manifest)
    below = [paper.context for paper in papers]
    card = drawn_picture("card.png", site, front, store, store) if site.base_url else None
    tiles = {
        each.site.place: drawn_picture("tile.webp", each.site, _front(paper), each.store(), store)
        for each, paper in zip(below, papers, strict=True)
    }
    drawn = DrawnPictures(card, tiles)
    tree: dict[str, bytes | CopiedFile] = {
        file.path: CopiedFile(store.object(file), file)
        for media in manifest.figures
        for file in media.record.files.values()
    }
    tree |= {own.uri: CopiedFile(own.source.resolve(), own) for page in pages for own in page.files}
    tree |= {file.path: CopiedFile(store.object(file), file) for file in drawn.files}
    samples = any("weights" in media.record.files for media in manifest.figures)
    tree |= theme.files(samples=samples, search=len(pages) > MANY_PAGES)
    sites = [each.site for each in below]
    texts = render_site(site, pages, manifest, theme, drawn, sites)
    uris = [f"{each.site.place}/{page.uri}" for each in below for page in each.pages]
    texts |= webmap(site, [*(page.uri for page in pages), *uris])
    tree |= {uri: text.encode() for uri, text in texts.items()}
    tree[MANIFEST] = manifest.to_json().encode()
    tree[".nojekyll"] = b""
    for paper in papers:
        tree |= _below(paper.context.site, tree_of(paper), tree)
    return tree


def _below(site: Site, tree: Tree, roof: Tree) -> Tree:
    """Return a paper's files under its folder. Raises ConfigError if the collection uses that
    name.
    """
    place = site.place
    if taken := [uri for uri in roof if uri == place or uri.startswith(f"{place}/")]:
        raise ConfigError(
            f"{shown(site.root)}: {taken[0]} has the same path; rename the paper's folder"
        )
    mine = {uri: content for uri, content in tree.items() if uri not in _ROOFS_OWN}
    return {f"{place}/{uri}": content for uri, content in mine.items()}


def _place(planned: PlannedFigure, record: Record, paths: dict[tuple[str, str], str]) -> Media:
    """Place a record on its page: files are named after the figure and their digest.

    Raises PlugInError, with the figure's line, if the `with_words` of its kind fails.

    A file with the content of an earlier one has its path: states and predicted images, say, end on
    the same poster, which a visitor then fetches once. `paths` has them by digest and suffix, and
    gains those of this record. Files of a model keep their names.
    """
    figure = planned.figure
    files = {}
    for name, file in record.files.items():
        stem = Path(file.path).stem if _OF_MODEL.fullmatch(name) else figure.id
        suffix = Path(file.path).suffix
        path = f"media/{stem}-{file.sha256[:8]}{suffix}"
        files[name] = replace(file, path=paths.setdefault((file.sha256, suffix), path))
    summary = record.results.get("summary")
    measured = f". {summary}" if isinstance(summary, str) else ""
    alt = figure.alt or f"{planned.description}{measured}"
    axis = MediaAxis(**asdict(planned.axis)) if planned.axis else None
    first = planned.cards[0] if planned.cards else None
    states = getattr(figure.spec, "show", "state") == "state"
    remarks = first.recording.remarks(states) if first and first.recording else ""
    words = " ".join(filter(None, (planned.choice, remarks)))
    with naming(figure):
        parameters = figure.spec.with_words(record.parameters, planned.cards)
        placed = replace(record, files=files, parameters=parameters)
    return Media(figure.id, planned.page, alt, figure.caption, placed, axis, words)


def drawn_keys(build: SiteBuild) -> set[str]:
    """Return the store keys of a site's drawn pictures, including those of its papers."""
    tiles = {_drawn_key("tile", paper.context.site, _front(paper)) for paper in build.papers}
    return tiles | {_drawn_key("card", build.context.site, _front(build))}


def _card_words(site: Site) -> tuple[Any, ...]:
    own = [] if site.typeface == SHIPPED else [site.typeface]
    return site.title, [author.name for author in site.authors], site.venue, *own


def _drawn_key(kind: str, site: Site, front: MediaFile | None) -> str:
    words = [each.digest if isinstance(each, Typeface) else each for each in _card_words(site)]
    decides = [DRAWING_RECIPE, kind, front.sha256 if front else None, *words]
    return f"drawn-{digest_bytes(canonical_json(decides).encode())}"


def drawn_picture(
    name: str, site: Site, front: MediaFile | None, source: Store, store: Store
) -> MediaFile:
    """Return the picture of a site with the poster `front` of `source`; draw it if it is not in
    `store`.

    Raises PlatformError if the store is not writable.
    """
    kind = Path(name).stem
    key = _drawn_key(kind, site, front)
    record = store.get(key)
    if record is None:
        from sitegen.html import social_card

        poster = source.object(front) if front else None
        with store.workspace() as folder:
            picture = getattr(social_card, kind)(poster, *_card_words(site))
            file = social_card.save(picture, folder / name)
            record = Record("drawn", (), 0, {}, (), {"picture": file})
            store.put(key, record, {"picture": folder / file.path})
    file = record.files["picture"]
    stem, suffix = Path(file.path).stem, Path(file.path).suffix
    return replace(file, path=f"assets/{stem}-{file.sha256[:8]}{suffix}")
