"""The site as a value: pages rendered, clips and the author's files, and the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sitegen.config import Site
from sitegen.drawn import draw
from sitegen.figures import default_alt
from sitegen.heads import FRONT
from sitegen.media import Manifest, Media, MediaFile, Record
from sitegen.pages import Page
from sitegen.plan import Job
from sitegen.render import posters_behind, render_site
from sitegen.store import Store
from sitegen.theme import site_theme
from sitegen.tree import MANIFEST_NAME, Copy, Tree
from sitegen.webmap import webmap


def assemble(
    site: Site, pages: tuple[Page, ...], jobs: Sequence[Job], records: Mapping[str, Record]
) -> Tree:
    """Everything that the built folder holds. `records`, by request, has one for every job."""
    manifest = Manifest(tuple(_place(job, records[job.request]) for job in jobs))
    store = Store(site.cache_dir)
    return furnish(site, pages, manifest, store, store.object)


def furnish(
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
    tree: dict[str, bytes | Copy] = {
        file.path: Copy(find(file), file)
        for media in manifest.figures
        for file in media.record.files.values()
    }
    tree |= {own.uri: Copy(own.source.resolve(), own) for page in pages for own in page.files}
    tree |= {file.path: Copy(store.object(file), file) for file in drawn.files}
    tree |= {asset.uri: asset.data for asset in theme.assets.values()}
    texts = render_site(site, pages, manifest, theme, drawn)
    texts |= webmap(site, [page.uri for page in pages])
    tree |= {uri: text.encode() for uri, text in texts.items()}
    tree[MANIFEST_NAME] = manifest.to_json().encode()
    tree[".nojekyll"] = b""
    return tree


def _place(job: Job, record: Record) -> Media:
    """A record on its page: files get the figure's name and the start of their digest."""
    figure = job.figure
    files = {
        name: replace(file, path=f"media/{figure.id}-{file.sha256[:8]}{Path(file.path).suffix}")
        for name, file in record.files.items()
    }
    alt = figure.alt or _described(default_alt(figure, job.levels, job.subject), record)
    known = all(level < len(job.sigmas) for level in record.levels)
    sigmas = tuple(job.sigmas[level] for level in record.levels) if known else ()
    return Media(figure.id, job.page, alt, figure.caption, replace(record, files=files), sigmas)


def _described(words: str, record: Record) -> str:
    """What is to be seen, and what was measured."""
    summary = record.results.get("summary")
    return f"{words}. {summary}" if isinstance(summary, str) else words
