"""`sitegen export`: clips, strips and drawings, out of the store, over earlier files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sitegen.builder.export import ExportOptions, export
from sitegen.builder.plan import BuildOptions, prepare
from sitegen.config.schema import load_site
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import ConfigError, TargetError
from sitegen.media.encoder import encode_clip
from sitegen.media.manifest import Cells, ClipSource, Record
from tests.support.builders import Builder, fake_still, tree_hash, write_site

LEVELS = 4
SIDE = 32
PAGE = """
{{ trajectories("tiny", id="digits") }}

{{ spectra("tiny", id="chart") }}
"""


@pytest.fixture
def site(tmp_path: Path) -> Builder:
    """A site whose figures are in its store: a clip that gets brighter, and a drawing."""
    builder = Builder(write_site(tmp_path / "site", PAGE))
    context = prepare(load_site(builder.config), BuildOptions(ComputeTarget("cpu", "float32")))
    store = context.store()
    for planned in context.figures:
        with store.workspace() as folder:
            levels: tuple[int, ...] = ()
            if planned.figure.id == "digits":
                levels = tuple(range(LEVELS, -1, -1))
                states = (np.full((1, SIDE, SIDE, 3), 50 * (4 - k), np.uint8) for k in levels)
                cells, order = Cells(1, 2 * SIDE, 2 * SIDE, 1), range(len(levels))
                clip = ClipSource(cells, 2, 8.0, tuple(order), states)
                files = encode_clip(clip, folder)
            else:
                files = {"image": fake_still(folder)}
            record = Record(planned.figure.kind, planned.models, 0, {}, levels, files)
            store.put(planned.key, record, folder)
    return builder


def exported(site: Builder, *figures: str, **options: object) -> list[str]:
    """Export figures; return the names of the files."""
    paths = export(site.config, ExportOptions(figures, **options))  # type: ignore[arg-type]
    assert all(path.is_file() for path in paths)
    return [path.relative_to(site.root / "exports").as_posix() for path in paths]


def test_every_figure(site: Builder) -> None:
    """A clip gives MP4, GIF and a strip, a drawing its SVG; a second export writes the same."""
    names = ["digits.mp4", "digits.gif", "digits.png", "chart.svg"]
    assert exported(site) == names
    before = tree_hash(site.root / "exports")
    (site.root / "exports/digits.gif").write_text("mine")
    (site.root / "exports/notes.txt").write_text("mine")
    assert exported(site) == names
    (site.root / "exports/notes.txt").unlink()
    assert tree_hash(site.root / "exports") == before


def test_moments_of_a_strip(site: Builder) -> None:
    """It shows the levels that are named, in their order, or evenly spaced ones."""

    def brightness(*levels: int) -> list[int]:
        exported(site, "digits", formats=("png",), levels=levels)
        with Image.open(site.root / "exports/digits.png") as image:
            pixels = np.asarray(image.convert("L"))
        middle = pixels[pixels.shape[0] // 4]
        count = len(levels) or LEVELS + 1
        return [int(part[len(part) // 2]) // 10 * 10 for part in np.array_split(middle, count)]

    assert brightness() == pytest.approx([0, 50, 100, 150, 200], abs=10)
    assert brightness(0, 4) == pytest.approx([200, 0], abs=10)


@pytest.mark.parametrize(
    ("figure", "options", "words"),
    [
        ("digit", {}, "digit: no page has such a figure.*digits"),
        ("chart", {"formats": ("gif",)}, "chart: has no gif; it has svg"),
        ("digits", {"levels": (9,)}, "--levels 9: digits does not show it, but 4"),
    ],
)
def test_refused(site: Builder, figure: str, options: dict[str, object], words: str) -> None:
    """An unknown figure, and a format or level that a named figure lacks, are reported."""
    with pytest.raises(ConfigError, match=words):
        exported(site, figure, **options)


def test_not_rendered(site: Builder) -> None:
    """A figure that is not in the store is named, with what to do."""
    shutil.rmtree(site.root / ".sitegen")
    with pytest.raises(TargetError, match="not rendered yet: digits, chart; run `sitegen build`"):
        exported(site)
    assert not (site.root / "exports").exists()


def test_the_same_id_on_two_pages(site: Builder) -> None:
    """Each has the folder of its page, and the short name is answered with both."""
    (site.root / "pages/more.md").write_text(PAGE)
    assert exported(site)[-1] == "more/chart.svg"
    with pytest.raises(ConfigError, match="but there is index/chart and more/chart"):
        exported(site, "chart")
