"""The kind `process`: heat melts an image above, a model makes a new one below."""

from __future__ import annotations

from sitegen.figures.base import FigureKind, sampler_in
from sitegen.figures.process.spec import Process

KIND = FigureKind("process", Process, sampler_in(__name__))
