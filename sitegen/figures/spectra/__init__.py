"""The kind `spectra`: power over frequency along the generation."""

from __future__ import annotations

from sitegen.figures.base import FigureKind, sampler_in
from sitegen.figures.spectra.spec import Spectra

KIND = FigureKind("spectra", Spectra, sampler_in(__name__))
