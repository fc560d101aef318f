"""The kind `smoothness`: how even interpolations are, measured and drawn."""

from __future__ import annotations

from sitegen.figures.base import FigureKind, sampler_in
from sitegen.figures.smoothness.spec import Smoothness

KIND = FigureKind("smoothness", Smoothness, sampler_in(__name__))
