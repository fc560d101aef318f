"""The kind `interpolation`: from one sample to another and back, beside DDPM and DDIM."""

from __future__ import annotations

from sitegen.figures.base import FigureKind, sampler_in
from sitegen.figures.interpolation.spec import Interpolation
from sitegen.figures.interpolation.view import path_view

KIND = FigureKind("interpolation", Interpolation, sampler_in(__name__), path_view)
