"""Media from the sampling of a figure to its page: what each stage hands to the next.

`RenderJob` is a figure to be sampled and encoded; `Record` is its stored result; `Media` is a
record placed on a page; `Manifest` lists all media in page order, and is stored as `media.json`.
The JSON of records and media is sorted, so equal values have equal bytes.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from sitegen.core.errors import RefusedError
from sitegen.core.files import readable_json
from sitegen.core.validation import reject_if

VERSION = 1
"""Version of `media.json` and records; incremented when old readers would misread new files."""

RECIPE = 3
"""Part of every figure's key; raised when a change of `media` changes bytes of clips."""

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Object: TypeAlias = Mapping[str, JSON]
else:
    _Object = dict[str, Any]

T = TypeVar("T")
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


RelativePath: TypeAlias = Annotated[
    str,
    reject_if(
        lambda path: (
            "must be a relative path inside"
            if {"", ".", ".."} & set(path.split("/")) or re.search(r"[\\:?#\x00-\x1f]", path)
            else None
        )
    ),
]
_Digest: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Size: TypeAlias = Annotated[int, Field(gt=0)]


@dataclass(frozen=True, config=_STRICT)
class MediaFile:
    """Encoded file: its path, size and content. Raises ValueError for invalid values.

    path: relative URI in the build folder, or a plain file name in the store
    bytes, width, height: above 0, sizes in pixels
    sha256: of the content, 64 hexadecimal digits
    frames, fps: of a clip; None for a still image
    """

    path: RelativePath
    bytes: _Size
    sha256: _Digest
    width: _Size
    height: _Size
    frames: _Size | None = None
    fps: _Size | Annotated[float, Field(gt=0)] | None = None


@dataclass(frozen=True, config=_STRICT)
class ModelRef:
    """Model that a figure shows: its name and the SHA-256 of its file; `what` that file is.

    uses: SHA-256 of the files that a sampler uses, such as its weights
    subject: what its samples show, in words; empty if the card does not say it
    """

    name: str
    sha256: _Digest
    what: Literal["checkpoint", "recording", "sampler"] = "checkpoint"
    uses: tuple[_Digest, ...] = ()
    subject: str = ""


@dataclass(frozen=True, config=_STRICT)
class TreeNode:
    """A picture of a tree in a clip.

    x, y: its upper left corner in pixels of the clip
    parent: the number of the node that it branches from; None for the root
    from_level, to_level: the levels between which it forms
    """

    x: int
    y: int
    parent: int | None
    from_level: int
    to_level: int


@dataclass(frozen=True, config=_STRICT)
class Cells:
    """Arrangement of the pictures in a clip, in pixels of the clip, whose `size` it decides.

    Cells of a grid are in rows, `gap` apart; those of a tree are its `nodes`. The page may draw
    them in another arrangement.

    count: number of cells
    width, height: of each, with its text
    strip, lines: the height of the text below each picture, and its lines
    columns: cells in a row of a grid; 0 for a tree
    together: whether the cells of a row belong together
    names: what the columns are called, if they differ in their method
    samples: number of the sample of each cell of a grid, or of each leaf of a tree; may be empty
    plain: whether a cell is that very sample, and not another state with its noise
    texts: the text at the lower end of each cell; may be empty
    """

    count: _Size
    width: _Size
    height: _Size
    columns: int = 0
    gap: int = 2
    together: bool = False
    names: tuple[str, ...] = ()
    samples: tuple[int, ...] = ()
    plain: bool = False
    texts: tuple[str, ...] = ()
    strip: Annotated[int, Field(ge=0)] = 0
    lines: _Size = 1
    nodes: tuple[TreeNode, ...] = ()

    @property
    def corners(self) -> list[tuple[int, int]]:
        """The upper left corner (x, y) of each cell."""
        if self.nodes:
            return [(node.x, node.y) for node in self.nodes]
        across, down = self.width + self.gap, self.height + self.gap
        places = (divmod(number, self.columns) for number in range(self.count))
        return [(column * across, row * down) for row, column in places]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the clip."""
        xs, ys = zip(*self.corners, strict=True)
        return max(xs) + self.width, max(ys) + self.height

    def enlarged(self, factor: Fraction | int) -> Cells:
        """Return the same arrangement with all sizes multiplied by a factor."""
        nodes = (replace(n, x=int(n.x * factor), y=int(n.y * factor)) for n in self.nodes)
        names = ("width", "height", "gap", "strip")
        sizes: dict[str, Any] = {name: int(getattr(self, name) * factor) for name in names}
        return replace(self, **sizes, nodes=tuple(nodes))


@dataclasses.dataclass(frozen=True)
class ClipSource:
    """A clip to be rendered.

    cells: where its pictures are, in pixels of the clip
    factor: power of two by which pictures are enlarged
    fps: frames per second
    order: the state that each frame shows, by its number in `states`
    states: the pictures of one state after the other, uint8 (N, H, W, 3), as large as the model
        makes them, produced on demand: of all cells, or of one generation of a tree
    smooth: whether pictures are enlarged smoothly, or each pixel as a square
    """

    cells: Cells
    factor: int
    fps: float
    order: tuple[int, ...]
    states: Iterable[NDArray[np.uint8]]
    smooth: bool = True


@dataclasses.dataclass(frozen=True)
class RenderJob:
    """A figure ready to be rendered.

    parameters: all parameters of the figure, for the manifest
    clip: its clip, if it has one
    levels: the level of each state of the clip; empty where its cells differ in level
    steps, work: number of computation steps before the first state, and an iterator that does one
        step at a time
    stills: functions that write still images into a folder, by name, called after the clip
    results: function that returns measurements for the manifest, called last
    note: sentence for the caption on how the samples were made; empty where that is as usual
    """

    parameters: Mapping[str, Any]
    clip: ClipSource | None = None
    levels: tuple[int, ...] = ()
    steps: int = 0
    work: Iterable[None] = ()
    stills: Mapping[str, Callable[[Path], MediaFile]] = field(default_factory=dict)
    results: Callable[[], Mapping[str, Any]] = dict
    note: str = ""


@dataclass(frozen=True, config=_STRICT)
class Record:
    """Result of rendering a figure, stored under the figure's key.

    parameters: JSON values with lists, not tuples, so that they survive a round trip unchanged
    levels: the level that each frame of the clip shows; empty for a still figure
    files: "mp4", "gif", "poster", "poster-webp" and "film" of a clip; "image" of a still, and
        "narrow" for the column of a phone; "poster", "model" and "weights" of a live model
    cells: where the pictures of a clip are
    seed: of all random numbers; None where there are none, or a recording does not say it
    results: measurements: "summary", a sentence, "tables" of "caption", "columns" and "rows"
    environment: device, precision and versions; they do not affect the key
    note: sentence on how the samples were made, where that is unusual
    """

    kind: str
    models: tuple[ModelRef, ...]
    seed: int | None
    parameters: _Object
    levels: tuple[int, ...]
    files: Mapping[str, MediaFile]
    cells: Cells | None = None
    results: _Object = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, config=_STRICT)
class MediaAxis:
    """What a viewer reads of a level: symbol and unit, and the values of the levels 0 … K."""

    symbol: str
    unit: str = ""
    values: tuple[int | float, ...] = ()


@dataclass(frozen=True, config=_STRICT)
class Media:
    """Record placed on a page, with an id and the author's words.

    axis: what a viewer reads of the levels of its first model
    choice: note that its samples were selected, and from how many, and on how they were made where
        that is unusual; empty otherwise
    """

    id: str
    page: str
    alt: str
    caption: str
    record: Record
    axis: MediaAxis | None = None
    choice: str = ""


@dataclass(frozen=True, config=_STRICT)
class Manifest:
    """All figures of a site in page order; `media.json` in the build folder."""

    figures: tuple[Media, ...]

    def to_json(self) -> str:
        """Return the text of `media.json`. Raises ValueError for values that are not JSON."""
        figures = _MANIFEST.dump_python(self, exclude_defaults=True)["figures"]
        flat = [figure.pop("record") | figure for figure in figures]
        return readable_json({"version": VERSION, "figures": flat})


_RECORD, _MANIFEST = TypeAdapter(Record), TypeAdapter(Manifest)


def record_to_json(record: Record) -> str:
    """Return the text of a record. Raises ValueError for values that are not JSON."""
    value = {"version": VERSION, **_RECORD.dump_python(record, exclude_defaults=True)}
    return readable_json(value)


def record_from_json(text: str) -> Record:
    """Parse a record. Raises RefusedError, with the first problem, if it is damaged or newer."""
    try:
        top = json.loads(text)
        version = top.pop("version", None) if isinstance(top, dict) else None
        # `True == 1` in Python, so the type is compared, too.
        if type(version) is not int or version != VERSION:
            raise ValueError(f"version {version!r:.40} must be {VERSION}")
        return _RECORD.validate_json(json.dumps(top))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        reason = f"{key}: {first['msg']}, not {first['input']!r:.40}"
        raise RefusedError(f"a stored record is damaged: {reason}") from None
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"a stored record is damaged: {error}") from error
