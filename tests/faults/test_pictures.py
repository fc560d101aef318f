"""A picture's content never chooses a decoder that was not named."""

import io
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image

from sitegen.content.embeds import read_photo
from sitegen.core.errors import PlatformError, RefusedError
from sitegen.generative.data.images import image_side, read_picture
from sitegen.media.sheets import read_frame

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n%%EOF\n"


def test_no_picture_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript that calls itself a PNG is refused unopened, wherever a picture is read."""
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", shutil.which("false"))
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("it was started"))
    Image.init()
    path = tmp_path / "pic.png"
    path.write_bytes(EPS)
    for read in (read_picture, lambda _: image_side(tmp_path)):
        with pytest.raises(RefusedError, match="cannot be read as an image"):
            read(path)
    with pytest.raises(ValueError, match="no picture that browsers show"):
        read_photo(path)
    for of_a_store in (read_frame,):
        with pytest.raises(PlatformError, match=r"cannot read .*pic\.png: cannot identify"):
            of_a_store(path)


def test_pictures_that_claim_to_be_huge(tmp_path: Path) -> None:
    """A picture of a few bytes that says it has a thousand million pixels is told, not drawn."""
    picture = io.BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "PNG")
    data = bytearray(picture.getvalue())
    data[16:24] = struct.pack(">II", 40000, 40000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert _told(tmp_path / "pic.png", bytes(data)) == 2


def _told(path: Path, data: bytes) -> int:
    """Read a picture in all ways that there are; how many refused it."""
    path.write_bytes(data or b"x")
    refused = 0
    ways = ((read_picture, RefusedError), (read_photo, ValueError))
    for read, error in ways:
        try:
            read(path)
        except error:
            refused += 1
    return refused
