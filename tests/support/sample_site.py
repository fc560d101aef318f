"""A site with a figure of every shape, its renders made up and really encoded: nothing was sampled.

What a clip shows tells which frame it is: every sample of frame n has the brightness `shade(n)`,
apart from a digit that makes the page look like one.
"""

import dataclasses
import pickle
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw

from sitegen.builder.assembly import site_tree
from sitegen.builder.install import install
from sitegen.builder.store import Store
from sitegen.config.schema import load_site
from sitegen.content.groups import Group
from sitegen.content.pages import Page, read_pages
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.files import digest
from sitegen.figures.arguments import selection_note
from sitegen.figures.base import Figure
from sitegen.figures.hierarchy import tree_cells
from sitegen.figures.trajectories import Trajectories
from sitegen.media.encoder import encode_clip
from sitegen.media.frames import Frame
from sitegen.media.manifest import (
    Cells,
    ClipSource,
    Manifest,
    Media,
    MediaAxis,
    MediaFile,
    ModelRef,
    Record,
)
from tests.support.fabricated import write_site
from tests.support.making import small_card
from tests.support.paths import ROOT
from tests.support.shared import once

LEVELS = 20
COUNT, COLUMNS, SIDE = 14, 4, 28
CHOSEN = list(range(100, 100 + COUNT))
"""The numbers of the samples, which somebody chose from `CHOSEN_FROM`."""
CHOSEN_FROM = 200
POINTS, HOLD = 11, 3
MANY = 6  # clips on the second page
SPLITS = (LEVELS, 13, 8)
SIGMAS = (0.0, *(0.5 * 1.2**level for level in range(LEVELS)))
CHART = """<svg xmlns="http://www.w3.org/2000/svg" width="576" height="270" viewBox="0 0 640 300">
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


def grid_states(count: int = COUNT) -> Iterator[Frame]:
    """The samples of a grid at each level."""
    for frame in range(LEVELS + 1):
        yield samples(range(count), frame)


def tree_states() -> Iterator[Frame]:
    """The pictures of a tree that are alive at each level."""
    for level in range(LEVELS, -1, -1):
        alive = 2 ** sum(split > level for split in SPLITS)
        yield samples(range(alive), LEVELS - level)


def encoded(
    cells: Cells, states: Iterator[Frame], folder: Path, factor: int = 4, order: Sequence[int] = ()
) -> tuple[dict[str, MediaFile], Cells]:
    """Encode a clip into `folder`, at ten frames a second; its files by name, and its cells."""
    folder.mkdir(parents=True)
    shown = tuple(order or range(LEVELS + 1))
    large = cells.enlarged(factor)
    files = encode_clip(ClipSource(large, factor, 10.0, shown, states, smooth=False), folder)
    return files, large


def still(path: Path, width: int, height: int) -> MediaFile:
    """Describe a picture that lies at `path`."""
    return MediaFile(path.name, path.stat().st_size, digest(path), width, height)


Renders = Mapping[str, tuple[dict[str, MediaFile], Cells | None, dict[str, Any]]]


@cache
def renders() -> tuple[Path, Renders]:
    """The renders of every shape, made once: their folder, and files, cells and parameters."""
    root = once("sample", render)
    return root, pickle.loads((root / "renders.pickle").read_bytes())


def render(root: Path) -> Path:
    """Encode every shape into a folder, and describe the files there."""
    (root / "chart").mkdir()
    (root / "chart" / "chart.svg").write_text(CHART)
    path = [*range(POINTS), *[POINTS - 1] * HOLD, *reversed(range(POINTS)), *[0] * HOLD]
    methods = (samples([1, 2, 3], point) for point in range(POINTS))
    panels = Cells(3, SIDE, SIDE, 3, 1, together=True, names=("DDPM", "DDIM", "IHDM"))
    grid = Cells(COUNT, SIDE, SIDE, COLUMNS, 1, samples=tuple(CHOSEN), plain=True)
    tree = tree_cells(dataclasses.replace(small_card(levels=LEVELS), image_size=SIDE), SPLITS, ())
    made = {
        "trajectories": encoded(grid, grid_states(), root / "trajectories"),
        "single": encoded(Cells(1, SIDE, SIDE, 1, 1), grid_states(1), root / "single", 8),
        "interpolation": encoded(panels, methods, root / "interpolation", 4, path),
        "hierarchy": encoded(tree, tree_states(), root / "hierarchy"),
    }
    noise = {"sampling_noise_std": None}
    parameters: dict[str, dict[str, Any]] = {
        "trajectories": {"count": COUNT, "samples": CHOSEN, "sampling_noise_std": 0.0125},
        "single": {"fps": 10.0},
        "interpolation": {"points": POINTS, "hold": HOLD},
        "hierarchy": {"splits": list(SPLITS)},
    }
    chart = {"image": still(root / "chart" / "chart.svg", 576, 270)}
    renders: Renders = {
        **{kind: (*made[kind], {**noise, **parameters[kind]}) for kind in made},
        "chart": (chart, None, {"count": 500, **noise}),
    }
    (root / "renders.pickle").write_bytes(pickle.dumps(renders))
    return root


def media_of(kind: str, id: str, page: str) -> tuple[Media, dict[str, Path]]:
    """A figure of that shape on a page, and where its files lie, by digest."""
    root, made = renders()
    files, cells, parameters = made[kind]
    found, placed = {}, {}
    for name, file in files.items():
        found[file.sha256] = root / kind / file.path
        suffix = Path(file.path).suffix
        placed[name] = dataclasses.replace(file, path=f"media/{kind}-{file.sha256[:8]}{suffix}")
    moving = "mp4" in files
    levels = (0,) * 2 * (POINTS + HOLD) if kind == "interpolation" else tuple(range(LEVELS, -1, -1))
    levels = levels if moving else ()
    results = {} if moving else RESULTS
    models = (ModelRef("mnist", "0" * 64),)
    record = Record(kind, models, 0, parameters, levels, placed, cells, results)
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
    figures = tuple(figure(kind, number=str(n)) for n, kind in enumerate(renders()[1], 1))
    pairs = zip(figures, [Markup("")] * len(figures), strict=True)
    body = (words[0], *(part for pair in pairs for part in pair), *words[1:])
    more = tuple(figure("single", f"single-{n}", number=str(n + 1)) for n in range(MANY))
    place = SourceLocation("second.md", 1)
    row = Group("beside", place, 1, more[-2:], "Two side by side.")
    return path, (
        dataclasses.replace(front, body=body, figures=figures),
        dataclasses.replace(second, body=(*second.body, *more[:-2], row), figures=more),
    )


def figure(kind: str, id: str | None = None, number: str = "1") -> Figure:
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
    objects = store.root / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    for sha256, file in files.items():
        shutil.copyfile(file, objects / sha256)
    tree = site_tree(site, pages, manifest, store)
    output = folder / "site" / "sub"
    output.parent.mkdir(parents=True)
    install(tree, output)
    return output
