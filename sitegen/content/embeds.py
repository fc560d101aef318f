"""Pictures and videos that the author adds to a page.

`{{ image("pictures/setup.png", alt="…") }}` and `{{ video("https://youtu.be/…") }}` are called like
figures, but nothing is sampled for them, and media.json does not list them. Files are read for
their size, so that a page can reserve space for them. YouTube's player is embedded from an address
that sets no cookie before playback; Vimeo's accepts `dnt=1` (do not track). Both players are
loaded by a click and start immediately.
"""

import io
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, PlainValidator, StrictInt, ValidationInfo
from pydantic.dataclasses import dataclass as validated

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.files import cached_by_stat
from sitegen.core.site_files import OwnFile, SiteFolder, media_copy, read_own
from sitegen.core.urls import web_url_fault
from sitegen.core.validation import Caption, Slug, Text, checked_call
from sitegen.figures.base import RULES
from sitegen.media.mp4 import mp4_size
from sitegen.media.svg import svg_size

_SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "MPO": ".jpg",  # a phone's JPEG with a second image appended, which browsers ignore
    "WEBP": ".webp",
    "GIF": ".gif",
    "AVIF": ".avif",
}
_FORMATS = [name for name in _SUFFIXES if name != "MPO"]  # MPO is opened as JPEG
_XML = re.compile(rb"\s*(\xef\xbb\xbf\s*)?(<\?xml|<!--|<!DOCTYPE\s+svg|<svg)", re.IGNORECASE)
_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(struct.error, SyntaxError, TypeError, ValueError),
)
"""Exceptions that Pillow raises for damaged pictures."""
_LARGEST = 80_000_000  # pixels; some browsers do not display larger pictures
_TOO_LARGE = f"has more than {_LARGEST // 1_000_000} million pixels; make it smaller"


@dataclass(frozen=True)
class Photo:
    """A picture to copy; width and height in pixels, as displayed by a browser."""

    file: OwnFile
    width: int
    height: int


@cached_by_stat
def read_photo(path: Path) -> Photo:
    """Read one of the author's pictures; raise ValueError if a page cannot show it.

    The picture is decoded completely, so that damage is found here and not by a reader. The result
    is cached between readings of the pages.
    """
    data = read_own(path)
    suffix, size = (".svg", svg_size(data)) if _XML.match(data) else _measure(data)
    return Photo(media_copy(path, data, suffix), *size)


def _measure(data: bytes) -> tuple[str, tuple[int, int]]:
    from PIL import Image as pillow  # not needed for pages without pictures
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # repaired data, and the size, which is checked below
            with pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
                if math.prod(image.size) > _LARGEST:
                    raise pillow.DecompressionBombError
                image.load()
                # Browsers apply the EXIF orientation, except for WebP.
                turned = image.format != "WEBP" and image.getexif().get(_ORIENTATION) in _TURNED
                size = image.size[::-1] if turned else image.size
                return _SUFFIXES[str(image.format)], size
    except UnidentifiedImageError:
        raise ValueError(
            "is no picture that browsers show; save it as PNG, JPEG, WebP, GIF, AVIF or SVG"
        ) from None
    except pillow.DecompressionBombError:
        raise ValueError(_TOO_LARGE) from None
    except _DAMAGE as error:
        raise ValueError(f"is damaged: {error}; save it again") from error


YOUTUBE = "https://www.youtube-nocookie.com"
VIMEO = "https://player.vimeo.com"

_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_TIME = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,4})m)?(?:(\d{1,6})s?)?")
_VIMEO_PATH = re.compile(r"/(?:[\w-]+/)*?(?:video/)?(\d{1,12})(?:/([0-9a-f]{4,32}))?/?")


@dataclass(frozen=True)
class Player:
    """A video on another host: its title, the origin and address of its player, and its page."""

    name: str
    origin: str
    address: str
    link: str


def find_player(url: str) -> Player:
    """Return the player for the address of a video, with its start time.

    Raises ValueError for an address that is not supported.
    """
    fault = web_url_fault(url)
    if fault is not None:
        raise ValueError(fault)
    parts = urlsplit(url)
    host = re.sub(r"^(www|m|music)\.", "", (parts.hostname or "").lower())
    # Vimeo puts the time in the fragment, YouTube in the query
    given = dict(parse_qsl(parts.fragment) + parse_qsl(parts.query))
    if host in {"youtube.com", "youtube-nocookie.com", "youtu.be"}:
        return _youtube(parts.path, given, short=host == "youtu.be")
    if host in {"vimeo.com", "player.vimeo.com"}:
        return _vimeo(parts.path, given)
    raise ValueError(
        "should be a video on YouTube or Vimeo, or a file in the site; to videos elsewhere write "
        "a link"
    )


def _youtube(path: str, given: Mapping[str, str], *, short: bool) -> Player:
    """Parse /watch?v=ID, /shorts/ID, /live/ID, /embed/ID, /v/ID, `short` /ID; `t` or `start`."""
    found = re.fullmatch(r"/(?:shorts|live|embed|v)/([^/]+)/?", path)
    name = path.strip("/") if short else found[1] if found else ""
    if path.rstrip("/") == "/watch" and not short:
        name = given.get("v", "")
    if not _YOUTUBE_ID.fullmatch(name):
        raise ValueError("names no video: https://youtu.be/ and 11 letters, digits, - and _")
    start = _seconds(given.get("t") or given.get("start") or "")
    asked = {"autoplay": "1", "rel": "0"} | ({"start": str(start)} if start else {})
    link = {"v": name} | ({"t": f"{start}s"} if start else {})
    page = f"https://www.youtube.com/watch?{urlencode(link)}"
    return Player("YouTube", YOUTUBE, f"{YOUTUBE}/embed/{name}?{urlencode(asked)}", page)


def _vimeo(path: str, given: Mapping[str, str]) -> Player:
    """Parse vimeo.com/NUMBER, also below channels; /HASH or ?h=HASH marks an unlisted video."""
    found = _VIMEO_PATH.fullmatch(path)
    secret = (found[2] if found else None) or given.get("h", "")
    if found is None or not re.fullmatch(r"[0-9a-f]*", secret):
        raise ValueError("names no video: https://vimeo.com/ and a number")
    start = _seconds(given.get("t", ""))
    asked = ({"h": secret} if secret else {}) | {"dnt": "1", "autoplay": "1"}
    at = f"#t={start}s" if start else ""
    page = f"https://vimeo.com/{found[1]}{f'/{secret}' if secret else ''}{at}"
    return Player("Vimeo", VIMEO, f"{VIMEO}/video/{found[1]}?{urlencode(asked)}{at}", page)


def _seconds(text: str) -> int:
    """Return a time such as 90, 90s or 1h2m3s in seconds; 0 if empty or invalid."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"starts at {text[:20]!r}; write seconds as in t=90, or t=1m30s")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


_EBML, _SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_WIDTH, _HEIGHT = 0xB0, 0xBA
_LEFT_OUT = "is no MP4 or WebM video, which is what browsers play; encode it as one of them"


@dataclass(frozen=True)
class VideoFile:
    """A video to copy: its MIME type, and its width and height in pixels."""

    file: OwnFile
    type: str
    width: int
    height: int


@cached_by_stat
def read_video(path: Path) -> VideoFile:
    """Read one of the author's videos; raise ValueError if a page cannot show it."""
    data = read_own(path)
    if data[4:8] == b"ftyp":
        suffix, size = ".mp4", mp4_size(data)
    elif data[:4] == _EBML.to_bytes(4, "big"):
        suffix, size = ".webm", _webm_size(data)
    else:
        raise ValueError(_LEFT_OUT)
    if size is None:
        raise ValueError("is damaged, or shows no pictures; encode it again")
    return VideoFile(media_copy(path, data, suffix), f"video/{suffix[1:]}", *size)


def _webm_size(data: bytes) -> tuple[int, int] | None:
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
    """Yield the content bounds of the elements of one kind in `data[start:end]`."""
    while start < end:
        name, at = _number(data, start, marked=True)
        size, at = _number(data, at, marked=False)
        if name is None or size is None:
            return
        stop = min(at + size, end)  # an unknown size is encoded as the maximum
        if name == kind:
            yield at, stop
        start = stop


def _number(data: bytes, at: int, marked: bool) -> tuple[int | None, int]:
    """Read a number of 1 to 8 bytes, including its length marker for an id; None if invalid.

    The number of leading zero bits is the number of bytes that follow the first.
    """
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if not first or at + length > len(data):
        return None, len(data)
    value = int.from_bytes(data[at : at + length], "big")
    return value if marked else value & ((1 << 7 * length) - 1), at + length


_T = TypeVar("_T")


def _read_by(read: Callable[[Path], _T], *, players: bool = False) -> PlainValidator:
    """Return a validator that reads a file from the folder in the context, or finds a player."""

    def check(value: object, info: ValidationInfo) -> _T | Player:
        if not isinstance(value, str):
            raise ValueError("should be the path of a file in quotes")
        if players and re.match(r"[A-Za-z]+://", value):
            return find_player(str(value))
        return read((info.context or {})["folder"].find(str(value)))

    return PlainValidator(check)


_OwnPhoto = Annotated[Photo, _read_by(read_photo)]


@validated(frozen=True, config=RULES)
class ImageCall:
    """The arguments of `image(…)`."""

    file: _OwnPhoto = Field(description="The picture, as a path from the folder of site.toml.")
    alt: Caption = Field(description='What is to be seen, in words; alt="" if it is decoration.')
    caption: Caption = Field(default="", description="The words under the picture.")
    id: Slug | None = Field(default=None, description="The picture's name in links.")
    width: StrictInt | None = Field(
        default=None, ge=1, le=4096, description="How wide it is shown at most, in pixels."
    )


@validated(frozen=True, config=RULES)
class VideoCall:
    """The arguments of `video(…)`."""

    url: Annotated[VideoFile | Player, _read_by(read_video, players=True)] = Field(
        description="A video on YouTube or Vimeo, or the path of an MP4 or WebM file."
    )
    title: Text = Field(default="Video", description="What the video is called.")
    caption: Caption = Field(default="", description="The words under the video.")
    id: Slug | None = Field(default=None, description="The video's name in links.")
    poster: _OwnPhoto | None = Field(default=None, description="The picture before it plays.")


@dataclass(frozen=True)
class Embed:
    """A picture or video that is shown as a block; its id is "" until one is assigned.

    A video is on another host, with a player that is loaded by a click, or a file of the author.
    """

    kind: str
    call: ImageCall | VideoCall
    id: str
    place: SourceLocation
    number: int = 0

    @property
    def numbered(self) -> bool:
        """Return whether it is numbered like a figure, as pictures with a caption are."""
        return isinstance(self.call, ImageCall) and bool(self.call.caption)

    @property
    def files(self) -> tuple[OwnFile, ...]:
        """Return the files to copy for it."""
        parts = vars(self.call).values()
        return tuple(part.file for part in parts if isinstance(part, VideoFile | Photo))

    @property
    def base(self) -> str:
        """Return the default id, which is used if it is not taken."""
        if isinstance(self.call, VideoCall):
            return "video"
        return f"image-{PurePosixPath(self.call.file.file.uri).stem[:-9]}"  # without the digest


EMBEDS: Mapping[str, type[Any]] = {"image": ImageCall, "video": VideoCall}
"""Argument classes of the calls, by name."""


def make_embed(
    kind: str,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    place: SourceLocation,
    folder: SiteFolder,
) -> Embed:
    """Check a call and read its files; raise ConfigError with every error found."""
    (call,) = checked_call(kind, [EMBEDS[kind]], args, kwargs, {"folder": folder}, place)
    return Embed(kind, call, call.id or "", place)
