"""A site with a figure of every shape, its renders made up and really encoded: nothing was sampled.

What a clip shows tells which frame it is: every sample of frame n has the brightness `shade(n)`,
apart from a digit that makes the page look like one.
"""

import dataclasses
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw

from sitegen.builder.assembly import assemble
from sitegen.builder.install import install
from sitegen.builder.store import Store
from sitegen.config.loader import load_site
from sitegen.content.pages import Page, read_pages
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.files import digest
from sitegen.figures.base import Figure, Row
from sitegen.figures.hierarchy.drawing import Layout, tree_frames
from sitegen.figures.hierarchy.sample import nodes
from sitegen.figures.selection import selection_note
from sitegen.figures.trajectories import Trajectories
from sitegen.media.encoder import ClipSpec, encode_clip
from sitegen.media.frames import Colour, Frame, grid
from sitegen.media.manifest import Manifest, Media, MediaAxis, MediaFile, ModelRef, Record
from tests.support.fabricated import write_site
from tests.support.paths import ROOT
from tests.support.shared import once

LEVELS = 20
COUNT, COLUMNS, SIDE = 14, 4, 28
CHOSEN = list(range(100, 100 + COUNT))
"""The numbers of the samples, which somebody chose from `CHOSEN_FROM`."""
CHOSEN_FROM = 200
POINTS, HOLD = 11, 3
MANY = 6  # clips on the second page
LIGHT, DARK = (250, 250, 252), (18, 21, 31)
SIGMAS = (0.0, *(0.5 * 1.2**level for level in range(LEVELS)))
CHART = """<svg xmlns="http://www.w3.org/2000/svg" width="640" height="300" viewBox="0 0 640 300">
<style>path{fill:none;stroke:#334279;stroke-width:3}
@media(prefers-color-scheme:dark){path{stroke:#aebcf5}}</style>
<path d="M40 20v240h580M40 40C160 60 240 180 620 240"/></svg>
"""
RESULTS: dict[str, Any] = {
    "summary": "Power falls with frequency.",
    "tables": [
        {
            "caption": name,
            "columns": ["Radius", "Real", "Samples"],
            "rows": [[str(radius), 0.5, 0.25] for radius in range(rows)],
        }
        for name, rows in (("Power", 5), ("All power", 9))
    ],
}
MORE = """
## Everything else

A formula $u_K$, `code`, a [link](https://example.org/) and a note.[^1]

$$u_K = u_0 + u_1 + u_2 + u_3 + u_4 + u_5 + u_6 + u_7 + u_8 + u_9 + u_{10} + u_{11} + u_{12}$$

| Model | A long heading | Another long heading | One more long heading |
|:------|---------------:|:--------------------:|-----------------------|
| a     | 1              | b                    | aaaaaaaaaaaaaaaaaaaaa |

```
a line of code that is much too long for a small screen and for the column of a large one as well
```

> Averyveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryverylongwordthatcannotbebroken

[^1]: A note.
"""
SECOND = "# A further page\n\nIts words.\n"


def shade(frame: int) -> int:
    """The brightness of every sample in a frame."""
    return 25 + 10 * frame


def sample(number: int, frame: int) -> Frame:
    """A sample (28, 28, 3) of one brightness with a digit in its upper half."""
    image = Image.new("L", (SIDE, SIDE), shade(frame))
    ImageDraw.Draw(image).text((10, 0), str(number % 10), fill=255, font_size=14)
    return np.asarray(image.convert("RGB"))


def samples(numbers: Sequence[int], frame: int) -> Frame:
    """Several samples (N, 28, 28, 3)."""
    return np.stack([sample(number, frame) for number in numbers])


def grid_frames(count: int = COUNT, columns: int = COLUMNS) -> Iterator[Frame]:
    """A grid of samples, one frame a level."""
    for frame in range(LEVELS + 1):
        yield grid(samples(range(count), frame), columns, (32, 36, 48))


def layout(background: Colour, ink: Colour) -> Layout:
    """A tree with eight leaves, as it is laid out on a light or dark page."""
    return Layout(LEVELS, (LEVELS, 13, 8), SIDE, background, ink, width=960)


def states(tree: Layout) -> Iterator[tuple[int, Frame]]:
    """What its nodes show at each level."""
    for level in range(LEVELS, -1, -1):
        yield level, samples(range(tree.alive(level)), LEVELS - level)


def encoded(frames: Iterator[Frame], folder: Path, factor: int = 4) -> dict[str, MediaFile]:
    """Encode frames into `folder`, at ten a second; the files by name."""
    folder.mkdir(parents=True)
    return dict(encode_clip(frames, ClipSpec(10.0, 18, factor, (32, 36, 48)), folder))


def still(path: Path, width: int, height: int) -> MediaFile:
    """Describe a picture that lies at `path`."""
    return MediaFile(path.name, path.stat().st_size, digest(path), width, height)


Renders = Mapping[str, tuple[dict[str, MediaFile], dict[str, Any]]]


@cache
def renders() -> tuple[Path, Renders]:
    """The renders of every shape, made once: their folder, and files and parameters by name."""
    root = once("sample", render)
    return root, pickle.loads((root / "renders.pickle").read_bytes())


def render(root: Path) -> Path:
    """Encode every shape into a folder, and describe the files there."""
    light, dark = layout(LIGHT, (32, 36, 48)), layout(DARK, (228, 231, 241))
    tree = encoded(tree_frames(light, states(light)), root / "hierarchy", 1)
    night = encoded(tree_frames(dark, states(dark)), root / "dark", 1)
    (root / "chart").mkdir()
    (root / "chart" / "chart.svg").write_text(CHART)
    strip = root / "single" / "strip.webp"
    single = encoded(grid_frames(1, 1), root / "single", 12)
    Image.fromarray(grid(samples(range(5), 15), 5, LIGHT)).save(strip, "WEBP", lossless=True)
    way = [*range(POINTS), *[POINTS - 1] * HOLD, *reversed(range(POINTS)), *[0] * HOLD]
    panels = (grid(samples([1, 2, 3], point), 3, (32, 36, 48)) for point in way)
    cells = {"columns": COLUMNS, "rows": 4, "count": COUNT, "width": SIDE, "height": SIDE}
    renders: Renders = {
        "trajectories": (
            encoded(grid_frames(), root / "trajectories"),
            {"cells": cells, "count": COUNT, "samples": CHOSEN, "sampling_noise_std": 0.0125},
        ),
        "single": ({**single, "strip": still(strip, 5 * SIDE, SIDE)}, {"fps": 10.0}),
        "interpolation": (
            encoded(panels, root / "interpolation"),
            {"panels": ["DDPM", "DDIM", "IHDM"], "points": POINTS, "hold": HOLD},
        ),
        "hierarchy": (
            {**tree, **{f"{name}-dark": file for name, file in night.items()}},
            {"nodes": nodes(light, range(LEVELS, -1, -1))},
        ),
        "chart": ({"image": still(root / "chart" / "chart.svg", 640, 300)}, {"count": 500}),
    }
    (root / "renders.pickle").write_bytes(pickle.dumps(renders))
    return root


def media_of(kind: str, id: str, page: str) -> tuple[Media, dict[str, Path]]:
    """A figure of that shape on a page, and where its files lie, by digest."""
    root, made = renders()
    files, parameters = made[kind]
    found, placed = {}, {}
    for name, file in files.items():
        folder = "dark" if name.endswith("-dark") else kind
        found[file.sha256] = root / folder / file.path
        suffix = Path(file.path).suffix
        placed[name] = dataclasses.replace(file, path=f"media/{kind}-{file.sha256[:8]}{suffix}")
    moving = "mp4" in files
    levels = (0,) * 2 * (POINTS + HOLD) if kind == "interpolation" else tuple(range(LEVELS, -1, -1))
    levels = levels if moving else ()
    results = {} if moving else RESULTS
    record = Record(kind, (ModelRef("mnist", "0" * 64),), 0, parameters, levels, placed, results)
    axis = MediaAxis("σ_B", "px", tuple(SIGMAS)) if kind != "single" else None
    alt, caption = f"The {kind} in words", f"The {kind}."
    if kind == "hierarchy":
        caption += " Two pictures share everything above the node that they have in common, and no"
        caption += " more than that."
    words = selection_note(CHOSEN, CHOSEN_FROM) if kind == "trajectories" else ""
    return Media(id, page, alt, caption, record, axis, words), found


def pages_of(folder: Path, base_url: str | None = None) -> tuple[Path, tuple[Page, ...]]:
    """The paper's own pages and one more, with a figure of every shape instead of their own."""
    config = (ROOT / "site.toml").read_text(encoding="utf-8")
    index = (ROOT / "pages" / "index.md").read_text(encoding="utf-8")
    index = re.sub(r"\{\{ ref\(.*?\) \}\}", "A figure", index)
    config = re.sub("^base_url = .*\n", "", config, flags=re.MULTILINE)
    config = (f'base_url = "{base_url}"\n' if base_url else "") + config
    path = write_site(folder, config, index + MORE)
    (folder / "pages" / "second.md").write_text(SECOND, encoding="utf-8")
    front, second = read_pages(load_site(path), lambda name: False)
    words = tuple(part for part in front.body if isinstance(part, Markup))
    figures = tuple(figure(kind, number=n) for n, kind in enumerate(renders()[1], 1))
    pairs = zip(figures, [Markup("")] * len(figures), strict=True)
    body = (words[0], *(part for pair in pairs for part in pair), *words[1:])
    more = tuple(figure("single", f"single-{n}", number=n + 1) for n in range(MANY))
    row = Row(1, "Two side by side.")
    more = (*more[:-2], *(dataclasses.replace(each, row=row) for each in more[-2:]))
    return path, (
        dataclasses.replace(front, body=body, figures=figures),
        dataclasses.replace(second, body=(*second.body, *more), figures=more),
    )


def figure(kind: str, id: str | None = None, number: int = 1) -> Figure:
    """A figure call that stands for that shape, whatever calls there are."""
    place, spec = SourceLocation("index.md", 1), Trajectories("mnist")
    return Figure(kind, id or kind, spec, "", None, place, number=number)


def build_sample(folder: Path, base_url: str | None = None) -> Path:
    """Build the site into `folder/site/sub`, and return that folder."""
    path, pages = pages_of(folder / "source", base_url)
    figures: list[Media] = []
    files: dict[str, Path] = {}
    for page in pages:
        for each in page.figures:
            media, found = media_of(each.kind, each.id, page.uri)
            figures.append(media)
            files |= found
    site = load_site(path)
    manifest = Manifest(tuple(figures))
    store = Store(site.cache_dir)
    own = store.object
    store.object = lambda file: files.get(file.sha256) or own(file)  # type: ignore[method-assign]
    tree = assemble(site, pages, manifest, store)
    output = folder / "site" / "sub"
    output.parent.mkdir(parents=True)
    install(tree, output)
    return output
