"""The site as a value: pages rendered, clips and the author's files, and the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sitegen.build.cache import Store
from sitegen.build.output import MANIFEST_NAME, CopiedFile, Tree
from sitegen.build.pictures import draw
from sitegen.build.plan import PlannedFigure
from sitegen.config.schema import Site
from sitegen.content.pages import Page
from sitegen.html.heads import FRONT, webmap
from sitegen.html.render import posters_behind, render_site
from sitegen.html.theme import site_theme
from sitegen.media.manifest import Manifest, Media, MediaFile, Record


def assemble(
    site: Site,
    pages: tuple[Page, ...],
    figures: Sequence[PlannedFigure],
    records: Mapping[str, Record],
) -> Tree:
    """Everything that the built folder holds. `records`, by request, has one for every job."""
    manifest = Manifest(
        tuple(_place(planned, records[planned.request_digest]) for planned in figures)
    )
    store = Store(site.cache_dir)
    return assemble_output(site, pages, manifest, store, store.object)


def assemble_output(
    site: Site,
    pages: tuple[Page, ...],
    manifest: Manifest,
    store: Store,
    find: Callable[[MediaFile], Path],
) -> Tree:
    """The same with every figure in its place; `find` says where a file of it lies now."""
    theme = site_theme(site)
    posters = posters_behind(pages, manifest)
    files = {poster.sha256: find(poster) for poster in posters.values()}
    front = posters.get(FRONT)
    drawn = draw(site, files, front.sha256 if front else None, store)
    tree: dict[str, bytes | CopiedFile] = {
        file.path: CopiedFile(find(file), file)
        for media in manifest.figures
        for file in media.record.files.values()
    }
    tree |= {own.uri: CopiedFile(own.source.resolve(), own) for page in pages for own in page.files}
    tree |= {file.path: CopiedFile(store.object(file), file) for file in drawn.files}
    tree |= {asset.uri: asset.data for asset in theme.assets.values()}
    texts = render_site(site, pages, manifest, theme, drawn)
    texts |= webmap(site, [page.uri for page in pages])
    tree |= {uri: text.encode() for uri, text in texts.items()}
    tree[MANIFEST_NAME] = manifest.to_json().encode()
    tree[".nojekyll"] = b""
    return tree


def _place(planned: PlannedFigure, record: Record) -> Media:
    """A record on its page: files get the figure's name and the start of their digest."""
    figure = planned.figure
    files = {
        name: replace(file, path=f"media/{figure.id}-{file.sha256[:8]}{Path(file.path).suffix}")
        for name, file in record.files.items()
    }
    alt = figure.alt or _described(planned.description, record)
    known = all(level < len(planned.sigmas) for level in record.levels)
    sigmas = tuple(planned.sigmas[level] for level in record.levels) if known else ()
    return Media(figure.id, planned.page, alt, figure.caption, replace(record, files=files), sigmas)


def _described(words: str, record: Record) -> str:
    """What is to be seen, and what was measured."""
    summary = record.results.get("summary")
    return f"{words}. {summary}" if isinstance(summary, str) else words
