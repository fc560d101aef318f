"""The pictures that are drawn for a site, kept in its store: drawing them is needed only once.

Pillow is imported only when something has to be drawn, so that a build that has everything needs
no more than the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sitegen.config import Site
from sitegen.figures import canonical_json
from sitegen.files import digest_bytes
from sitegen.media import MediaFile, Record
from sitegen.store import Store

RECIPE = 1
"""Raised by hand when the code that draws changes its pixels."""

_NAME = "picture"


@dataclass(frozen=True)
class Drawn:
    """Drawn pictures at their places in the built folder.

    card: what previews of a link show; None where the site does not say where it is published
    backdrops: what lies behind titles, by the sha256 of the poster that it was drawn from
    """

    card: MediaFile | None = None
    backdrops: Mapping[str, MediaFile] = field(default_factory=dict)

    @property
    def files(self) -> tuple[MediaFile, ...]:
        """All of them."""
        return (*([self.card] if self.card else []), *self.backdrops.values())


def draw(site: Site, posters: Mapping[str, Path], front: str | None, store: Store) -> Drawn:
    """Find or draw the pictures of a site; `posters` are files by their sha256.

    `front` is the sha256 of the front page's, which the card shows. Raises PlatformError where the
    store cannot be written.
    """
    backdrops = {sha256: _backdrop(sha256, path, store) for sha256, path in posters.items()}
    if site.base_url is None:
        return Drawn(None, backdrops)
    return Drawn(_card(site, front, posters[front] if front else None, store), backdrops)


def _backdrop(sha256: str, poster: Path, store: Store) -> MediaFile:
    def make(folder: Path) -> MediaFile:
        from sitegen import preview

        return preview.save(preview.backdrop(poster), folder / "backdrop.webp")

    return _kept(store, ["backdrop", sha256], make)


def _card(site: Site, sha256: str | None, poster: Path | None, store: Store) -> MediaFile:
    words = (site.title, [author.name for author in site.authors], site.venue)

    def make(folder: Path) -> MediaFile:
        from sitegen import preview

        return preview.save(preview.card(poster, *words), folder / "card.png")

    return _kept(store, ["card", sha256, *words], make)


def _kept(store: Store, asked: list[object], make: Callable[[Path], MediaFile]) -> MediaFile:
    """The picture that was asked for in these words, from the store or new, at its place."""
    key = f"drawn-{digest_bytes(canonical_json([RECIPE, *asked]).encode())}"
    record = store.get(key)
    if record is None:
        with store.workspace() as folder:
            file = make(folder)
            record = Record("drawn", (), 0, {}, (), {_NAME: file})
            store.put(key, record, {_NAME: folder / file.path})
    file = record.files[_NAME]
    stem, suffix = Path(file.path).stem, Path(file.path).suffix
    return replace(file, path=f"assets/{stem}-{file.sha256[:8]}{suffix}")
