"""`image(…)` and `video(…)` in a page: what they make, and everything that is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image as Pillow

from sitegen.content.embeds import Embed, ImageCall, Player, VideoCall, VideoFile, make_embed
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.core.site_files import SiteFolder
from tests.support.fabricated import MP4

PLACE = SourceLocation("pages/index.md", 3)


def make(folder: Path, kind: str, *args: object, **kwargs: object) -> Embed:
    """Call one in a site that has a picture and a video."""
    Pillow.new("RGB", (30, 20)).save(folder / "Set up.png")
    (folder / "talk.mp4").write_bytes(MP4)
    return make_embed(kind, args, kwargs, PLACE, SiteFolder(folder))


def test_image(tmp_path: Path) -> None:
    """A picture with all that can be said of it, and one of which there is nothing to say."""
    words = {"alt": "A laser", "caption": " It glows. ", "id": "laser", "width": 15}
    image = make(tmp_path, "image", "Set up.png", **words)
    call = image.call
    assert isinstance(call, ImageCall)
    assert (call.file.width, call.file.height, call.width) == (30, 20, 15)
    assert (image.id, call.alt, call.caption) == ("laser", "A laser", "It glows.")
    assert (image.place, image.files) == (PLACE, (call.file.file,))
    assert image.base == "image-set-up"
    image = make(tmp_path, "image", "Set up.png", alt="")
    call = image.call
    assert isinstance(call, ImageCall)
    assert (call.alt, call.caption, call.width, image.id) == ("", "", None, "")


def test_video(tmp_path: Path) -> None:
    """A video of another host, of which only the poster is copied, or a file of the author's."""
    embed = make(tmp_path, "video", "https://youtu.be/qY1juqIDT10", title="T", poster="Set up.png")
    call = embed.call
    assert isinstance(call, VideoCall)
    assert isinstance(call.url, Player)
    assert call.poster is not None
    assert embed.files == (call.poster.file,)
    assert (call.title, embed.base) == ("T", "video")
    assert make(tmp_path, "video", "https://vimeo.com/1").files == ()
    embed = make(tmp_path, "video", url="talk.mp4")
    call = embed.call
    assert isinstance(call, VideoCall)
    assert isinstance(call.url, VideoFile)
    assert (call.url.width, call.url.height, call.title) == (64, 36, "Video")
    assert embed.files == (call.url.file,)


@pytest.mark.parametrize(
    ("kind", "args", "kwargs", "faults"),
    [
        (
            "image",
            ("Set pu.png",),
            {"captoin": "x", "width": 0},
            [
                'file = "Set pu.png": there is no such file, did you mean "Set up.png"?',
                'alt is missing: What is to be seen, in words; alt="" if it is decoration.',
                'captoin: unknown key, did you mean "caption"?',
                "width = 0: should be a whole number from 1 to 4096",
            ],
        ),
        (
            "image",
            ("https://example.org/x.png", "x", "y"),
            {"alt": "z"},
            ['"y" needs a name', "alt is given twice", "pages take nothing from other hosts"],
        ),
        ("image", (3,), {"alt": None}, ["file = 3: should be the path of a file", "alt = None"]),
        ("image", ("talk.mp4",), {"alt": "", "id": "A b"}, ["is no picture", 'id = "A b": should']),
        ("video", (), {}, ["url is missing: A video on YouTube or Vimeo, or the path of an MP4"]),
        (
            "video",
            ("https://example.org/x.mp4",),
            {"title": " ", "poster": "none.png"},
            [
                'url = "https://example.org/x.mp4": should be a video on YouTube or Vimeo',
                'title = " ": should have at least 1 character',
                'poster = "none.png": there is no such file',
            ],
        ),
        ("video", ("Set up.png",), {}, ['url = "Set up.png": is no MP4 or WebM video']),
        ("video", ("../x.mp4",), {}, ['url = "../x.mp4": should be a path from the folder']),
    ],
)
def test_faults(
    tmp_path: Path,
    kind: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    faults: list[str],
) -> None:
    """Everything that is wrong with a call, each with its place."""
    with pytest.raises(ConfigError) as caught:
        make(tmp_path, kind, *args, **kwargs)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"pages/index.md:3: {kind}(…): ") for line in lines)
    for fault in faults:
        assert any(fault in line for line in lines), fault
