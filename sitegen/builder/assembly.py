"""The site as a value: rendered pages, clips, the author's files and the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from markupsafe import Markup

from sitegen.builder.install import CopiedFile, Tree
from sitegen.builder.plan import BuildContext, PlannedFigure
from sitegen.builder.store import Store
from sitegen.config.schema import Site
from sitegen.content.groups import all_parts, with_parts
from sitegen.content.pages import Page
from sitegen.core.urls import MANIFEST
from sitegen.figures.base import Figure
from sitegen.html.render import render_site
from sitegen.html.theme import site_theme
from sitegen.media.manifest import Manifest, Media, MediaAxis, MediaFile, Record

_OF_MODEL = re.compile(r"(model|weights)(-\d+)?")  # files shared by the figures of a model
_PENDING = Markup(
    '<div id="{id}" class="sitegen-pending">\n'
    '<p class="sitegen-pending-what">{what}</p>\n'
    "<p>{why}</p>\n"
    "</div>"
)
_WAITING = "This figure has no clip yet. When it is rendered, it appears here after a reload."
_FAILED = Markup("This figure could not be rendered.<br><code>{error}</code>")


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


def site_tree(site: Site, pages: tuple[Page, ...], manifest: Manifest, store: Store) -> Tree:
    """Return the content of the built folder, by pages and a manifest of the same figures.

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
    tree |= {uri: text.encode() for uri, text in texts.items()}
    tree[MANIFEST] = manifest.to_json().encode()
    # Without it GitHub Pages omits files whose names begin with an underscore.
    tree[".nojekyll"] = b""
    return tree


def assemble(
    context: BuildContext, records: Mapping[str, Record], errors: Mapping[str, str] | None = None
) -> Tree:
    """Return the content of the built folder, with placeholders for figures without a record.

    errors: messages of figures that could not be rendered, by key
    Raises ConfigError if one of the author's templates fails.
    """
    pending = {
        (planned.page, planned.figure.id): (errors or {}).get(planned.key)
        for planned in context.figures
        if planned.key not in records
    }
    pages = context.pages
    if pending:
        pages = tuple(_with_placeholders(page, pending) for page in pages)
    manifest = placed((p for p in context.figures if p.key in records), records)
    return site_tree(context.site, pages, manifest, context.store())


def _with_placeholders(page: Page, pending: Mapping[tuple[str, str], str | None]) -> Page:
    """Return the page with placeholders for figures without a clip, some with an error."""

    def placeholder(figure: Figure) -> Markup:
        error = pending[page.uri, figure.id]
        why = _FAILED.format(error=error) if error else _WAITING
        return _PENDING.format(id=figure.id, what=figure.caption or figure.id, why=why)

    def shown(part: object) -> object:
        waits = isinstance(part, Figure) and (page.uri, part.id) in pending
        return placeholder(part) if isinstance(part, Figure) and waits else part

    body = tuple(with_parts(part, shown) for part in page.body)
    figures = tuple(part for part in all_parts(body) if isinstance(part, Figure))
    return replace(page, figures=figures, body=body)
