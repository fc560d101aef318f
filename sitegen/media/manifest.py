"""Media and the manifest: the border between what makes pictures and what shows them.

`Record` is what rendering a figure made, as the store keeps it; `Media` is a record placed on a
page; `Manifest` is all of them in page order, the text of `media.json`: sorted JSON, so that the
same values are the same bytes. Reading trusts nothing: whatever does not fit is a RefusedError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from sitegen.core.errors import RefusedError
from sitegen.core.files import reject_duplicate_keys

VERSION = 1
"""Version of `media.json` and of the records; raised when an old reader would misread a new one."""

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
if TYPE_CHECKING:
    _Object: TypeAlias = Mapping[str, JSON]
else:
    _Object = dict[str, Any]

T = TypeVar("T")
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _relative(path: str) -> str:
    """Refuse a path that does not name something inside its folder, whoever reads it."""
    if {"", ".", ".."} & set(path.split("/")) or re.search(r"[\\:?#\x00-\x1f]", path):
        raise ValueError("must be a relative path inside")
    return path


_Digest: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Size: TypeAlias = Annotated[int, Field(gt=0)]


@dataclass(frozen=True, config=_STRICT)
class MediaFile:
    """One encoded file: where it lies, what it weighs, what it shows. ValueError where it cannot.

    path: relative uri in the build folder, or a plain file name while in the store
    bytes, width, height: above 0, sizes in pixels
    sha256: of the content, 64 hexadecimal digits
    frames, fps: of a moving picture, None for a still one
    """

    path: Annotated[str, AfterValidator(_relative)]
    bytes: _Size
    sha256: _Digest
    width: _Size
    height: _Size
    frames: _Size | None = None
    fps: _Size | Annotated[float, Field(gt=0)] | None = None


@dataclass(frozen=True, config=_STRICT)
class ModelRef:
    """A model that a figure shows: its name and the sha256 of its checkpoint."""

    name: str
    sha256: _Digest


@dataclass(frozen=True, config=_STRICT)
class Record:
    """What rendering a figure made; the store keeps it under the key of the figure.

    parameters: JSON values with lists, not tuples, so that they come back equal
    levels: the level that each frame of the clip shows; empty for a figure that stands still
    files: "mp4", "gif" and "poster" of a clip, with "-dark" for dark pages; "image" of a
        still, and "narrow" for the column of a phone; …
    results: what was measured: "summary", a sentence, "tables" of "caption", "columns" and "rows"
    environment: what it was made with: device, precision, versions; decides nothing
    """

    kind: str
    models: tuple[ModelRef, ...]
    seed: int
    parameters: _Object
    levels: tuple[int, ...]
    files: Mapping[str, MediaFile]
    results: _Object = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, config=_STRICT)
class Media:
    """A record placed on a page, under an id and with the author's words.

    sigmas: the blur scale σ_B in pixels of each of the record's levels; empty where its model
        does not blur
    choice: that its samples were chosen, and from how many; empty where they were not
    """

    id: str
    page: str
    alt: str
    caption: str
    record: Record
    sigmas: tuple[int | float, ...] = ()
    choice: str = ""


@dataclass(frozen=True, config=_STRICT)
class Manifest:
    """Every figure of a site in page order; `media.json` in the build folder."""

    figures: tuple[Media, ...]

    def to_json(self) -> str:
        """The text of `media.json`. Raises ValueError for a value that JSON cannot hold."""
        figures = _MANIFEST.dump_python(self, exclude_defaults=True)["figures"]
        return _dump(
            {"version": VERSION, "figures": [each.pop("record") | each for each in figures]}
        )

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read `media.json`. Raises RefusedError if it is damaged or of a newer version."""
        return _read(
            _MANIFEST, text, "media.json is damaged: {}; run `sitegen build` to make it again"
        )


_RECORD, _MANIFEST = TypeAdapter(Record), TypeAdapter(Manifest)


def record_to_json(record: Record) -> str:
    """The text of a record. Raises ValueError for a value that JSON cannot hold."""
    return _dump({"version": VERSION, **_RECORD.dump_python(record, exclude_defaults=True)})


def record_from_json(text: str) -> Record:
    """Read a record. Raises RefusedError if it is damaged or of a newer version."""
    return _read(_RECORD, text, "a stored record is damaged: {}")


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _versioned(text: str) -> dict[str, Any]:
    """The top object of `text` without its version, which must be ours.

    It can be written again: no doubled keys, no NaN, no half characters.
    """
    try:
        top = json.loads(text, object_pairs_hook=reject_duplicate_keys)
        json.dumps(top, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    version = top.pop("version", None) if isinstance(top, dict) else None
    if type(version) is int and version > VERSION:
        raise RefusedError(
            f"this was written by a newer sitegen (format {version}, this one reads {VERSION}); "
            "upgrade sitegen"
        )
    if type(version) is not int or version != VERSION:
        raise ValueError(f"version {version!r:.40} must be {VERSION}")
    return dict(top)


def _read(kind: TypeAdapter[T], text: str, damaged: str) -> T:
    """Make a value out of JSON. Raises RefusedError with the first thing that is wrong."""
    try:
        top = _versioned(text)
        if kind is _MANIFEST and isinstance(top.get("figures"), list):
            top["figures"] = [_with_record(each) for each in top["figures"]]
        value = kind.validate_json(json.dumps(top))
        if kind.dump_python(value, mode="json", exclude_defaults=True) != top:
            raise ValueError("it holds null, or nothing, where a field should be left out")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}, not {first['input']!r:.40}"
        raise RefusedError(damaged.format(reason)) from None
    except ValueError as error:
        raise RefusedError(damaged.format(error)) from error
    return value


def _with_record(entry: Any) -> Any:
    """An entry of `media.json`, in which a record and its place lie flat, as a `Media` has them."""
    if not isinstance(entry, dict):
        return entry
    own = {"id", "page", "alt", "caption", "sigmas", "choice"} & entry.keys()
    return {name: entry.pop(name) for name in own} | {"record": entry}
