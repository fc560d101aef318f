"""Media and the manifest: the border between what makes pictures and what shows them.

`Record` is what rendering a figure made, as the store keeps it; `Media` is a record placed on a
page; `Manifest` is all of them in page order, the text of `media.json`: sorted JSON, so that the
same values are the same bytes. Reading trusts nothing: whatever does not fit is a RefusedError.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from sitegen.core.errors import RefusedError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
_Object: TypeAlias = dict[str, object]
_T = TypeVar("_T")
VERSION = 1
"""Version of `media.json` and of the records; raised when an old reader would misread a new one."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class MediaFile:
    """One encoded file: where it lies, what it weighs, what it shows.

    path: relative uri in the build folder, or a plain file name while in the store
    bytes, width, height: above 0, sizes in pixels
    sha256: of the content, 64 hexadecimal digits
    frames, fps: of a moving picture, None for a still one
    """

    path: str
    bytes: int
    sha256: str
    width: int
    height: int
    frames: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where a field is out of its range."""
        _check(_is_relative(self.path), "path", self.path, "must be a relative path inside")
        _check(bool(_DIGEST.fullmatch(self.sha256)), "sha256", self.sha256, "must be 64 hex digits")
        for name in ("bytes", "width", "height", "frames", "fps"):
            value = getattr(self, name)
            valid = value is None or (value > 0 and math.isfinite(value))
            _check(valid, name, value, "must be above 0")


@dataclass(frozen=True)
class ModelRef:
    """A model that a figure shows: its name and the sha256 of its checkpoint."""

    name: str
    sha256: str

    def __post_init__(self) -> None:
        """Raise ValueError if the digest is none."""
        _check(bool(_DIGEST.fullmatch(self.sha256)), "sha256", self.sha256, "must be 64 hex digits")


@dataclass(frozen=True)
class Record:
    """What rendering a figure made; the store keeps it under the key of the figure.

    parameters: JSON values with lists, not tuples, so that they come back equal
    levels: the level that each frame of the clip shows; empty for a figure that stands still
    files: "mp4", "gif" and "poster" of a clip, with "-dark" for dark pages; "image" of a still; …
    results: what was measured: "summary", a sentence, "tables" of "caption", "columns" and "rows"
    environment: what it was made with: device, precision, versions; decides nothing
    """

    kind: str
    models: tuple[ModelRef, ...]
    seed: int
    parameters: Mapping[str, JSON]
    levels: tuple[int, ...]
    files: Mapping[str, MediaFile]
    results: Mapping[str, JSON] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Media:
    """A record placed on a page, under an id and with the author's words.

    sigmas: the blur scale σ_B in pixels of each of the record's levels; empty where its model
        does not blur
    """

    id: str
    page: str
    alt: str
    caption: str
    record: Record
    sigmas: tuple[float, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """Every figure of a site in page order; `media.json` in the build folder."""

    figures: tuple[Media, ...]

    def to_json(self) -> str:
        """The text of `media.json`. Raises ValueError for a value that JSON cannot hold."""
        return _dump({"version": VERSION, "figures": [_media_value(each) for each in self.figures]})

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read `media.json`. Raises RefusedError if it is damaged or of a newer version."""
        try:
            top = _versioned(text)
            figures = _items(_take(top, "figures", list))
            _nothing_left(top)
            return cls(tuple(_media(each) for each in figures))
        except ValueError as error:
            raise RefusedError(
                f"media.json is damaged: {error}; run `sitegen build` to make it again"
            ) from error


def record_to_json(record: Record) -> str:
    """The text of a record. Raises ValueError for a value that JSON cannot hold."""
    return _dump({"version": VERSION, **_record_value(record)})


def record_from_json(text: str) -> Record:
    """Read a record. Raises RefusedError if it is damaged or of a newer version."""
    try:
        top = _versioned(text)
        record = _record(top)
        _nothing_left(top)
        return record
    except ValueError as error:
        raise RefusedError(f"a stored record is damaged: {error}") from error


def _check(valid: bool, name: str, value: object, rule: str) -> None:
    if not valid:
        raise ValueError(f"{name} {value!r} {rule}")


def _is_relative(path: str) -> bool:
    """Whether `path` names something inside its folder, whoever reads it."""
    parts = path.split("/")
    return not ({"", ".", ".."} & set(parts)) and not re.search(r"[\\:?#\x00-\x1f]", path)


def _dump(value: JSON) -> str:
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _file_value(file: MediaFile) -> dict[str, JSON]:
    moving = {"frames": file.frames, "fps": file.fps}
    return {
        "path": file.path,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "width": file.width,
        "height": file.height,
        **{name: value for name, value in moving.items() if value is not None},
    }


def _record_value(record: Record) -> dict[str, JSON]:
    return {
        "kind": record.kind,
        "models": [{"name": each.name, "sha256": each.sha256} for each in record.models],
        "seed": record.seed,
        "parameters": record.parameters,
        "levels": list(record.levels),
        "files": {name: _file_value(file) for name, file in record.files.items()},
        **({"results": record.results} if record.results else {}),
        **({"environment": record.environment} if record.environment else {}),
    }


def _media_value(media: Media) -> dict[str, JSON]:
    words = {"id": media.id, "page": media.page, "alt": media.alt, "caption": media.caption}
    blur = {"sigmas": list(media.sigmas)} if media.sigmas else {}
    return {**_record_value(media.record), **words, **blur}


def _versioned(text: str) -> _Object:
    """The top object of `text` without its version, which must be ours."""
    top = _object(_parse(text))
    version = _take(top, "version", int)
    if version > VERSION:
        raise RefusedError(
            f"this was written by a newer sitegen (format {version}, this one reads {VERSION}); "
            "upgrade sitegen"
        )
    _check(version == VERSION, "version", version, f"must be {VERSION}")
    return top


def _parse(text: str) -> object:
    """Parse JSON that can be written again: no doubled keys, no NaN, no half characters."""
    try:
        value = json.loads(text, object_pairs_hook=_no_doubles)
        _dump(value).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _no_doubles(pairs: list[tuple[str, object]]) -> _Object:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key appears twice")
    return result


def _object(value: object) -> _Object:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.40} is not an object")
    return value


def _items(values: list[object]) -> list[_Object]:
    return [_object(each) for each in values]


def _take(entry: _Object, name: str, kind: type[_T]) -> _T:
    """Remove the field `name` from `entry` and return it; it must be there and of this kind."""
    if name not in entry:
        raise ValueError(f"{name!r} is missing")
    return _typed(entry.pop(name), kind, name)


def _maybe(entry: _Object, name: str, kind: type[_T]) -> _T | None:
    return _take(entry, name, kind) if name in entry else None


def _typed(value: object, kind: type[_T], name: str) -> _T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name!r} is {value!r:.40}, not of type {kind.__name__}")
    return value


def _nothing_left(entry: _Object) -> None:
    if entry:
        raise ValueError(f"unknown field {min(entry)!r}")


def _file(entry: _Object) -> MediaFile:
    file = MediaFile(
        path=_take(entry, "path", str),
        bytes=_take(entry, "bytes", int),
        sha256=_take(entry, "sha256", str),
        width=_take(entry, "width", int),
        height=_take(entry, "height", int),
        frames=_maybe(entry, "frames", int),
        fps=_number(entry.pop("fps"), "fps") if "fps" in entry else None,
    )
    _nothing_left(entry)
    return file


def _number(value: object, name: str) -> float:
    return value if isinstance(value, float) else _typed(value, int, name)


def _model(entry: _Object) -> ModelRef:
    model = ModelRef(_take(entry, "name", str), _take(entry, "sha256", str))
    _nothing_left(entry)
    return model


def _record(entry: _Object) -> Record:
    """Take the fields of a record out of `entry`."""
    files = _object(_take(entry, "files", dict))
    return Record(
        kind=_take(entry, "kind", str),
        models=tuple(_model(each) for each in _items(_take(entry, "models", list))),
        seed=_take(entry, "seed", int),
        parameters=_take(entry, "parameters", dict),
        levels=tuple(_typed(each, int, "levels") for each in _take(entry, "levels", list)),
        files={name: _file(_object(file)) for name, file in files.items()},
        results=_take(entry, "results", dict) if "results" in entry else {},
        environment=_environment(entry),
    )


def _environment(entry: _Object) -> Mapping[str, str]:
    values = _object(_take(entry, "environment", dict)) if "environment" in entry else {}
    return {name: _typed(value, str, name) for name, value in values.items()}


def _media(entry: _Object) -> Media:
    record = _record(entry)
    media = Media(
        id=_take(entry, "id", str),
        page=_take(entry, "page", str),
        alt=_take(entry, "alt", str),
        caption=_take(entry, "caption", str),
        record=record,
        sigmas=tuple(_number(each, "sigmas") for each in _maybe(entry, "sigmas", list) or ()),
    )
    _nothing_left(entry)
    return media
