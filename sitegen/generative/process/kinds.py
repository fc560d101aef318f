"""The processes of sitegen, by the `kind` of a model card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from sitegen.core.compute import Precision
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.blurring import Blurring, BlurringModel
from sitegen.generative.process.cold import Cold, ColdModel
from sitegen.generative.process.ddpm import DiffusionModel
from sitegen.generative.process.diffusion import Ancestral
from sitegen.generative.process.dissipation import HeatDissipation
from sitegen.generative.process.edm import Consistency, ConsistencyModel, Edm, EdmModel
from sitegen.generative.process.flow import Flow, FlowModel
from sitegen.generative.process.heat import Statistics
from sitegen.generative.process.hosted import Hosted
from sitegen.generative.process.model import CardModel, Model
from sitegen.generative.process.protocol import GenerativeProcess, Starts
from sitegen.generative.process.sde import Score, ScoreModel

PROCESSES: dict[str, type[GenerativeProcess]] = {
    "ihdm": HeatDissipation,
    "ddpm": Ancestral,
    "flow": Flow,
    "edm": Edm,
    "consistency": Consistency,
    "sde": Score,
    "cold": Cold,
    "blurring": Blurring,
    "sampler": Hosted,
}
_MODELS: dict[str, type[CardModel]] = {
    "ihdm": Model,
    "ddpm": DiffusionModel,
    "flow": FlowModel,
    "edm": EdmModel,
    "consistency": ConsistencyModel,
    "sde": ScoreModel,
    "cold": ColdModel,
    "blurring": BlurringModel,
}


def new_model(
    card: ModelCard,
    networks: Sequence[nn.Module],
    statistics: Statistics | None = None,
    precision: Precision = "float32",
) -> CardModel:
    """Return the model of a card's kind."""
    return _MODELS[card.kind](card, networks, statistics, precision)


def process_of(model: Any, starts: Starts | None = None) -> GenerativeProcess:
    """Return the process of a loaded model; `starts` are of its prior, if it has one."""
    return PROCESSES[model.card.kind](model, starts=starts)
