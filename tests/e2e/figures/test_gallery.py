"""Galleries: the files that a call names, and how their pictures are read and written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imageio_ffmpeg import write_frames
from PIL import Image

from sitegen.builder.plan import PlannedFigure, naming, plan
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.figures.base import Figure
from sitegen.figures.gallery import Gallery
from sitegen.media.manifest import RenderJob
from sitegen.sampling.provider import ModelProvider
from tests.support.calling import make_figure

PLACE = SourceLocation("pages/index.md", 7)
MODELS = ModelProvider({}, ComputeTarget("cpu", "float32"))


def write_film(path: Path, *options: str, codec: str = "libx264", size: int = 64) -> None:
    """Write a video of four frames."""
    film = write_frames(str(path), (size, size), fps=4, codec=codec, output_params=list(options))
    film.send(None)
    for frame in range(4):
        film.send(np.full((size, size, 3), 60 * frame + 20, np.uint8).tobytes())
    film.close()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with pictures, a video, and a file of samples."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name, size in (("p10.png", (700, 350)), ("p2.jpg", (30, 50)), ("p1.PNG", (40, 40))):
        Image.new("RGB", size, "teal").save(folder / name)
    (folder / "notes.txt").write_text("words")
    (folder / ".hidden.png").write_bytes(b"no picture")
    write_film(folder / "p3.mp4")
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 6, 3), np.uint8)
    np.savez(tmp_path / "samples.npz", pictures, np.array([3, 1, 4, 1, 5]))
    return tmp_path


def call(root: Path, *args: Any, **arguments: Any) -> Figure:
    """A gallery of the site."""
    return make_figure("gallery", args, arguments, PLACE, root=root)


def planned(root: Path, *args: Any, **arguments: Any) -> PlannedFigure:
    """A gallery of the site with its key; errors name its line."""
    figure = call(root, *args, **arguments)
    with naming(figure):
        return plan(figure, "index.html", {})


def job(figure: Figure) -> RenderJob:
    """What renders it."""
    return figure.spec.sample(MODELS, figure)


def test_files_of_a_folder(site: Path) -> None:
    """They are sorted by their numbers, without hidden and other files."""
    spec = call(site, "own/").spec
    assert isinstance(spec, Gallery)
    assert spec.files == ("own/p1.PNG", "own/p2.jpg", "own/p3.mp4", "own/p10.png")
    assert call(site, "own").description([]) == "3 pictures and 1 video in a grid"
    (site / "own" / "p3.mp4").rename(site / "own" / "p3.MP4")
    assert call(site, "own", samples=[2, 0]).description([]) == "1 picture and 1 video in a grid"
    more = call(site, ["own/p2.jpg", "own"]).spec
    assert isinstance(more, Gallery)
    assert more.files[:2] == ("own/p2.jpg", "own/p1.PNG")


@pytest.mark.parametrize(
    ("files", "arguments", "fault"),
    [
        ("none", {}, 'files = "none": there is no such file'),
        ("own/p11.png", {}, 'did you mean "own/p10.png"'),
        (["own/notes.txt"], {}, '"own/notes.txt" does not end in .avif, .bmp'),
        ("../own", {}, "should be a path from the folder of site.toml"),
        (7, {}, "should be a folder, a file, or a list of files"),
        (["own", "samples.npz"], {}, "a file of samples has a gallery of its own"),
        ("own", {"captions": ["one"]}, "captions: 1 for 4 items; give one for each"),
        ("own", {"samples": [4]}, "names more than the 4 files, which have the numbers 0 to 3"),
        ("own", {"count": 2, "samples": [1]}, "count = 2: there are 1 samples; leave it out"),
        (["own"] * 51, {}, "has 204 items; at most 200: give count="),
        ("own", {"columns": 9}, "columns = 9"),
    ],
)
def test_faults(site: Path, files: Any, arguments: dict[str, Any], fault: str) -> None:
    """Each names the line, and what to do."""
    with pytest.raises(ConfigError) as caught:
        planned(site, files, **arguments)
    assert str(caught.value).startswith("pages/index.md:7: ")
    assert fault in str(caught.value)


def test_key(site: Path) -> None:
    """The files decide it; captions and columns do not."""
    key = planned(site, "own").key
    assert planned(site, "own", captions=["a"] * 4, columns=2).key == key
    assert planned(site, "own", pixelated=True).key != key
    Image.new("RGB", (30, 50), "navy").save(site / "own" / "p2.jpg")
    assert planned(site, "own").key != key


def test_versions(site: Path, tmp_path: Path) -> None:
    """Each item has a small AVIF and WebP, a large picture large ones, and a video its copy."""
    made = job(call(site, "own"))
    pictures = [f"picture-{at}{ending}" for at in range(4) for ending in ("", "-webp")]
    assert sorted(made.stills) == sorted([*pictures, "film-2", "large-3", "large-3-webp"])
    files = {name: write(tmp_path) for name, write in made.stills.items()}
    sizes = {name: (file.width, file.height) for name, file in files.items()}
    assert sizes["picture-0"] == (40, 40)
    assert sizes["picture-1-webp"] == (30, 50)
    assert sizes["film-2"] == sizes["picture-2"] == (64, 64)
    assert sizes["picture-3"] == (640, 320)
    assert sizes["large-3"] == (700, 350)
    with Image.open(tmp_path / files["picture-3"].path) as image:
        assert image.format == "AVIF"
        assert np.abs(np.asarray(image).astype(int) - [0, 128, 128]).max() < 4
    with Image.open(tmp_path / files["picture-2"].path) as image:
        assert abs(int(np.asarray(image)[32, 32, 0]) - 20) < 4
    source = (site / "own" / "p3.mp4").read_bytes()
    assert (tmp_path / files["film-2"].path).read_bytes() == source


def test_pictures_with_transparent_pixels_and_those_that_move(site: Path, tmp_path: Path) -> None:
    """The former keep them; the latter, of which one frame would be shown, are refused."""
    half = Image.new("RGBA", (8, 8), (250, 0, 0, 128))
    half.save(site / "half.png")
    file = job(call(site, "half.png")).stills["picture-0-webp"](tmp_path)
    with Image.open(tmp_path / file.path) as image:
        pixel = image.convert("RGBA").getpixel((4, 4))
        assert isinstance(pixel, tuple)
        assert abs(pixel[3] - 128) < 3
    other = Image.new("RGB", (8, 8), "navy")
    half.convert("RGB").save(site / "own" / "moves.webp", save_all=True, append_images=[other])
    with pytest.raises(RefusedError, match=r"moves.webp.* it moves or has pages; save it as MP4"):
        job(call(site, "own"))
    other.save(site / "own" / "loop.gif")
    with pytest.raises(ConfigError, match=r'"own/loop.gif" does not end in'):
        planned(site, "own")
    other.save(site / "own" / "a#b.png")
    with pytest.raises(ConfigError, match=r'files = "own": "own/a#b.png" should be a path'):
        planned(site, "own")


def test_samples(site: Path, tmp_path: Path) -> None:
    """A file of samples has its pictures by number, and their classes."""
    made = job(call(site, "samples.npz", samples=[4, 2]))
    assert made.parameters["items"] == [
        {"name": "sample 4", "label": "class 5"},
        {"name": "sample 2", "label": "class 4"},
    ]
    file = made.stills["picture-0-webp"](tmp_path)
    with Image.open(tmp_path / file.path) as image:
        assert image.size == (6, 8)
        assert abs(int(np.asarray(image)[4, 3, 0]) - 4) < 3
    assert len(job(call(site, "samples.npz")).parameters["items"]) == 5
    with pytest.raises(RefusedError, match=r"has 5 samples; the last has the number 4"):
        job(call(site, "samples.npz", count=6))


@pytest.mark.parametrize(
    ("array", "fault"),
    [
        (
            np.zeros((2, 4, 8, 8, 3), np.uint8),
            r"\(2, 4, 8, 8, 3\).*by video\(\)",
        ),
        (np.zeros((2, 8, 8, 3), np.float32), "type float32; pictures are"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"shape \(2, 3, 8, 8\)"),
    ],
)
def test_arrays_of_something_else(site: Path, array: Any, fault: str) -> None:
    """Video, audio, volumes and floats are refused with what fits."""
    np.savez(site / "samples.npz", array)
    with pytest.raises(RefusedError, match=fault):
        job(call(site, "samples.npz"))


def test_a_codec_that_browsers_do_not_play(site: Path) -> None:
    """It is refused with the command that converts it."""
    write_film(site / "own" / "p3.mp4", "-pix_fmt", "yuv444p")
    with pytest.raises(RefusedError, match=r"avc1 of the profile 244, which not all browsers play"):
        job(call(site, "own"))
    write_film(site / "own" / "p3.mp4", codec="mpeg4")
    with pytest.raises(RefusedError, match="of the codec mp4v"):
        job(call(site, "own"))
    (site / "own" / "p3.mp4").write_bytes(b"nothing")
    with pytest.raises(RefusedError, match="holds no video"):
        job(call(site, "own"))
