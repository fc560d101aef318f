"""Addresses of videos: the player of each host that asks least of a reader, and the plain link.

YouTube has a player at an address that sets no cookie before it plays; Vimeo's takes `dnt=1`, do
not track. Both play at once, since they are loaded by a click.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from sitegen.core.inputs import once_a_file
from sitegen.core.site_files import OwnFile, SiteFolder, media_copy, read_own
from sitegen.core.urls import web_url_fault

YOUTUBE = "https://www.youtube-nocookie.com"
VIMEO = "https://player.vimeo.com"

_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_TIME = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,4})m)?(?:(\d{1,6})s?)?")
_VIMEO_PATH = re.compile(r"/(?:[\w-]+/)*?(?:video/)?(\d{1,12})(?:/([0-9a-f]{4,32}))?/?")


@dataclass(frozen=True)
class Player:
    """A video of another host: what it is called, its player's origin and address, its page."""

    name: str
    origin: str
    address: str
    link: str


def find_player(url: str) -> Player:
    """Find the player for the address of a video, with the time to start at.

    Raises ValueError, saying what is wrong with the address.
    """
    fault = web_url_fault(url)
    if fault is not None:
        raise ValueError(fault)
    parts = urlsplit(url)
    host = re.sub(r"^(www|m|music)\.", "", (parts.hostname or "").lower())
    make = _HOSTS.get(host)
    if make is None:
        raise ValueError(
            "should be a video on YouTube or Vimeo, or a file in the site; "
            "to videos elsewhere write a link"
        )
    # Vimeo writes the time behind the #, YouTube into the query
    given = dict(parse_qsl(parts.fragment) + parse_qsl(parts.query))
    return make(parts.path, given)


def _youtube(path: str, given: Mapping[str, str]) -> Player:
    """youtube.com/watch?v=ID, and /shorts/ID, /live/ID, /embed/ID, /v/ID; `t` or `start`."""
    found = re.fullmatch(r"/(?:shorts|live|embed|v)/([^/]+)/?", path)
    name = found[1] if found else given.get("v", "") if path.rstrip("/") == "/watch" else ""
    return _on_youtube(name, given)


def _youtu_be(path: str, given: Mapping[str, str]) -> Player:
    """youtu.be/ID."""
    return _on_youtube(path.strip("/"), given)


def _on_youtube(name: str, given: Mapping[str, str]) -> Player:
    if not _YOUTUBE_ID.fullmatch(name):
        raise ValueError("names no video: https://youtu.be/ and 11 letters, digits, - and _")
    start = _seconds(given.get("t") or given.get("start") or "")
    asked = {"autoplay": "1", "rel": "0"} | ({"start": str(start)} if start else {})
    link = {"v": name} | ({"t": f"{start}s"} if start else {})
    return Player(
        "YouTube",
        YOUTUBE,
        f"{YOUTUBE}/embed/{name}?{urlencode(asked)}",
        f"https://www.youtube.com/watch?{urlencode(link)}",
    )


def _vimeo(path: str, given: Mapping[str, str]) -> Player:
    """vimeo.com/NUMBER, below channels too, and with /HASH or ?h=HASH where it is unlisted."""
    found = _VIMEO_PATH.fullmatch(path)
    secret = (found[2] if found else None) or given.get("h", "")
    if found is None or not re.fullmatch(r"[0-9a-f]*", secret):
        raise ValueError("names no video: https://vimeo.com/ and a number")
    start = _seconds(given.get("t", ""))
    asked = ({"h": secret} if secret else {}) | {"dnt": "1", "autoplay": "1"}
    at = f"#t={start}s" if start else ""
    return Player(
        "Vimeo",
        VIMEO,
        f"{VIMEO}/video/{found[1]}?{urlencode(asked)}{at}",
        f"https://vimeo.com/{found[1]}{f'/{secret}' if secret else ''}{at}",
    )


def _seconds(text: str) -> int:
    """A time such as 90, 90s or 1h2m3s in seconds; 0 for none."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"starts at {text[:20]!r}; write seconds as in t=90, or t=1m30s")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


_HOSTS: Mapping[str, Callable[[str, Mapping[str, str]], Player]] = {
    "youtube.com": _youtube,
    "youtube-nocookie.com": _youtube,
    "youtu.be": _youtu_be,
    "vimeo.com": _vimeo,
    "player.vimeo.com": _vimeo,
}


_EBML, _SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_WIDTH, _HEIGHT = 0xB0, 0xBA
_LEFT_OUT = "is no MP4 or WebM video, which is what browsers play; encode it as one of them"


@dataclass(frozen=True)
class VideoFile:
    """A video to be copied: its type for browsers, width and height in pixels."""

    file: OwnFile
    type: str
    width: int
    height: int


def read_video(folder: SiteFolder, name: str) -> VideoFile:
    """Read a video of the author's; ValueError says why a page cannot show it."""
    return _read(folder.find(name))


@once_a_file
def _read(path: Path) -> VideoFile:
    data = read_own(path)
    if data[4:8] == b"ftyp":
        suffix, size = ".mp4", _mp4_size(data)
    elif data[:4] == _EBML.to_bytes(4, "big"):
        suffix, size = ".webm", _webm_size(data)
    else:
        raise ValueError(_LEFT_OUT)
    if size is None:
        raise ValueError("is damaged, or shows no pictures; encode it again")
    return VideoFile(media_copy(path, data, suffix), f"video/{suffix[1:]}", *size)


def _mp4_size(data: bytes) -> tuple[int, int] | None:
    """The size of the first track that has one, turned as its matrix says."""
    for _, movie, movie_end in _boxes(data, b"moov", 0, len(data)):
        for _, track, track_end in _boxes(data, b"trak", movie, movie_end):
            for _, start, end in _boxes(data, b"tkhd", track, track_end):
                matrix, size = data[max(start, end - 44) : end - 8], data[end - 8 : end]
                width, height = int.from_bytes(size[:2], "big"), int.from_bytes(size[4:6], "big")
                if len(matrix) == 36 and width and height:
                    return (height, width) if any(matrix[4:8]) else (width, height)
    return None


def _boxes(data: bytes, kind: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of a kind in `data[start:end]`, each with the bounds of its content."""
    while start + 8 <= end:
        size, head = int.from_bytes(data[start : start + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        size = size or end - start  # 0 says that the box is the last one
        if size < head or start + size > end:
            return
        if data[start + 4 : start + 8] == kind:
            yield kind, start + head, start + size
        start += size


def _webm_size(data: bytes) -> tuple[int, int] | None:
    """The size of the first track of pictures."""
    bounds = [(0, len(data))]
    for kind in (_SEGMENT, _TRACKS, _ENTRY, _VIDEO):
        bounds = [inner for outer in bounds for inner in _elements(data, kind, *outer)]
    for video in bounds:
        sides = [
            int.from_bytes(data[start:end], "big")
            for kind in (_WIDTH, _HEIGHT)
            for start, end in _elements(data, kind, *video)
        ]
        if len(sides) == 2 and all(sides):
            return sides[0], sides[1]
    return None


def _elements(data: bytes, kind: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The bounds of the content of the elements of a kind in `data[start:end]`."""
    while start < end:
        name, at = _number(data, start, marked=True)
        size, at = _number(data, at, marked=False)
        if name is None or size is None:
            return
        stop = min(at + size, end)  # a size that was not known is the largest number there is
        if name == kind:
            yield at, stop
        start = stop


def _number(data: bytes, at: int, marked: bool) -> tuple[int | None, int]:
    """Read a number of 1 to 8 bytes, with its length marker for an id; None where there is none.

    The count of leading zero bits says how many bytes follow the first.
    """
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if not first or at + length > len(data):
        return None, len(data)
    value = int.from_bytes(data[at : at + length], "big")
    if marked:
        return value, at + length
    return value & ((1 << 7 * length) - 1), at + length
