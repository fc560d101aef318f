"""A site and its media made up for tests: nothing here was sampled."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sitegen.config.schema import Site, load_site
from sitegen.content.pages import Page
from sitegen.generative.card.card import preset
from sitegen.media.manifest import Cells, Manifest, Media, MediaFile, ModelRef, Record

SITE = """
title = "A title"
[models.mnist]
path = "models/mnist"
"""

FILE = {"path": "media/a.mp4", "bytes": 9, "sha256": "0" * 64, "width": 8, "height": 8}
ENTRY: dict[str, Any] = {
    "id": "a",
    "kind": "trajectories",
    "models": [{"name": "tiny", "sha256": "0" * 64}],
    "seed": 0,
    "parameters": {"count": 4, "show": "state"},
    "levels": [1, 0],
    "files": {"mp4": {**FILE, "frames": 2, "fps": 24.0}, "poster": FILE},
    "alt": "A",
    "caption": "B",
    "page": "index.html",
}
"""A figure as a manifest tells it."""
FULL = """
title = "A title"
description = "What it is."
lead = "How it opens."
venue = "A conference"
base_url = "https://example.org/paper/"

[[authors]]
name = "Ana"
url = "https://example.org/~ana/"
affiliation = "A university"

[[authors]]
name = "Bo"
affiliation = "A school"

[[links]]
label = "Code"
url = "https://example.org/code"
icon = "code"

[[links]]
label = "Slides"
url = "slides.pdf"

[citation]
key = "ana2023"
type = "article"
journal = "A journal"
booktitle = "A book"
year = 2023

[models.mnist]
path = "models/mnist"
"""
"""All that a site can say of its paper; one model."""

MP4 = b"stsd" + bytes(12) + b"avc1" + bytes(82) + b"avcC\1d"
"""The description of a video's pictures, and nothing else of it."""


def write_site(
    folder: Path, site: str = SITE, index: str = "Words.\n", models: Iterable[str] = ("mnist",)
) -> Path:
    """Write a site with one page, slides, and models that are empty cards; return its config."""
    for model in models:
        (folder / "models" / model).mkdir(parents=True, exist_ok=True)
        (folder / "models" / model / "model.toml").touch()
    (folder / "pages").mkdir(parents=True, exist_ok=True)
    (folder / "pages" / "index.md").write_text(index, encoding="utf-8")
    (folder / "slides.pdf").write_bytes(b"%PDF")
    (folder / "site.toml").write_text(site, encoding="utf-8")
    return folder / "site.toml"


def make_site(folder: Path, site: str = SITE, index: str = "Words.\n") -> Site:
    """Write a site and read it."""
    return load_site(write_site(folder, site, index))


def media_file(uri: str, size: int, frames: int | None = None) -> MediaFile:
    """Describe a square file that is `size` pixels wide."""
    digest = hashlib.sha256(uri.encode()).hexdigest()
    return MediaFile(uri, 123_456, digest, size, size, frames, 24.0 if frames else None)


def manifest_for(pages: Iterable[Page]) -> Manifest:
    """Describe media for every figure of the pages, as rendering them would."""
    figures = []
    for page in pages:
        for figure in page.figures:
            stem = f"media/{page.uri.removesuffix('/index.html').removesuffix('.html')}-{figure.id}"
            files = {
                "mp4": media_file(f"{stem}.mp4", 504, 101),
                "gif": media_file(f"{stem}.gif", 168, 51),
                "poster": media_file(f"{stem}.avif", 504),
                "poster-webp": media_file(f"{stem}.webp", 504),
                "film": media_file(f"{stem}-film.webp", 504),
            }
            if figure.kind in ("process", "spectra"):
                files = {"image": media_file(f"{stem}.svg", 640)}
            if figure.kind == "sampler":
                own = {"model": media_file(f"{stem}.json", 28), "weights": media_file(stem, 28)}
                files = {name: files[name] for name in ("poster", "poster-webp")} | own
            models = tuple(ModelRef(name, "0" * 64) for name in figure.spec.models)
            cells = Cells(36, 82, 82, 6, 2) if "mp4" in files else None
            parameters: dict[str, Any] = {"sampling_noise_std": None}
            levels = tuple(range(100, -1, -1))
            record = Record(figure.kind, models, 0, parameters, levels, files, cells)
            alt = figure.alt or figure.spec.describe([preset("mnist")] * 2)
            figures.append(Media(figure.id, page.uri, alt, figure.caption, record))
    return Manifest(tuple(figures))
