"""Clips of few, small frames that are encoded soon, where the clip itself is not the claim."""

from importlib import import_module
from typing import Any

SHORTER: dict[str, Any] = {
    "sitegen.media.look.film.OPENING": 0.05,
    "sitegen.media.look.film.ENDING": 0.05,
    "sitegen.media.look.film.PRESET": "superfast",
    "sitegen.media.look.stills.QUALITIES": (95, 97),
    "sitegen.media.look.stills.METHOD": 0,
    "sitegen.media.look.stills.LOSSLESS_QUALITY": 0,
    "sitegen.figures.hierarchy.look.SECONDS": 0.4,
    "sitegen.figures.hierarchy.look.AT_FIRST": 0.05,
}
"""Constants of figures, which are part of their keys, and values that make short clips."""
SMALLER: dict[str, Any] = {
    **SHORTER,
    "sitegen.media.look.stills.WIDE_ENOUGH": 32,
    "sitegen.media.look.labels.PANEL": 48,
    "sitegen.media.look.labels.STRIP_WIDTH": 160,
    "sitegen.figures.hierarchy.look.WIDTH": 320,
}
"""The same constants, and values that make small pictures."""


def shorten() -> None:
    """Draw little for the rest of this process."""
    for name, value in SMALLER.items():
        module, _, constant = name.rpartition(".")
        setattr(import_module(module), constant, value)
