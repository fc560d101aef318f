"""`sitegen export`: files for slides and papers, out of the store, and what is said of them."""

import re
import shutil
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from sitegen.builder import export as module
from sitegen.builder.cache import Store
from sitegen.builder.context import BuildOptions, prepare
from sitegen.builder.export import FORMATS, README, ExportOptions, export
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import ConfigError, PlatformError, TargetError
from sitegen.media import exports
from sitegen.media.manifest import Record
from tests.support.builders import tree_hash
from tests.support.making import entries_of, zipped
from tests.support.paths import ROOT
from tests.support.sample_site import LEVELS, renders, shade

PAGE = """
{{ trajectories("mnist", id="digits", caption="Fourteen digits.") }}

{{ spectra("mnist", id="chart") }}

{{ interpolation("mnist", id="way") }}
"""
SHAPES = {"digits": "trajectories", "chart": "chart", "way": "interpolation"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site whose figures are in its store; its `site.toml`."""
    site = tmp_path / "site"
    (site / "pages").mkdir(parents=True)
    (site / "pages/index.md").write_text(PAGE, encoding="utf-8")
    text = 'title = "Digits"\n[models.mnist]\npath = "models/mnist"\n'
    (site / "site.toml").write_text(text, encoding="utf-8")
    root, made = renders()
    context = prepare(site / "site.toml", BuildOptions(ComputeTarget("cpu", "float32")))
    for planned in context.figures:
        shape = SHAPES[planned.figure.id]
        files, parameters = made[shape]
        levels = {"digits": tuple(range(LEVELS, -1, -1)), "way": (0,) * 28}
        record = Record(
            planned.figure.kind,
            planned.models,
            0,
            parameters,
            levels.get(planned.figure.id, ()),
            files,
        )
        sources = {name: root / shape / file.path for name, file in files.items()}
        Store(context.site.cache_dir).put(planned.request_digest, record, sources)
    return site / "site.toml"


def pixels_of_pdf(data: bytes) -> np.ndarray:
    """The picture in a PDF of ours, found by its table and decoded without our code."""
    start = int(data.rsplit(b"startxref\n", 1)[1].split()[0])
    assert data[start : start + 4] == b"xref"
    places = [int(line[:10]) for line in data[start:].split(b"\n")[3:8]]
    for number, place in enumerate(places, 1):
        assert data[place:].startswith(f"{number} 0 obj\n".encode())
    body = data[places[4] :]
    (length,) = map(int, re.findall(rb"/Length (\d+)", body)[:1])
    width, height = (int(re.search(rb"/%s (\d+)" % n, body)[1]) for n in (b"Width", b"Height"))  # type: ignore[index]
    start = body.index(b"stream\n") + 7
    assert body[start + length :].startswith(b"\nendstream")
    return np.frombuffer(zlib.decompress(body[start : start + length]), np.uint8).reshape(
        height, width, 3
    )


def test_a_clip(config: Path) -> None:
    """Still, strip and GIF of a clip are its own pixels, enlarged by whole numbers, of any rate."""
    before = tree_hash(config.parent / ".sitegen")
    options = ExportOptions(("digits",), levels=(20, 7, 0), fps=12.5)
    output, names = export(config, options)
    assert output == config.parent / "exports"
    assert names == [
        *("digits.png", "digits.pdf", "digits.gif", "digits.mp4"),
        *("digits-strip.png", "digits-strip.pdf", README),
    ]
    assert sorted(path.name for path in output.iterdir()) == sorted(names)
    root, made = renders()
    files = made["trajectories"][0]
    poster = np.asarray(Image.open(root / "trajectories/clip.webp").convert("RGB"))
    still = np.asarray(Image.open(output / "digits.png"))
    factor = still.shape[1] // poster.shape[1]
    assert still.shape[1] >= 1200
    np.testing.assert_array_equal(still[::factor, ::factor], poster)
    np.testing.assert_array_equal(still[factor - 1 :: factor, factor - 1 :: factor], poster)
    np.testing.assert_array_equal(pixels_of_pdf((output / "digits.pdf").read_bytes()), still)
    strip = np.asarray(Image.open(output / "digits-strip.png"))
    np.testing.assert_array_equal(pixels_of_pdf((output / "digits-strip.pdf").read_bytes()), strip)
    low = strip.shape[0] - 5 * strip.shape[0] // 20
    for at, level in enumerate((20, 7, 0)):
        column = (2 * at + 1) * strip.shape[1] // 6
        assert abs(int(strip[low, column, 0]) - shade(LEVELS - level)) < 6
    assert strip[:30].min() < 60  # the labels
    with (
        Image.open(output / "digits.gif") as gif,
        Image.open(root / "trajectories/clip.gif") as own,
    ):
        scale = gif.width // own.width
        assert (gif.size, gif.width >= 480) == ((own.width * scale, own.height * scale), True)
        assert gif.info["duration"] == 80
        pairs = list(zip(ImageSequence.Iterator(gif), ImageSequence.Iterator(own), strict=True))
        assert len(pairs) == files["gif"].frames
        for large, small in pairs:
            seen = np.asarray(large.convert("RGB"))[::scale, ::scale].astype(int)
            assert np.abs(seen - np.asarray(small.convert("RGB"))).max() <= 8
    assert (output / "digits.mp4").read_bytes() == (root / "trajectories/clip.mp4").read_bytes()
    text = (output / README).read_text(encoding="utf-8")
    assert "Media of “Digits”" in text
    assert "Caption: Fourteen digits." in text
    assert "digits-strip.png: moments of the clip side by side: levels 20, 7, 0" in text
    assert all(name in text for name in names[:-1])
    assert "chart" not in text
    assert tree_hash(config.parent / ".sitegen") == before


def test_a_drawing(config: Path) -> None:
    """A drawing is itself as SVG, and by a browser a sharp PNG and a PDF of its size."""
    output, names = export(config, ExportOptions(("chart",)))
    assert names == ["chart.png", "chart.pdf", "chart.svg", README]
    with Image.open(output / "chart.png") as picture:
        assert picture.size == (3 * 640, 3 * 300)
        colours = np.asarray(picture.convert("RGB"))
    assert (colours[0, 0] == 255).all()  # the paper is white, and the curve dark
    assert colours.min() < 80
    data = (output / "chart.pdf").read_bytes()
    (box,) = re.findall(rb"/MediaBox \[([^\]]*)\]", data)
    assert [round(float(each)) for each in box.split()] == [0, 0, 480, 225]
    assert b"/Subtype /Image" not in data  # its curves are curves
    assert b"/Subtype/Image" not in data


def test_without_a_browser(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a browser a drawing is still there as SVG, and it is said what the others need."""
    monkeypatch.setattr(exports, "BROWSERS", ("no-such-browser",))
    assert export(config, ExportOptions(("chart",), ("svg",)))[1] == ["chart.svg", README]
    shutil.rmtree(config.parent / "exports")
    with pytest.raises(PlatformError, match="install Chromium, or use --format svg"):
        export(config, ExportOptions())
    assert list((config.parent / "exports").iterdir()) == []


def test_archive_of_all(config: Path, tmp_path: Path) -> None:
    """One archive holds what every figure has, and the same build gives the same bytes."""
    found = []
    for name in ("a.zip", "b.zip"):
        options = ExportOptions(formats=("gif", "mp4", "strip-png"), output=tmp_path / name)
        output, names = export(config, options)
        assert names == [
            *("digits.gif", "digits.mp4", "digits-strip.png"),
            *("way.gif", "way.mp4", README),
        ]
        with zipfile.ZipFile(output) as archive:
            assert archive.namelist() == names
            assert archive.testzip() is None
        found.append(output.read_bytes())
    assert found[0] == found[1]
    assert not list(tmp_path.glob(".sitegen*"))


def test_one_id_on_two_pages(config: Path) -> None:
    """Figures that have one id on two pages are both written, each into the folder of its page."""
    (config.parent / "pages/more.md").write_text(PAGE, encoding="utf-8")
    text = (config.parent / "pages/index.md").read_text(encoding="utf-8")
    _, names = export(config, ExportOptions(formats=("mp4",)))
    pages = [f"{page}/{name}.mp4" for page in ("index", "more") for name in ("digits", "way")]
    assert names == [*pages, README], text
    assert export(config, ExportOptions(("more/way",), ("mp4",)))[1] == ["more/way.mp4", README]
    with pytest.raises(ConfigError, match="figure, but there is index/way and more/way"):
        export(config, ExportOptions(("way",)))


def test_a_second_export(config: Path) -> None:
    """The README keeps what it says of other figures; files of others are never overwritten."""
    for name in ("digits", "way", "digits"):
        output, _ = export(config, ExportOptions((name,), ("mp4",)))
    text = (output / README).read_text(encoding="utf-8")
    assert [text.count(f"\n{name}: ") for name in ("digits", "way")] == [1, 1]
    assert text.count("Media of “Digits”, exported by sitegen.") == 1
    (output / "way.mp4").write_bytes(b"cut by hand")
    (output / "digits.gif").write_bytes(b"mine")
    for name, format_ in (("way", "mp4"), ("digits", "gif")):
        with pytest.raises(ConfigError, match=rf"{name}\.{format_}: was not exported by sitegen"):
            export(config, ExportOptions((name,), (format_,)))
    assert (output / "way.mp4").read_bytes() == b"cut by hand"
    assert (output / README).read_text(encoding="utf-8") == text
    for changed in (text + "My own note.\n", text.replace("  Seen:", "  My own note.\n  Seen:", 1)):
        (output / README).write_text(changed, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"README\.txt: was not .*, or was changed since"):
            export(config, ExportOptions(("chart",), ("svg",)))
        assert (output / README).read_text(encoding="utf-8") == changed
    (output / README).write_text("mine")
    with pytest.raises(ConfigError, match=r"README\.txt: was not written by sitegen"):
        export(config, ExportOptions(("chart",), ("svg",)))
    archive = output / "mine.zip"
    archive.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"mine\.zip: was not written by sitegen"):
        export(config, ExportOptions(("digits",), ("mp4",), output=archive))
    assert (output / README).read_text() == "mine"


@pytest.mark.parametrize("name", ["notes.txt", "digits.mp4", ""])
def test_a_second_archive(config: Path, name: str) -> None:
    """It replaces the first, unless that has another file, one that changed, or is damaged."""
    options = ExportOptions(("digits",), ("mp4",), output=config.parent / "all.zip")
    archive, _ = export(config, options)
    assert export(config, options) == (archive, ["digits.mp4", README])
    if name:
        zipped(archive, {**entries_of(archive), name: b"mine"})
    else:
        damaged = bytearray(archive.read_bytes())
        damaged[200] ^= 255
        archive.write_bytes(damaged)
    before = archive.read_bytes()
    with pytest.raises(ConfigError, match=r"all\.zip: was not .*, or was changed since"):
        export(config, options)
    assert archive.read_bytes() == before


def test_a_name_that_two_figures_have(config: Path) -> None:
    """The strip of one figure and the picture of another are not written over each other."""
    page = config.parent / "pages/index.md"
    page.write_text(PAGE.replace('id="way"', 'id="digits-strip"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"digits-strip\.png: two figures would be exported"):
        export(config, ExportOptions(formats=("png", "strip-png")))
    assert not (config.parent / "exports").exists()
    export(config, ExportOptions(("digits",), ("strip-png",)))


def test_heavy_gif_is_enlarged_less(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a GIF would weigh too much, the next smaller whole number is taken, down to 1."""
    from sitegen.media import exports

    widths, most = [], 5_000_000
    for _ in range(3):
        monkeypatch.setattr(exports, "LARGE_GIF_BYTES", most)
        output, _ = export(config, ExportOptions(("digits",), ("gif",)))
        with Image.open(output / "digits.gif") as gif:
            widths.append(gif.width)
        most = (output / "digits.gif").stat().st_size - 1
    assert widths[0] == 560  # and a little less each time, where that is lighter
    assert widths[0] > widths[1] > widths[2] >= 112
    monkeypatch.setattr(exports, "LARGE_GIF_BYTES", 1)
    export(config, ExportOptions(("digits",), ("gif",)))
    with Image.open(output / "digits.gif") as gif:
        assert gif.width == 112


def test_faults(config: Path) -> None:
    """Figures, formats and levels that are not there are told with the nearest; nothing is made."""
    for options, words in (
        (ExportOptions(("digit",)), 'digit: no page has such a figure, did you mean "digits"?'),
        (ExportOptions(("chart",), ("gif",)), "chart: has no gif; it has png, pdf, svg"),
        (
            ExportOptions(("digits",), ("strip-png",), (40,)),
            "--levels 40: digits does not show it; the nearest that it shows is 20",
        ),
        (ExportOptions(output=config.parent / "build/x.zip"), "build, which sitegen replaces"),
        (ExportOptions(output=config.parent / "build"), "choose another --output"),
        (ExportOptions(output=config.parent / ".sitegen"), "choose another --output"),
    ):
        with pytest.raises(ConfigError) as caught:
            export(config, options)
        assert words in str(caught.value)
    assert not (config.parent / "exports").exists()
    page = config.parent / "pages/index.md"
    page.write_text(PAGE + '\n{{ trajectories("mnist", id="new", seed=9) }}\n', encoding="utf-8")
    with pytest.raises(TargetError, match="not rendered yet: new; run `sitegen build` first"):
        export(config, ExportOptions())
    assert export(config, ExportOptions(("digits",), ("mp4",)))[1] == ["digits.mp4", README]


def test_choices_of_the_command_line() -> None:
    """The command line offers every format that there is."""
    from sitegen.cli.commands.site import export as command

    (choice,) = (each.type for each in command.params if each.name == "formats")
    assert tuple(choice.choices) == FORMATS  # type: ignore[attr-defined]
    assert module.FORMATS is FORMATS
    assert (ROOT / "docs/pages/publish.md").is_file()
