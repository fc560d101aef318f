"""What a page shows beside its figures: pictures and videos that the author brings along.

`{{ image("pictures/setup.png", alt="…") }}` and `{{ video("https://youtu.be/…") }}` are called as
figures are, but nothing is sampled for them, and media.json does not list them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import Field, PlainValidator, StrictInt, ValidationInfo
from pydantic.dataclasses import dataclass as validated

from sitegen.content.photos import Photo, read_photo
from sitegen.content.video import Player, VideoFile, find_player, read_video
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.site_files import OwnFile, SiteFolder
from sitegen.core.validation import Caption, Slug, Text, checked_call
from sitegen.figures.base import RULES

_T = TypeVar("_T")


def _read_by(read: Callable[[SiteFolder, str], _T]) -> PlainValidator:
    """Make the validator that reads a file of the folder in pydantic's context."""

    def check(value: object, info: ValidationInfo) -> _T:
        if not isinstance(value, str):
            raise ValueError("should be the path of a file in quotes")
        return read((info.context or {})["folder"], str(value))

    return PlainValidator(check)


def _file_or_player(folder: SiteFolder, name: str) -> VideoFile | Player:
    return find_player(name) if re.match(r"[A-Za-z]+://", name) else read_video(folder, name)


Picture = Annotated[Photo, _read_by(read_photo)]


@validated(frozen=True, config=RULES)
class _ImageCall:
    """The arguments of `image(…)`."""

    file: Picture = Field(description="The picture, as a path from the folder of site.toml.")
    alt: Caption = Field(description='What is to be seen, in words; alt="" if it is decoration.')
    caption: Caption = Field(default="", description="The words under the picture.")
    id: Slug | None = Field(default=None, description="The picture's name in links.")
    width: StrictInt | None = Field(
        default=None, ge=1, le=4096, description="How wide it is shown at most, in pixels."
    )


@validated(frozen=True, config=RULES)
class _VideoCall:
    """The arguments of `video(…)`."""

    url: Annotated[VideoFile | Player, _read_by(_file_or_player)] = Field(
        description="A video on YouTube or Vimeo, or the path of an MP4 or WebM file."
    )
    title: Text = Field(default="Video", description="What the video is called.")
    caption: Caption = Field(default="", description="The words under the video.")
    id: Slug | None = Field(default=None, description="The video's name in links.")
    poster: Picture | None = Field(default=None, description="The picture before it plays.")


@dataclass(frozen=True)
class Image:
    """A picture in a place of its own; `width`, where given, is how wide it is shown, in pixels."""

    id: str
    photo: Photo
    alt: str
    caption: str
    width: int | None
    place: SourceLocation
    kind: str = "image"

    @property
    def files(self) -> tuple[OwnFile, ...]:
        """What is copied for it."""
        return (self.photo.file,)

    @property
    def base(self) -> str:
        """The id that it has if its author gives none, and if nothing else has it."""
        return f"image-{PurePosixPath(self.photo.file.uri).stem[:-9]}"  # without the digest


@dataclass(frozen=True)
class Embed:
    """A video: of another host, whose player comes with a click, or a file of the author's."""

    id: str
    video: Player | VideoFile
    title: str
    caption: str
    poster: Photo | None
    place: SourceLocation
    kind: str = "video"

    @property
    def files(self) -> tuple[OwnFile, ...]:
        """What is copied for it."""
        parts = (self.video, self.poster)
        return tuple(part.file for part in parts if isinstance(part, VideoFile | Photo))

    @property
    def base(self) -> str:
        """The id that it has if its author gives none, and if nothing else has it."""
        return "video"


EMBEDS: Mapping[str, type[Any]] = MappingProxyType({"image": _ImageCall, "video": _VideoCall})
"""What a call takes, by its name."""


def make_embed(
    kind: str,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    place: SourceLocation,
    folder: SiteFolder,
) -> Image | Embed:
    """Check a call and read its files; ConfigError tells everything that is wrong with it."""
    (call,) = checked_call(kind, [EMBEDS[kind]], args, kwargs, {"folder": folder}, place)
    name = call.id or ""
    if isinstance(call, _ImageCall):
        return Image(name, call.file, call.alt, call.caption, call.width, place)
    return Embed(name, call.url, call.title, call.caption, call.poster, place)
