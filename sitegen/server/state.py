"""What a preview shows: a whole site, or one in which clips are old or still to come."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from sitegen.build.output import CopiedFile, Tree, is_built, read_folder
from sitegen.config.loader import load_site
from sitegen.content.pages import Page
from sitegen.core.errors import RefusedError, SitegenError
from sitegen.core.files import digest
from sitegen.core.installed import not_installed
from sitegen.core.site_files import OwnFile
from sitegen.core.urls import MANIFEST
from sitegen.figures.base import Figure
from sitegen.media.manifest import Manifest, Record

Place = tuple[str, str]
"""Where a figure stands: the uri of its page, and its id."""


@dataclass(frozen=True)
class PreviewState:
    """What there is to be seen; a new one replaces the old whenever something changes.

    version: counts the trees
    tree: what is served; None until a build has worked
    error: what is wrong with what the author wrote, or with a figure
    outdated, awaited: figures that show an old clip, and those that have none yet
    progress: what is being done, in words
    """

    version: int = 0
    tree: Tree | None = None
    error: str | None = None
    outdated: tuple[Place, ...] = ()
    awaited: tuple[Place, ...] = ()
    progress: str | None = None


_AWAITED = Markup(
    '<div id="{id}" class="sitegen-awaited">\n'
    '<p class="sitegen-awaited-what">{what}</p>\n'
    "<p>There is no clip of this figure yet. It appears here when it is rendered.</p>\n"
    "</div>"
)


def without(page: Page, awaited: Collection[Place]) -> Page:
    """The page with words in the places of the figures that have no clip yet."""
    body = tuple(
        _AWAITED.format(id=part.id, what=part.caption or part.id)
        if isinstance(part, Figure) and (page.uri, part.id) in awaited
        else part
        for part in page.body
    )
    figures = tuple(part for part in body if isinstance(part, Figure))
    return replace(page, figures=figures, body=body)


def built_records(output: Path) -> Mapping[Place, Record]:
    """The records of the folder that was built last; none where there is none, or it is damaged."""
    try:
        manifest = Manifest.from_json((output / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RefusedError):
        return {}
    return {(media.page, media.id): media.record for media in manifest.figures}


def last_built(config: Path) -> Tree | None:
    """What lies in the built folder of the site of `config`, if sitegen built it.

    Where `site.toml` itself is broken, that is the usual folder.
    """
    output = config.absolute().parent / "build"
    with contextlib.suppress(SitegenError):
        output = load_site(config).output
    with contextlib.suppress(OSError, SitegenError):
        output = Path(os.path.realpath(output))
        if is_built(output):
            files = read_folder(output).files.items()
            return {uri: _kept(output, uri, size) for uri, size in files if "/." not in f"/{uri}"}
    return None


def _kept(output: Path, uri: str, size: int) -> bytes | CopiedFile:
    """A file of the built folder as a tree has it: pages whole, the others by what they hold."""
    path = output / uri
    if uri.endswith(".html"):
        return path.read_bytes()
    return CopiedFile(path, OwnFile(uri, path, size, digest(path)))


def words(error: Exception, root: Path) -> str:
    """Say what went wrong: as a command would, or for what it would not with a place below `root`.

    The last place of the author's in the traceback is named: templates of a theme are in it.
    """
    if isinstance(error, SitegenError):
        return str(error)
    if (lacking := not_installed(error)) is not None:
        return lacking
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
    place = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    return f"{place}{type(error).__name__}: {error}"
