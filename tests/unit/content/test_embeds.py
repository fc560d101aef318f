"""`image(…)` and `video(…)` in a page: what they make, and everything that is told at once."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from PIL import Image as Pillow

from sitegen.content.embeds import (
    Embed,
    ImageCall,
    Player,
    VideoCall,
    VideoFile,
    find_player,
    make_embed,
    read_photo,
)
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.core.site_files import SiteFolder
from sitegen.html.figure_views import embed_view
from tests.support.builders import box
from tests.support.fabricated import MP4

PLACE = SourceLocation("pages/index.md", 3)


def make(folder: Path, kind: str, *args: object, **kwargs: object) -> Embed:
    """Call one in a site that has a picture and a video."""
    Pillow.new("RGB", (30, 20)).save(folder / "Set up.png")
    (folder / "talk.mp4").write_bytes(MP4)
    return make_embed(kind, args, kwargs, PLACE, SiteFolder(folder))


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("h265.mp4", box(b"stsd", bytes(12), b"hvc1", bytes(9)), "of the codec hvc1, which not"),
        ("422.mp4", MP4.replace(b"avcC\1d", b"avcC\1z"), "of the codec avc1 of the profile 122"),
        ("my talk.webm", b"\x86\x8fV_MPEGH/ISO/HEVC", 'ffmpeg -i "my talk.webm" -c:v libx264'),
        ("text.mp4", b"text", "holds no video that browsers play"),
        ("av1.mp4", box(b"stsd", bytes(12), b"av01", bytes(9)), None),
        ("vp9.webm", b"\x86\x85V_VP9", None),
    ],
)
def test_codecs(tmp_path: Path, name: str, data: bytes, fault: str | None) -> None:
    """A video that browsers do not play is refused with its line, and how it is converted."""
    (tmp_path / name).write_bytes(data)
    if fault is None:
        assert make(tmp_path, "video", name).files
        return
    with pytest.raises(ConfigError) as caught:
        make(tmp_path, "video", name)
    assert str(caught.value).startswith("pages/index.md:3: ")
    assert fault in str(caught.value)


def test_image(tmp_path: Path) -> None:
    """A picture or video with all that can be said of it, and with nothing; what is copied."""
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
    embed = make(tmp_path, "video", "https://youtu.be/qY1juqIDT10", title="T", poster="Set up.png")
    told = embed.call
    assert isinstance(told, VideoCall)
    assert isinstance(told.url, Player)
    assert told.poster is not None
    assert embed.files == (told.poster.file,)
    assert (told.title, embed.base) == ("T", "video")
    assert make(tmp_path, "video", "https://vimeo.com/1").files == ()
    embed = make(tmp_path, "video", url="talk.mp4")
    told = embed.call
    assert isinstance(told, VideoCall)
    assert isinstance(told.url, VideoFile)
    assert (told.url.type, told.title, told.aspect) == ("video/mp4", "Video", "16:9")
    assert embed.files == (told.url.file,)


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
                "width = 0: Input should be greater than or equal to 1",
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
                'title = " ": String should have at least 1 character',
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


FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "AVIF": ".avif"}
ORIENTATION = 0x0112


def picture(form: str, mode: str = "RGB", size: tuple[int, int] = (40, 20), turn: int = 1) -> bytes:
    """A picture of that form, whose EXIF says how to turn it."""
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    data = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(data, form, exif=exif)
    return data.getvalue()


def read(folder: Path, data: bytes, name: str = "a.png") -> tuple[str, int, int]:
    """The path in the built folder and the size of a picture with these bytes."""
    (folder / name).write_bytes(data)
    photo = read_photo(SiteFolder(folder).find(name))
    assert photo.file.source.read_bytes() == data
    return photo.file.uri, photo.width, photo.height


def test_raw_html(tmp_path: Path) -> None:
    """HTML of the author's own stands in the page as it is; another file is refused."""
    html = "<svg viewBox='0 0 1 1'></svg>\n"
    (tmp_path / "own.html").write_text(html)
    embed = make(tmp_path, "raw_html", "own.html", caption="Mine.")
    view = embed_view(embed, "index.html")
    assert (view["shape"], view["html"], view["caption"]) == ("raw", html, "Mine.")
    assert (embed.base, embed.files) == ("raw-html", ())
    for name, fault in (("Set up.png", "should end with .html"), ("no.html", "no such file")):
        with pytest.raises(ConfigError, match=fault):
            make(tmp_path, "raw_html", name)


def test_formats(tmp_path: Path) -> None:
    """A picture's format and size are those of its content; other files are refused."""
    for attributes in ('viewBox="0 0 3 4"', 'width="3px" height="4"'):
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}/>'.encode()
        uri, width, height = read(tmp_path, svg, "a.svg")
        assert (uri[-4:], width, height) == (".svg", 3, 4)
    for data, words in ((b"<svg/>", "give it a viewBox"), (b"<svg", "is not well-formed")):
        with pytest.raises(ValueError, match=words):
            read(tmp_path, data, "a.svg")
    for form, suffix in {**FORMATS, "MPO": ".jpg"}.items():
        uri, width, height = read(tmp_path, picture(form), "Photo.xyz")
        assert (uri[:12], uri[-len(suffix) :]) == ("media/photo-", suffix)
        assert (width, height) == (40, 20)
    assert read(tmp_path, picture("JPEG", turn=6))[1:] == (20, 40)
    assert read(tmp_path, picture("WEBP", turn=6))[1:] == (40, 20)
    for form in ("BMP", "TIFF", "PDF"):
        with pytest.raises(ValueError, match="save it as PNG, JPEG, WebP, GIF, AVIF or SVG"):
            read(tmp_path, picture(form))


ID = "qY1juqIDT10"


YOUTUBE, VIMEO = "https://www.youtube-nocookie.com", "https://player.vimeo.com"
FIRST = f"{YOUTUBE}/embed/{ID}?autoplay=1&rel=0", f"https://www.youtube.com/watch?v={ID}"
PLAYERS = [
    *((f"http{place}", *FIRST) for place in (
        f"s://youtu.be/{ID}", f"://youtube.com/watch?v={ID}",
        f"s://www.youtube.com/watch?v={ID}&list=PL123&index=2",
        f"s://m.youtube.com/watch?v={ID}", f"s://www.YouTube.com/shorts/{ID}",
        f"s://www.youtube.com/live/{ID}?feature=share", f"s://www.youtube.com/embed/{ID}",
        f"s://www.youtube-nocookie.com/embed/{ID}?rel=0",
    )),
    *((f"https://{place}{time}", f"{FIRST[0]}&start={start}", f"{FIRST[1]}&t={start}s")
      for time, start in (("t=90", 90), ("t=1m30s", 90), ("t=1h2m3s", 3723), ("start=5", 5))
      for place in (f"youtu.be/{ID}?", f"www.youtube.com/watch?v={ID}#")),
    *((f"https://{place}", f"{VIMEO}/video/{video}", f"https://vimeo.com/{link}")
      for place, video, link in (
        ("vimeo.com/76979871", "76979871?dnt=1&autoplay=1", "76979871"),
        ("vimeo.com/channels/staffpicks/123", "123?dnt=1&autoplay=1", "123"),
        ("vimeo.com/groups/a/videos/123", "123?dnt=1&autoplay=1", "123"),
        ("vimeo.com/123/8272103f6e", "123?h=8272103f6e&dnt=1&autoplay=1", "123/8272103f6e"),
        ("vimeo.com/123#t=1m5s", "123?dnt=1&autoplay=1#t=65s", "123#t=65s"),
        ("player.vimeo.com/video/123?h=8272103f6e", "123?h=8272103f6e&dnt=1&autoplay=1",
         "123/8272103f6e"),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("url", "address", "link"), PLAYERS)
def test_players(url: str, address: str, link: str) -> None:
    """However a host writes it, one player: no cookie, no tracking, its start, its key."""
    player = find_player(url)
    assert (player.address, player.link) == (address, link)
    known = ("Vimeo", VIMEO) if "vimeo" in url else ("YouTube", YOUTUBE)
    assert (player.name, player.origin) == known


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://youtu.be/", "names no video: https://youtu.be/ and 11 letters"),
        (f"https://youtu.be/{ID}/x", "names no video"),
        ("https://www.youtube.com/@channel", "names no video"),
        (f"https://www.youtube.com/x?v={ID}", "names no video"),
        (f"https://youtu.be/{ID}?t=soon", "starts at 'soon'; write seconds"),
        ("https://vimeo.com/about", "names no video: https://vimeo.com/ and a number"),
        ("https://vimeo.com/123?h=%22onload", "names no video: https://vimeo.com/ and a number"),
        ("https://example.org/x.mp4", "should be a video on YouTube or Vimeo, or a file in the"),
        (f"https://youtu.be.example.org/{ID}", "should be a video on YouTube or Vimeo"),
        (f"https://notyoutube.com/watch?v={ID}", "should be a video on YouTube or Vimeo"),
        (f"https://youtu.be@example.org/{ID}", "should not contain a user name or password"),
    ],
)
def test_no_player(url: str, reason: str) -> None:
    """What is no video of a known host is told with the reason."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        find_player(url)
