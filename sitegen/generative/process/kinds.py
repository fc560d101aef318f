"""The processes of sitegen, by the `kind` of a model card."""

from __future__ import annotations

from typing import Any

from sitegen.generative.process.diffusion import Ancestral
from sitegen.generative.process.dissipation import HeatDissipation
from sitegen.generative.process.protocol import GenerativeProcess, Starts

PROCESSES: dict[str, type[GenerativeProcess]] = {"ihdm": HeatDissipation, "ddpm": Ancestral}


def process_of(model: Any, starts: Starts | None = None) -> GenerativeProcess:
    """Return the process of a loaded model; `starts` are of its prior, if it has one."""
    return PROCESSES[model.card.kind](model, starts=starts)
