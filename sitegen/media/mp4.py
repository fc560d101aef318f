"""What of an MP4 file keeps browsers from playing it, read from its boxes; nothing is decoded.

A file is a row of boxes, each with its size and a name of four letters (ISO/IEC 14496-12). `moov`
is the index, and in it `stsd` names the codec of each track; `avcC` (ISO/IEC 14496-15) has the
profile and the pixel format of H.264.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LARGEST_INDEX = 64_000_000  # bytes
_PLAYED = frozenset({66, 77, 100})
_PROFILES = {
    66: "Baseline",
    77: "Main",
    88: "Extended",
    100: "High",
    110: "High 10",
    122: "High 4:2:2",
    244: "High 4:4:4",
}
_WIDE_PROFILES = frozenset({100, 110, 122, 144, 244})  # whose avcC tells the pixel format
_SUBSAMPLING = {0: "grey", 1: "yuv420p", 2: "yuv422p", 3: "yuv444p"}
_HEARD = frozenset({b"mp4a", b".mp3", b"Opus", b"fLaC"})
"""The sounds that browsers play: AAC, MP3, Opus and FLAC."""

_ENTRY = 78  # bytes of a picture's sample entry before its own boxes

_ENCODE = "encode it again: ffmpeg -i IN.mp4 -c:v libx264 -pix_fmt yuv420p -movflags +faststart"
_MOVE = "move it to the front: ffmpeg -i IN.mp4 -c copy -movflags +faststart OUT.mp4"

_SOUND = (
    "encode it again: ffmpeg -i IN.mp4 -c:v copy -c:a aac -movflags +faststart OUT.mp4, "
    "or with -an instead of -c:a aac to leave it out"
)


@dataclass(frozen=True)
class _Box:
    """A box by its name; `start` and `end` are those of its content."""

    kind: bytes
    start: int
    end: int


class _Damaged(Exception):
    """The boxes do not fit into each other."""


def clip_faults(path: Path) -> list[str]:
    """Say what keeps browsers from playing the clip at once, and what to do; empty if nothing.

    Raises OSError if the file cannot be read.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            boxes = list(_file_boxes(file, size))
            order = [box.kind for box in boxes]
            if b"moov" not in order or b"mdat" not in order:
                return [f"is no MP4, or is cut short; {_ENCODE} OUT.mp4"]
            late = order.index(b"moov") > order.index(b"mdat")
            faults = _index_faults(_index(file, boxes[order.index(b"moov")]))
    except _Damaged:
        return [f"is damaged or cut short; {_ENCODE} OUT.mp4"]
    return faults + ([f"has its index at the end, so that it plays late; {_MOVE}"] if late else [])


def _file_boxes(file: io.BufferedReader, size: int) -> Iterator[_Box]:
    """Walk over the boxes of a file without reading what is in them."""
    at = 0
    while at < size:
        file.seek(at)
        box = _box(file.read(16), at, size)
        yield box
        at = box.end


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    """Walk over the boxes in `data[start:end]`."""
    while start < end:
        box = _box(data[start : start + 16], start, end)
        yield box
        start = box.end


def _box(head: bytes, at: int, end: int) -> _Box:
    """Read the head of the box at `at`, which ends at `end` at the latest."""
    size, header = int.from_bytes(head[:4], "big"), 8
    if size == 1:
        size, header = int.from_bytes(head[8:16], "big"), 16
    size = size or end - at  # 0 says that the box is the last one
    if len(head) < header or size < header or at + size > end:
        raise _Damaged
    return _Box(head[4:8], at + header, at + size)


def _index(file: io.BufferedReader, box: _Box) -> bytes:
    if box.end - box.start > _LARGEST_INDEX:
        raise _Damaged
    file.seek(box.start)
    return file.read(box.end - box.start)


def _index_faults(moov: bytes) -> list[str]:
    """Look at each track that shows pictures, and at those of sound beside them."""
    tracks = list(_entries(moov))
    pictures = [(codec, entry) for handler, codec, entry in tracks if handler == b"vide"]
    if not pictures:
        return ["has no pictures; give a clip, or leave it out"]
    faults = [fault for codec, entry in pictures for fault in _track_faults(codec, entry)]
    sounds = dict.fromkeys(codec for handler, codec, _ in tracks if handler == b"soun")
    return faults + [_sound_fault(codec) for codec in sounds if codec not in _HEARD]


def _sound_fault(codec: bytes) -> str:
    name = codec.decode("ascii", "replace").strip()
    return f"has sound in {name}, which not every browser plays; {_SOUND}"


def _entries(moov: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Of each track of pictures or sound: which of them, the codec, and the sample entry."""
    for track in _boxes(moov, 0, len(moov)):
        if track.kind == b"trak":
            media = _inside(moov, track, b"mdia")
            at = _inside(moov, media, b"hdlr").start + 8
            handler = moov[at : at + 4]
            if handler in (b"vide", b"soun"):
                table = _inside(moov, _inside(moov, media, b"minf"), b"stbl")
                yield handler, *_first_entry(moov, _inside(moov, table, b"stsd"))


def _first_entry(moov: bytes, table: _Box) -> tuple[bytes, bytes]:
    entry = next(_boxes(moov, table.start + 8, table.end), None)
    if entry is None:
        raise _Damaged
    return entry.kind, moov[entry.start : entry.end]


def _inside(data: bytes, outer: _Box, kind: bytes) -> _Box:
    """Find the box of that name in another one."""
    found = (box for box in _boxes(data, outer.start, outer.end) if box.kind == kind)
    box = next(found, None)
    if box is None:
        raise _Damaged
    return box


def _track_faults(kind: bytes, entry: bytes) -> list[str]:
    """Say what is wrong with the codec, the pixel format and the size."""
    if kind not in (b"avc1", b"avc3"):
        codec = kind.decode("ascii", "replace")
        return [f"has the codec {codec}, and only H.264 (avc1) plays everywhere; {_ENCODE} OUT.mp4"]
    if len(entry) < _ENTRY:
        raise _Damaged
    setup = _inside(entry, _Box(kind, _ENTRY, len(entry)), b"avcC")
    faults = _format_faults(entry[setup.start : setup.end])
    width, height = (int.from_bytes(entry[at : at + 2], "big") for at in (24, 26))
    if width % 2 or height % 2 or not width or not height:
        faults.append(
            f"is {width}×{height}, and both sides must be even; cut or pad it: "
            "ffmpeg -i IN.mp4 -vf 'pad=ceil(iw/2)*2:ceil(ih/2)*2' OUT.mp4"
        )
    return faults


def _format_faults(setup: bytes) -> list[str]:
    """Say what is wrong with the profile and the pixel format that `avcC` tells."""
    if len(setup) < 7:
        raise _Damaged
    profile = setup[1]
    pixels = _pixels(setup) if profile in _WIDE_PROFILES else "yuv420p"
    if profile in _PLAYED and pixels == "yuv420p":
        return []
    known = _PROFILES.get(profile, str(profile))
    return [f"has H.264 {known} in {pixels}, which not every browser plays; {_ENCODE} OUT.mp4"]


def _pixels(setup: bytes) -> str:
    """The pixel format: it stands behind the parameter sets, and may be left out for High."""
    at = 6
    for count in (setup[5] & 31, None):
        if count is None:
            count, at = setup[at] if at < len(setup) else 0, at + 1
        for _ in range(count):
            at += 2 + int.from_bytes(setup[at : at + 2], "big")
    if at + 3 > len(setup):
        return "yuv420p" if setup[1] == 100 else "an unknown format"
    deep = 8 + max(setup[at + 1] & 7, setup[at + 2] & 7)
    return _SUBSAMPLING[setup[at] & 3] + (f"{deep}le" if deep > 8 else "")
