"""Clips of few, small frames that are encoded soon, where the clip itself is not the claim."""

from importlib import import_module
from typing import Any

SHORTER: dict[str, Any] = {
    "sitegen.figures.atlas.sample.ENDING": 0.05,
    "sitegen.figures.atlas.sample.FRAMES": 4,
    "sitegen.figures.clips.OPENING": 0.05,
    "sitegen.figures.clips.ENDING": 0.05,
    "sitegen.figures.hierarchy.SECONDS": 0.4,
    "sitegen.media.encoder.AVIF_SPEED": 10,
    "sitegen.media.encoder.WEBP_METHOD": 0,
}
"""Constants of figures, and values that make short clips."""
SMALLER: dict[str, Any] = {**SHORTER, "sitegen.media.frames.WIDE_ENOUGH": 32}
"""The same constants, and values that make small pictures."""


def shorten() -> None:
    """Draw little for the rest of this process."""
    for name, value in SMALLER.items():
        module, _, constant = name.rpartition(".")
        setattr(import_module(module), constant, value)
