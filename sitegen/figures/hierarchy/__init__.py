"""The kind `hierarchy`: a tree that grows out of one flat state, and where it splits."""

from __future__ import annotations

from sitegen.figures.base import FigureKind, sampler_in
from sitegen.figures.hierarchy.spec import Hierarchy
from sitegen.figures.hierarchy.view import tree_view

KIND = FigureKind("hierarchy", Hierarchy, sampler_in(__name__), tree_view)
