"""Render jobs: the interface between sampling and encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitegen.media.manifest import Cells, MediaFile

if TYPE_CHECKING:
    from sitegen.media.frames import Frame


@dataclass(frozen=True)
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
    states: Iterable[Frame]
    smooth: bool = True


@dataclass(frozen=True)
class RenderJob:
    """A figure ready to be rendered.

    parameters: all parameters of the figure, for the manifest
    clip: its clip, if it has one
    levels: the level of each state of the clip
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

    @property
    def frame_levels(self) -> tuple[int, ...]:
        """The level of each frame of the clip."""
        return tuple(self.levels[number] for number in self.clip.order) if self.clip else ()
