"""Boxes of an MP4, made by hand: how large it is shown, and what is no MP4."""

from pathlib import Path

import pytest

from sitegen.media.mp4 import clip_faults, mp4_size
from tests.support.builders import box


def track(width: int, height: int, turned: bool = False) -> bytes:
    """A track of that size, turned by a quarter or not."""
    matrix = bytes(4) + (b"\1" if turned else b"\0") + bytes(31)
    sides = width.to_bytes(2, "big") + bytes(2) + height.to_bytes(2, "big") + bytes(2)
    return box(b"trak", box(b"tkhd", bytes(40), matrix, sides))


def test_size_is_the_first_track_s_that_has_one() -> None:
    """Sound has none; a clip that is turned is shown turned; sizes in 8 bytes are read."""
    start = box(b"ftyp", bytes(4))
    assert mp4_size(start + box(b"moov", track(0, 0), track(64, 48))) == (64, 48)
    turned = track(64, 48, turned=True)
    wide = b"\0\0\0\1moov" + (len(turned) + 16).to_bytes(8, "big") + turned
    assert mp4_size(start + wide) == (48, 64)
    assert mp4_size(start + box(b"moov", track(0, 0))) is None
    assert mp4_size(start + b"\0\0\0\0moov" + track(64, 48)) == (64, 48)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "is not an MP4"),
        (b"\0\0\0\7moov", "is not an MP4"),
        (box(b"moov", b""), "is not an MP4"),
        (box(b"mdat") + box(b"moov", box(b"trak")), "is not an MP4"),
        (box(b"moov", box(b"trak", box(b"mdia", box(b"hdlr", bytes(8), b"text")))) + box(b"mdat"),
         "has no pictures"),
    ],
)  # fmt: skip
def test_what_is_no_clip(tmp_path: Path, data: bytes, fault: str) -> None:
    """It is told in one line, whatever is in the file."""
    (tmp_path / "a.mp4").write_bytes(data)
    (told,) = clip_faults(tmp_path / "a.mp4")
    assert told.startswith(fault)
    assert mp4_size(data) is None
