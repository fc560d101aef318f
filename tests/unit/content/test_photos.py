"""The author's pictures: every kind that browsers show, measured as they show it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from sitegen.content.embeds import read_photo
from sitegen.core.site_files import SiteFolder

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


def fault(folder: Path, data: bytes) -> str:
    """Why a picture with these bytes cannot be shown."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read(folder, data)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
def test_formats(tmp_path: Path, form: str) -> None:
    """A copy has the ending of what it is, whatever the author's file is called.

    A picture that is cut short is found before a reader sees half of it.
    """
    uri, width, height = read(tmp_path, picture(form), "Photo.xyz")
    assert uri.startswith("media/photo-")
    assert uri.endswith(FORMATS[form])
    assert (width, height) == (40, 20)
    data = picture(form, size=(90, 90))
    told = fault(tmp_path, data[: len(data) // 2])
    assert "is damaged" in told or "is no picture that browsers show" in told


def test_svg(tmp_path: Path) -> None:
    """An SVG is known by its content, with and without what may stand before it."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 4"/>'
    for before in ("", '<?xml version="1.0"?>\n', "<!-- a -->", "\ufeff", "\n"):
        uri, width, height = read(tmp_path, f"{before}{svg}".encode())
        assert (uri[-4:], width, height) == (".svg", 3, 4)
    assert "is SVG with <script>" in fault(tmp_path, svg.replace("/>", "><script/></svg>").encode())


def test_modes_and_several_in_one(tmp_path: Path) -> None:
    """Grey, transparent, 16 bit, CMYK; a phone's JPEG with another behind it; a GIF may move."""
    for mode in ("1", "LA", "P", "RGBA", "I;16", "CMYK"):
        made = picture("JPEG" if mode == "CMYK" else "PNG", mode)
        assert read(tmp_path, made)[1:] == (40, 20), mode
    for form, suffix in (("MPO", ".jpg"), ("GIF", ".gif")):
        data = io.BytesIO()
        first, second = (Image.new("RGB", (40, 20), colour) for colour in ("red", "blue"))
        first.save(data, form, save_all=True, append_images=[second])
        uri, width, height = read(tmp_path, data.getvalue())
        assert (uri[-4:], width, height) == (suffix, 40, 20)


def bomb(side: int) -> bytes:
    """A small PNG that says it is `side` pixels wide and high."""
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_refused(tmp_path: Path) -> None:
    """What browsers do not show; an absurd size before it is decoded, whatever Pillow thinks."""
    for form in ("BMP", "TIFF", "PDF"):
        data = io.BytesIO()
        Image.new("RGB", (40, 20)).save(data, form)
        assert "save it as PNG, JPEG, WebP, GIF, AVIF or SVG" in fault(tmp_path, data.getvalue())
    for side in (9_000, 50_000):
        told = fault(tmp_path, bomb(side))
        assert told == "has more than 80 million pixels; make it smaller"
