"""What is to be made of a figure: the border between sampling and encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitegen.media.manifest import MediaFile

if TYPE_CHECKING:
    from sitegen.media.encoder import ClipSpec
    from sitegen.media.frames import Frame


@dataclass(frozen=True)
class ClipSource:
    """A clip to be rendered: how to encode it, and its frames, uint8 (H, W, 3), made when taken.

    sampled: whether that takes sampling; if not, all of it was done by the work before
    """

    spec: ClipSpec
    frames: Iterator[Frame]
    sampled: bool = True


@dataclass(frozen=True)
class RenderJob:
    """A figure ready to be rendered.

    levels: the level that each frame of a clip shows; empty for a figure that stands still
    parameters: everything that the figure was made with, for the manifest
    steps, work: how much there is to compute before any frame, and the doing of it, a step a turn
    clips: "" the clip, "dark" its version for dark pages; rendered in this order, in turn
    stills: what is written when all that is done, by name: each into the folder that it is given
    results: what was measured, for the manifest; asked for in the end
    """

    levels: tuple[int, ...]
    parameters: Mapping[str, Any]
    clips: Mapping[str, ClipSource] = field(default_factory=dict)
    steps: int = 0
    work: Iterable[None] = ()
    stills: Mapping[str, Callable[[Path], MediaFile]] = field(default_factory=dict)
    results: Callable[[], Mapping[str, Any]] = dict

    @property
    def length(self) -> int:
        """How many steps of progress there are: frames of all clips, and the work beside."""
        return len(self.levels) * len(self.clips) + self.steps
