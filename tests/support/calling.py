"""Calls of figures without a page."""

from __future__ import annotations

from typing import Any

from sitegen.figures import base
from sitegen.figures.registry import figure_kind


def make_figure(kind: str, *call: Any, **more: Any) -> base.Figure:
    """Return the figure of a call of a kind, as a page makes it."""
    return base.make_figure(kind, figure_kind(kind), *call, **more)
