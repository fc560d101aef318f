"""Render jobs: the interface between sampling and encoding."""

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
    """Clip to be rendered: its encoding, and its frames, uint8 (H, W, 3), produced on demand.

    sampled: whether producing frames includes sampling; if not, `work` has done it before
    """

    spec: ClipSpec
    frames: Iterator[Frame]
    sampled: bool = True


@dataclass(frozen=True)
class RenderJob:
    """Figure ready to be rendered.

    levels: the level of each frame of a clip that is drawn; empty for a still figure
    parameters: all parameters of the figure, for the manifest
    steps, work: number of computation steps before the first frame, and an iterator that does one
        step at a time
    clips: "" for the clip, "dark" for its version for dark pages, "narrow" and "narrow-dark" for
        the column of a phone; rendered in this order
    stills: functions that write still images into a folder, by name, called after the clips
    results: function that returns measurements for the manifest, called last
    """

    levels: tuple[int, ...]
    parameters: Mapping[str, Any]
    clips: Mapping[str, ClipSource] = field(default_factory=dict)
    steps: int = 0
    work: Iterable[None] = ()
    stills: Mapping[str, Callable[[Path], MediaFile]] = field(default_factory=dict)
    results: Callable[[], Mapping[str, Any]] = dict
