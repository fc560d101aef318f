"""Pictures, videos, tables and HTML that the author adds to a page.

`{{ image("pictures/setup.png", alt="…") }}`, `{{ video("https://youtu.be/…") }}` and
`{{ table([["Ours", 2.1]], columns=["Method", "FID"]) }}` are called like figures, but nothing is
sampled for them, and media.json does not list them. A page reserves space for them, so pictures
are read for their size, and videos have a declared aspect. YouTube's player is embedded from an
address that sets no cookie before playback; Vimeo's accepts `dnt=1` (do not track). Both players
are loaded by a click and start immediately.
"""

import re
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree

from markupsafe import Markup
from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    StrictInt,
    StringConstraints,
    ValidationInfo,
)
from pydantic.dataclasses import dataclass as validated

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.site_files import OwnFile, SiteFolder, media_copy, read_own, video_fault
from sitegen.core.urls import web_url_fault
from sitegen.core.validation import Caption, Slug, Text, reject_with
from sitegen.figures.arguments import RULES
from sitegen.figures.base import checked_call

_SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "MPO": ".jpg",  # a phone's JPEG with a second image appended, which browsers ignore
    "WEBP": ".webp",
    "GIF": ".gif",
    "AVIF": ".avif",
}
_FORMATS = [name for name in _SUFFIXES if name != "MPO"]  # MPO is opened as JPEG
_ORIENTATION = 0x0112
_SIDEWAYS = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
_MOST_PIXELS = 80_000_000  # some browsers do not display larger pictures
_TOO_LARGE = f"has more than {_MOST_PIXELS // 1_000_000} million pixels; make it smaller"
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError),
    *(struct.error, SyntaxError, TypeError, ValueError),
)
"""Exceptions that Pillow raises for damaged pictures."""


@dataclass(frozen=True)
class Photo:
    """A picture to copy; width and height in pixels, as displayed by a browser."""

    file: OwnFile
    width: int
    height: int


def read_photo(path: Path) -> Photo:
    """Read one of the author's pictures; raise ValueError if a page cannot show it."""
    data = read_own(path)
    if path.suffix.lower() == ".svg":
        return Photo(media_copy(path, data, ".svg"), *_svg_size(data))
    from PIL import Image as pillow  # not needed for pages without pictures
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its size, which is checked below
            # Formats are named, since Pillow runs Ghostscript for PostScript, whatever a file's
            # suffix.
            with pillow.open(path, formats=_FORMATS) as image:
                # Browsers apply the EXIF orientation, except for WebP.
                sideways = image.format != "WEBP" and image.getexif().get(_ORIENTATION) in _SIDEWAYS
                width, height = image.size[::-1] if sideways else image.size
                suffix = _SUFFIXES[str(image.format)]
    except UnidentifiedImageError:
        raise ValueError(
            "is no picture that browsers show; save it as PNG, JPEG, WebP, GIF, AVIF or SVG"
        ) from None
    except pillow.DecompressionBombError:
        raise ValueError(_TOO_LARGE) from None
    except _DAMAGE as error:
        raise ValueError(f"is damaged: {error}; save it again") from error
    if width * height > _MOST_PIXELS:
        raise ValueError(_TOO_LARGE)
    return Photo(media_copy(path, data, suffix), width, height)


def _svg_size(data: bytes) -> tuple[int, int]:
    """Return the width and height of an SVG image in pixels: its own, or those of its view box."""
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ValueError(f"is not well-formed SVG: {error}") from None
    numbers = re.findall(r"[-+.\deE]+", root.get("viewBox", ""))
    sides = [root.get("width", ""), root.get("height", "")]
    if not all(re.fullmatch(r"[.\d]+(px)?", side) for side in sides):
        sides = numbers[2:4]
    try:
        width, height = (max(1, round(float(side.removesuffix("px")))) for side in sides)
    except (OverflowError, ValueError):
        raise ValueError("is SVG without a size; give it a viewBox") from None
    return width, height


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
    query = dict(parse_qsl(parts.fragment) + parse_qsl(parts.query))
    if host in {"youtube.com", "youtube-nocookie.com", "youtu.be"}:
        return _youtube(parts.path, query, short=host == "youtu.be")
    if host in {"vimeo.com", "player.vimeo.com"}:
        return _vimeo(parts.path, query)
    raise ValueError(
        "should be a video on YouTube or Vimeo, or a file in the site; to videos elsewhere write "
        "a link"
    )


def _youtube(path: str, query: Mapping[str, str], *, short: bool) -> Player:
    """Parse /watch?v=ID, /shorts/ID, /live/ID, /embed/ID, /v/ID, `short` /ID; `t` or `start`."""
    match = re.fullmatch(r"/(?:shorts|live|embed|v)/([^/]+)/?", path)
    name = path.strip("/") if short else match[1] if match else ""
    if path.rstrip("/") == "/watch" and not short:
        name = query.get("v", "")
    if not _YOUTUBE_ID.fullmatch(name):
        raise ValueError("names no video: https://youtu.be/ and 11 letters, digits, - and _")
    start = _seconds(query.get("t") or query.get("start") or "")
    # rel=0: at the end YouTube proposes videos of the same channel only.
    parameters = {"autoplay": "1", "rel": "0"} | ({"start": str(start)} if start else {})
    link = {"v": name} | ({"t": f"{start}s"} if start else {})
    page = f"https://www.youtube.com/watch?{urlencode(link)}"
    return Player("YouTube", YOUTUBE, f"{YOUTUBE}/embed/{name}?{urlencode(parameters)}", page)


def _vimeo(path: str, query: Mapping[str, str]) -> Player:
    """Parse vimeo.com/NUMBER, also below channels; /HASH or ?h=HASH marks an unlisted video."""
    match = _VIMEO_PATH.fullmatch(path)
    secret = (match[2] if match else None) or query.get("h", "")
    if match is None or not re.fullmatch(r"[0-9a-f]*", secret):
        raise ValueError("names no video: https://vimeo.com/ and a number")
    start = _seconds(query.get("t", ""))
    parameters = ({"h": secret} if secret else {}) | {"dnt": "1", "autoplay": "1"}
    at = f"#t={start}s" if start else ""
    page = f"https://vimeo.com/{match[1]}{f'/{secret}' if secret else ''}{at}"
    return Player("Vimeo", VIMEO, f"{VIMEO}/video/{match[1]}?{urlencode(parameters)}{at}", page)


def _seconds(text: str) -> int:
    """Return a time such as 90, 90s or 1h2m3s in seconds; 0 if empty or invalid."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"starts at {text[:20]!r}; write seconds as in t=90, or t=1m30s")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


_VIDEOS = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}


@dataclass(frozen=True)
class VideoFile:
    """A video to copy, and its MIME type."""

    file: OwnFile
    type: str


def read_video(path: Path) -> VideoFile:
    """Read one of the author's videos; raise ValueError if browsers do not play it."""
    suffix = path.suffix.lower()
    if suffix not in _VIDEOS:
        raise ValueError("is no MP4 or WebM video, which is what browsers play")
    data = read_own(path)
    if fault := video_fault(path, data):
        raise ValueError(fault)
    return VideoFile(media_copy(path, data, suffix), _VIDEOS[suffix])


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
    poster: _OwnPhoto | None = Field(
        default=None,
        description="The picture before it plays; on another host, the teaser's if not given.",
    )
    aspect: Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,4}:[1-9]\d{0,4}$")] = Field(
        default="16:9", description="Width and height of a file's pictures, as in 4:3."
    )


def read_html(path: Path) -> Markup:
    """Read a file of the author's HTML; raise ValueError if it is none."""
    if path.suffix.lower() != ".html":
        raise ValueError("should end with .html")
    try:
        return Markup(read_own(path).decode())
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None


@validated(frozen=True, config=RULES)
class RawHtmlCall:
    """The arguments of `raw_html(…)`."""

    file: Annotated[Markup, _read_by(read_html)] = Field(
        description="The file with HTML of your own, which stands in the page as it is."
    )
    caption: Caption = Field(default="", description="The words under it.")
    id: Slug | None = Field(default=None, description="Its name in links.")


_Cell = Annotated[
    Caption, BeforeValidator(lambda cell: str(cell) if type(cell) in (int, float) else cell)
]


_EVEN_ROWS = reject_with(
    lambda columns, info: next(
        (
            f"row {number} has {len(row)} cells for {len(columns)} columns"
            for number, row in enumerate(info.data.get("rows", ()), 1)
            if len(row) != len(columns)
        ),
        None,
    )
)


_EVEN_BEST = reject_with(
    lambda best, info: (
        f"has {len(best)} for {len(info.data['columns'])} columns; give one for each"
        if best and len(best) != len(info.data.get("columns", best))
        else None
    )
)
_FIRST_NUMBER = re.compile(r"[-+−]?\d[\d,]*(\.\d+)?")


def _bold_best(rows: Sequence[Sequence[str]], best: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return rows whose least or largest number of a column is bold, or all of them if equal."""
    table = [list(row) for row in rows]
    for column, which in enumerate(best):
        matches = {number: _FIRST_NUMBER.search(row[column]) for number, row in enumerate(rows)}
        values = {
            number: float(match[0].replace("−", "-").replace(",", ""))
            for number, match in matches.items()
            if match
        }
        for number, value in values.items():
            is_best = which and value == (min if which == "min" else max)(values.values())
            if is_best and "**" not in table[number][column]:
                table[number][column] = f"**{table[number][column]}**"
    return tuple(map(tuple, table))


@validated(frozen=True, config=RULES)
class TableCall:
    """The arguments of `table(…)`."""

    rows: tuple[tuple[_Cell, ...], ...] = Field(
        min_length=1, description='The cells, row by row, as in [["Ours", 2.1], ["DDPM", 2.4]].'
    )
    columns: Annotated[tuple[Caption, ...], _EVEN_ROWS] = Field(
        min_length=1, description="The headings of the columns."
    )
    best: Annotated[tuple[Literal["", "min", "max"], ...], _EVEN_BEST] = Field(
        default=(),
        description='The number in bold of each column, as in ["", "min", "max"]; "" for none.',
    )
    caption: Caption = Field(default="", description="The words under the table.")
    id: Slug | None = Field(default=None, description="The table's name in links.")


@dataclass(frozen=True)
class Embed:
    """A picture, video, table or HTML of the author; its id is "" until one is assigned.

    A video is on another host, with a player that is loaded by a click, or a file of the author.
    `caption` and `cells`, the rows of a table after its headings, are inline Markdown. A
    `teaser` is shown under the title.
    """

    kind: str
    call: ImageCall | VideoCall | TableCall | RawHtmlCall
    id: str
    place: SourceLocation
    caption: str = ""
    cells: tuple[tuple[str, ...], ...] = ()
    number: str = ""
    teaser: bool = False

    @property
    def numbered(self) -> bool:
        """Return whether it is numbered, as pictures and tables with a caption are."""
        return isinstance(self.call, ImageCall | TableCall) and bool(self.caption)

    @property
    def shape(self) -> tuple[int, int] | None:
        """Return the width and height of a picture, or of a video of the site in proportion."""
        match self.call:
            case ImageCall():
                return self.call.file.width, self.call.file.height
            case VideoCall(url=VideoFile()):
                width, height = map(int, self.call.aspect.split(":"))
                return width, height
        return None

    @property
    def files(self) -> tuple[OwnFile, ...]:
        """Return the files to copy for it."""
        parts = vars(self.call).values()
        return tuple(part.file for part in parts if isinstance(part, VideoFile | Photo))

    @property
    def base(self) -> str:
        """Return the default id, which is used if it is not taken."""
        if not isinstance(self.call, ImageCall):
            return self.kind.replace("_", "-")
        return f"image-{PurePosixPath(self.call.file.file.uri).stem[:-9]}"  # without the digest


EMBEDS: Mapping[str, type[Any]] = {
    "image": ImageCall,
    "video": VideoCall,
    "table": TableCall,
    "raw_html": RawHtmlCall,
}
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
    cells: tuple[tuple[str, ...], ...] = ()
    if isinstance(call, TableCall):
        cells = (call.columns, *_bold_best(call.rows, call.best))
    return Embed(kind, call, call.id or "", place, call.caption, cells)
