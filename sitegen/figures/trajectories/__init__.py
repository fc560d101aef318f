"""The kind `trajectories`: independent samples in a grid, from flat to sharp."""

from __future__ import annotations

from sitegen.figures.base import FigureKind, sampler_in
from sitegen.figures.trajectories.spec import Trajectories

KIND = FigureKind("trajectories", Trajectories, sampler_in(__name__))
