"""Videos of an author's own: MP4 and WebM, recognised and measured from their heads; no decoding.

MP4 is a tree of boxes, each a size, a name of four letters and content (ISO/IEC 14496-12); `tkhd`
ends with the size of a track. WebM is a tree of elements, each an id, a size and content (RFC
8794, RFC 9559); `PixelWidth` and `PixelHeight` stand in the track.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sitegen.ownfiles import Folder, OwnFile, content_name, own_file

_EBML, _SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_WIDTH, _HEIGHT = 0xB0, 0xBA
_LEFT_OUT = "is no MP4 or WebM video, which is what browsers play; encode it as one of them"


@dataclass(frozen=True)
class Film:
    """A video to be copied: its type for browsers, width and height in pixels."""

    file: OwnFile
    type: str
    width: int
    height: int


def read_film(folder: Folder, name: str) -> Film:
    """Read a video of the author's; ValueError says why a page cannot show it."""
    path, data = folder.read(name)
    if data[4:8] == b"ftyp":
        suffix, size = ".mp4", _mp4_size(data)
    elif data[:4] == _EBML.to_bytes(4, "big"):
        suffix, size = ".webm", _webm_size(data)
    else:
        raise ValueError(_LEFT_OUT)
    if size is None:
        raise ValueError("is damaged, or shows no pictures; encode it again")
    file = own_file(content_name(path, data, suffix), path, data)
    return Film(file, f"video/{suffix[1:]}", *size)


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
    for segment in _elements(data, _SEGMENT, 0, len(data)):
        for tracks in _elements(data, _TRACKS, *segment):
            for entry in _elements(data, _ENTRY, *tracks):
                for video in _elements(data, _VIDEO, *entry):
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
