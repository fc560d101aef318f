"""The kind `shared_noise`: the same noises from different initial states."""

from __future__ import annotations

from sitegen.figures.base import FigureKind, sampler_in
from sitegen.figures.shared_noise.spec import SharedNoise

KIND = FigureKind("shared_noise", SharedNoise, sampler_in(__name__))
