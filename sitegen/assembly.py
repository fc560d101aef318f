"""The site as a value: pages rendered, clips and the author's files, and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sitegen.config import Site
from sitegen.figures import default_alt
from sitegen.media import Manifest, Media, Record
from sitegen.pages import Page
from sitegen.plan import Job
from sitegen.render import assets, render_site
from sitegen.store import Store
from sitegen.tree import MANIFEST_NAME, Copy, Tree


def assemble(
    site: Site, pages: tuple[Page, ...], jobs: Sequence[Job], records: Mapping[str, Record]
) -> Tree:
    """Everything that the built folder holds. `records`, by request, has one for every job."""
    manifest = Manifest(tuple(_place(job, records[job.request]) for job in jobs))
    store = Store(site.cache_dir)
    tree: dict[str, bytes | Copy] = {
        file.path: Copy(store.object(file), file)
        for media in manifest.figures
        for file in media.record.files.values()
    }
    tree |= {own.uri: Copy(own.source, own) for page in pages for own in page.files}
    tree |= {uri: path.read_bytes() for uri, path in assets(site).items()}
    tree |= {uri: text.encode() for uri, text in render_site(site, pages, manifest).items()}
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
    alt = figure.alt or _described(default_alt(figure, job.levels), record)
    return Media(figure.id, job.page, alt, figure.caption, replace(record, files=files))


def _described(words: str, record: Record) -> str:
    """What is to be seen, and what was measured."""
    summary = record.results.get("summary")
    return f"{words}. {summary}" if isinstance(summary, str) else words
