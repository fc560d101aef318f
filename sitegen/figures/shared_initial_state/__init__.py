"""The kind `shared_initial_state`: many samples that begin from one flat state."""

from __future__ import annotations

from sitegen.figures.base import FigureKind, sampler_in
from sitegen.figures.shared_initial_state.spec import SharedInitialState

KIND = FigureKind("shared_initial_state", SharedInitialState, sampler_in(__name__))
