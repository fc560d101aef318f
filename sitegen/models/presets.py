"""What travels with the published configurations beside their cards: a prior for each.

A checkpoint holds no starts, and without them nothing can be sampled. For MNIST they are made of
its training images; for the others they are approximate, drawn from a model of natural images
(`bench/priors.py`), which their cards name as a fault.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sitegen.core.resources import resource
from sitegen.ihdm.card.card import ModelCard

APPROXIMATE = "Approximate prior:"
"""How a card's fault begins that says so."""


def preset_prior(name: str) -> Path:
    """The prior that travels with a preset."""
    return resource("presets") / f"{name}.safetensors"


def is_approximate(card: ModelCard) -> bool:
    """Whether the card says that its prior is not made of its training images."""
    return any(fault.startswith(APPROXIMATE) for fault in card.known_faults)


def measured(card: ModelCard) -> ModelCard:
    """The card as it is when its prior has been made of training images."""
    faults = (fault for fault in card.known_faults if not fault.startswith(APPROXIMATE))
    return replace(card, known_faults=tuple(faults))
