"""Checks whether browsers can play an MP4 file, by its boxes; nothing is decoded.

A file is a sequence of boxes, each with its size and a name of four letters (ISO/IEC 14496-12).
`moov` is the index, and in it `stsd` names the codec of each track; `avcC` (ISO/IEC 14496-15) has
the profile and the pixel format of H.264.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

_Data: TypeAlias = bytes | mmap.mmap

_PLAYED = frozenset({66, 77, 100})
_PROFILES = {66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10"}
_PROFILES |= {122: "High 4:2:2", 244: "High 4:4:4"}
_WIDE_PROFILES = frozenset({100, 110, 122, 144, 244})  # whose avcC has the pixel format
_SUBSAMPLING = {0: "grey", 1: "yuv420p", 2: "yuv422p", 3: "yuv444p"}
_HEARD = frozenset({b"mp4a", b".mp3", b"Opus", b"fLaC"})
"""Audio codecs that browsers play: AAC, MP3, Opus and FLAC."""

_ENTRY = 78  # bytes of a video sample entry before its own boxes

_ENCODE = "encode it again: ffmpeg -i IN.mp4 -c:v libx264 -pix_fmt yuv420p -movflags +faststart"
_MOVE = "move it to the front: ffmpeg -i IN.mp4 -c copy -movflags +faststart OUT.mp4"

_SOUND = (
    "encode it again: ffmpeg -i IN.mp4 -c:v copy -c:a aac -movflags +faststart OUT.mp4, "
    "or with -an instead of -c:a aac to leave it out"
)


class _Box(NamedTuple):
    """Box with its name; `start` and `end` are those of its content."""

    kind: bytes
    start: int
    end: int


def clip_faults(path: Path) -> list[str]:
    """Return why browsers would not play the clip at once, with remedies; empty if they do.

    Raises OSError if the file cannot be read.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            boxes = list(_boxes(data, _Box(b"", 0, len(data))))
            kinds = [box.kind for box in boxes]
            late = kinds.index(b"moov") > kinds.index(b"mdat")
            faults = _index_faults(data, boxes[kinds.index(b"moov")])
    except ValueError:  # a box or byte is missing, or a box has a wrong size
        return [f"is not an MP4, or damaged or truncated; {_ENCODE} OUT.mp4"]
    return faults + ([f"has its index at the end, so that it starts late; {_MOVE}"] if late else [])


def mp4_size(data: bytes) -> tuple[int, int] | None:
    """Return the displayed width and height of the first track of an MP4 that has them."""
    try:
        for movie in _boxes(data, _Box(b"", 0, len(data)), b"moov"):
            for track in _boxes(data, movie, b"trak"):
                for _, start, end in _boxes(data, track, b"tkhd"):
                    matrix, sides = data[max(start, end - 44) : end - 8], data[end - 8 : end]
                    width, height = (int.from_bytes(sides[at : at + 2], "big") for at in (0, 4))
                    if len(matrix) == 36 and width and height:
                        return (height, width) if any(matrix[4:8]) else (width, height)
    except ValueError:
        pass
    return None


def _boxes(data: _Data, outer: _Box, kind: bytes | None = None) -> Iterator[_Box]:
    """Yield the boxes in another one, of all kinds or one, without reading their content."""
    _, start, end = outer
    while start < end:
        head = data[start : start + 16]
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        size = size or end - start  # 0 means that the box is the last one
        if len(head) < header or size < header or start + size > end:
            raise ValueError("the boxes do not fit into each other")
        if kind is None or head[4:8] == kind:
            yield _Box(head[4:8], start + header, start + size)
        start += size


def _inside(data: _Data, box: _Box, *kinds: bytes | None) -> _Box:
    """Return the first box of a name, or of any, in another one; then inside it the next name."""
    for kind in kinds:
        found = next(_boxes(data, box, kind), None)
        if found is None:
            raise ValueError("the boxes do not fit into each other")
        box = found
    return box


def _index_faults(data: _Data, movie: _Box) -> list[str]:
    """Check each video track, and the audio tracks of a file with video."""
    faults, pictures, sounds = [], 0, {}
    for track in _boxes(data, movie, b"trak"):
        media = _inside(data, track, b"mdia")
        at = _inside(data, media, b"hdlr").start + 8
        if (handler := data[at : at + 4]) in (b"vide", b"soun"):
            table = _inside(data, media, b"minf", b"stbl", b"stsd")
            entry = _inside(data, table._replace(start=table.start + 8), None)
            if handler == b"vide":
                pictures += 1
                faults += _track_faults(entry.kind, data[entry.start : entry.end])
            elif entry.kind not in _HEARD:
                name = entry.kind.decode("ascii", "replace").strip()
                sounds[name] = f"has sound in {name}, which not every browser plays; {_SOUND}"
    if not pictures:
        return ["has no pictures; give a clip, or leave it out"]
    return [*faults, *sounds.values()]


def _track_faults(kind: bytes, entry: bytes) -> list[str]:
    if kind not in (b"avc1", b"avc3"):
        codec = kind.decode("ascii", "replace")
        return [f"has the codec {codec}; only H.264 (avc1) plays everywhere; {_ENCODE} OUT.mp4"]
    if len(entry) < _ENTRY:
        raise ValueError("a box is too short")
    _, start, end = _inside(entry, _Box(kind, _ENTRY, len(entry)), b"avcC")
    faults = _format_faults(entry[start:end])
    width, height = (int.from_bytes(entry[at : at + 2], "big") for at in (24, 26))
    if width % 2 or height % 2 or not width or not height:
        faults.append(
            f"is {width}×{height}, and both sides must be even; cut or pad it: "
            "ffmpeg -i IN.mp4 -vf 'pad=ceil(iw/2)*2:ceil(ih/2)*2' OUT.mp4"
        )
    return faults


def _format_faults(setup: bytes) -> list[str]:
    if len(setup) < 7:
        raise ValueError("a box is too short")
    profile = setup[1]
    pixels = _pixels(setup) if profile in _WIDE_PROFILES else "yuv420p"
    if profile in _PLAYED and pixels == "yuv420p":
        return []
    known = _PROFILES.get(profile, str(profile))
    return [f"has H.264 {known} in {pixels}, which not every browser plays; {_ENCODE} OUT.mp4"]


def _pixels(setup: bytes) -> str:
    """Return the pixel format, which follows the parameter sets, and is optional for High."""
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
