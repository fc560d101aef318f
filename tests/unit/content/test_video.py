"""Videos: every way in which hosts write addresses leads to one player; files are measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from sitegen.content.embeds import find_player, read_video
from sitegen.core.site_files import SiteFolder
from tests.support.fabricated import MP4

ID = "qY1juqIDT10"


@pytest.mark.parametrize(
    "url",
    [
        f"https://youtu.be/{ID}", f"http://youtube.com/watch?v={ID}",
        f"https://www.youtube.com/watch?v={ID}&list=PL123&index=2",
        f"https://m.youtube.com/watch?v={ID}", f"https://www.YouTube.com/shorts/{ID}",
        f"https://www.youtube.com/live/{ID}?feature=share", f"https://www.youtube.com/embed/{ID}",
        f"https://www.youtube-nocookie.com/embed/{ID}?rel=0",
    ],
)  # fmt: skip
def test_youtube(url: str) -> None:
    """All of these are one video, whose player sets no cookie."""
    player = find_player(url)
    assert player.name == "YouTube"
    assert player.origin == "https://www.youtube-nocookie.com"
    assert player.address == f"https://www.youtube-nocookie.com/embed/{ID}?autoplay=1&rel=0"
    assert player.link == f"https://www.youtube.com/watch?v={ID}"


@pytest.mark.parametrize(
    ("time", "seconds"), [("t=90", 90), ("t=1m30s", 90), ("t=1h2m3s", 3723), ("start=5", 5)]
)
def test_start(time: str, seconds: int) -> None:
    """The time in the address is where the player starts, and the link too."""
    player = find_player(f"https://youtu.be/{ID}?{time}")
    assert player.address.endswith(f"?autoplay=1&rel=0&start={seconds}")
    assert player.link.endswith(f"?v={ID}&t={seconds}s")
    later = find_player(f"https://www.youtube.com/watch?v={ID}#{time}")
    assert later == player


@pytest.mark.parametrize(
    ("url", "video", "link"),
    [
        ("https://vimeo.com/76979871", "76979871?dnt=1&autoplay=1", "76979871"),
        ("https://vimeo.com/channels/staffpicks/123", "123?dnt=1&autoplay=1", "123"),
        ("https://vimeo.com/groups/a/videos/123", "123?dnt=1&autoplay=1", "123"),
        ("https://vimeo.com/123/8272103f6e", "123?h=8272103f6e&dnt=1&autoplay=1", "123/8272103f6e"),
        ("https://vimeo.com/123#t=1m5s", "123?dnt=1&autoplay=1#t=65s", "123#t=65s"),
        ("https://player.vimeo.com/video/123?h=8272103f6e", "123?h=8272103f6e&dnt=1&autoplay=1",
         "123/8272103f6e"),
    ],
)  # fmt: skip
def test_vimeo(url: str, video: str, link: str) -> None:
    """Vimeo's player is told not to track; unlisted videos keep their key."""
    player = find_player(url)
    assert (player.name, player.origin) == ("Vimeo", "https://player.vimeo.com")
    assert player.address == f"https://player.vimeo.com/video/{video}"
    assert player.link == f"https://vimeo.com/{link}"


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
        (f"https://youtu.be@example.org/{ID}", "should hold no user name or password"),
    ],
)
def test_refused(url: str, reason: str) -> None:
    """What is no video of a known host is told with the reason."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        find_player(url)
    assert reason in str(caught.value)


def element(name: str, *content: bytes) -> bytes:
    """An element of a WebM: its id in hexadecimal, its length, its content."""
    data = b"".join(content)
    return bytes.fromhex(name) + bytes([0x80 | len(data)]) + data


SIZE = element("e0", element("b0", b"\x40"), element("ba", b"\x24"))
TRACKS = element("1654ae6b", element("ae", element("e1", b"sound")), element("ae", SIZE))
HEAD = element("1a45dfa3")
WEBM = HEAD + element("18538067", TRACKS)
LARGE = b"\0\0\0\1ftyp" + (16).to_bytes(8, "big") + MP4[8:]  # its length is written in 64 bits
LAST = MP4[:8] + b"\0\0\0\x08free\0\0\0\0" + MP4[12:]  # 0 is the length of the last box
TURNED = MP4[:-44] + b"\0\0\0\0\0\1" + MP4[-38:]


@pytest.mark.parametrize(
    ("data", "type", "size"),
    [
        (MP4, "mp4", (64, 36)), (LARGE, "mp4", (64, 36)), (TURNED, "mp4", (36, 64)),
        (LAST, "mp4", (64, 36)), (WEBM, "webm", (64, 36)),
        (HEAD + bytes.fromhex("18538067 01ffffffffffffff") + TRACKS, "webm", (64, 36)),
    ],
    ids=["mp4", "long", "turned", "last box", "webm", "without end"],
)  # fmt: skip
def test_measured(tmp_path: Path, data: bytes, type: str, size: tuple[int, int]) -> None:
    """A file is known by its content, and measured wherever the size stands in it."""
    (tmp_path / "A b.mov").write_bytes(data)
    film = read_video(SiteFolder(tmp_path).find("A b.mov"))
    assert (film.type, film.width, film.height) == (f"video/{type}", *size)
    assert film.file.uri == f"media/a-b-{film.file.sha256[:8]}.{type}"


@pytest.mark.parametrize("whole", [MP4, WEBM], ids=["mp4", "webm"])
def test_cut_short(tmp_path: Path, whole: bytes) -> None:
    """A file that ends too early shows no pictures, and nothing else happens."""
    for length in range(8, len(whole)):
        (tmp_path / "x.mp4").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is damaged, or shows no pictures"):
            read_video(SiteFolder(tmp_path).find("x.mp4"))


@pytest.mark.parametrize("data", [b"abc", b"RIFF....AVI ", b"\x89PNG\r\n\x1a\n"])
def test_no_video(tmp_path: Path, data: bytes) -> None:
    """Other files are refused, with what would do."""
    (tmp_path / "x.mp4").write_bytes(data)
    with pytest.raises(ValueError, match="is no MP4 or WebM video"):
        read_video(SiteFolder(tmp_path).find("x.mp4"))
