"""The pictures that are drawn for a site, kept in its store: drawing them is needed only once.

Pillow is imported only when something has to be drawn, so that a build that has everything needs
no more than the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from sitegen.build.cache import Store
from sitegen.config.schema import Site
from sitegen.core.files import canonical_json, digest_bytes
from sitegen.html.views import DrawnPictures
from sitegen.media.manifest import MediaFile, Record

RECIPE = 1
"""Raised by hand when the code that draws changes its pixels."""

_NAME = "picture"


def draw(site: Site, posters: Mapping[str, Path], front: str | None, store: Store) -> DrawnPictures:
    """Find or draw the pictures of a site; `posters` are files by their sha256.

    `front` is the sha256 of the front page's, which the card shows. Raises PlatformError where the
    store cannot be written.
    """
    backdrops = {sha256: _backdrop(sha256, path, store) for sha256, path in posters.items()}
    if site.base_url is None:
        return DrawnPictures(None, backdrops)
    return DrawnPictures(_card(site, front, posters[front] if front else None, store), backdrops)


def _backdrop(sha256: str, poster: Path, store: Store) -> MediaFile:
    def make(folder: Path) -> MediaFile:
        from sitegen.html import social_card

        return social_card.save(social_card.backdrop(poster), folder / "backdrop.webp")

    return _kept(store, ["backdrop", sha256], make)


def _card(site: Site, sha256: str | None, poster: Path | None, store: Store) -> MediaFile:
    words = (site.title, [author.name for author in site.authors], site.venue)

    def make(folder: Path) -> MediaFile:
        from sitegen.html import social_card

        return social_card.save(social_card.card(poster, *words), folder / "card.png")

    return _kept(store, ["card", sha256, *words], make)


def _kept(store: Store, request_json: list[object], make: Callable[[Path], MediaFile]) -> MediaFile:
    """The picture that was asked for in these words, from the store or new, at its place."""
    key = f"drawn-{digest_bytes(canonical_json([RECIPE, *request_json]).encode())}"
    record = store.get(key)
    if record is None:
        with store.workspace() as folder:
            file = make(folder)
            record = Record("drawn", (), 0, {}, (), {_NAME: file})
            store.put(key, record, {_NAME: folder / file.path})
    file = record.files[_NAME]
    stem, suffix = Path(file.path).stem, Path(file.path).suffix
    return replace(file, path=f"assets/{stem}-{file.sha256[:8]}{suffix}")
