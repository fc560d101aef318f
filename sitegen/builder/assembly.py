"""The site as a value: rendered pages, clips, the author's files and the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from sitegen.builder.install import CopiedFile, Tree
from sitegen.builder.plan import PlannedFigure
from sitegen.builder.store import Store
from sitegen.config.schema import Site
from sitegen.content.pages import Page
from sitegen.core.urls import MANIFEST
from sitegen.html.heads import webmap
from sitegen.html.render import render_site
from sitegen.html.theme import site_theme
from sitegen.media.manifest import Manifest, Media, MediaAxis, MediaFile, Record

_OF_MODEL = re.compile(r"(model|weights)(-\d+)?")  # files shared by the figures of a model


def placed(figures: Iterable[PlannedFigure], records: Mapping[str, Record]) -> Manifest:
    """Return the manifest: every figure on its page, with its record from `records` (by key).

    Files are named after the figure and their digest. A file with the content of an earlier one has
    its path: states and predicted images, say, end on the same poster, which a visitor then fetches
    once. Files of a model keep their names.
    """
    media = []
    paths = dict[tuple[str, str], str]()  # by digest and suffix
    for planned in figures:
        figure, record, files = planned.figure, records[planned.key], dict[str, MediaFile]()
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
        choice = " ".join(filter(None, (planned.choice, record.note, remarks)))
        record = replace(record, files=files, models=planned.models)
        media.append(Media(figure.id, planned.page, alt, figure.caption, record, axis, choice))
    return Manifest(tuple(media))


def assemble(site: Site, pages: tuple[Page, ...], manifest: Manifest, store: Store) -> Tree:
    """Return the content of the built folder.

    Raises ConfigError if one of the author's templates fails.
    """
    theme = site_theme(site)
    tree: dict[str, bytes | CopiedFile] = {
        file.path: CopiedFile(store.object(file), file)
        for media in manifest.figures
        for file in media.record.files.values()
    }
    for page in pages:
        tree |= {file.uri: CopiedFile(file.source.resolve(), file) for file in page.files}
    tree |= theme.files(samples=any("weights" in m.record.files for m in manifest.figures))
    texts = render_site(site, pages, manifest, theme)
    texts |= webmap(site, [page.uri for page in pages])
    tree |= {uri: text.encode() for uri, text in texts.items()}
    tree[MANIFEST] = manifest.to_json().encode()
    # Without it GitHub Pages omits files whose names begin with an underscore.
    tree[".nojekyll"] = b""
    return tree
