"""Flows and DDIM in the page's sampler against those of sitegen."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.checkpoints.weights import STATISTICS, save_weights
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.flow import Flow, FlowConfig
from sitegen.generative.process.protocol import process_of, run
from sitegen.generative.training.loss import image_statistics
from sitegen.models.browser import export_for_browser
from tests.support.engine import run_sampler
from tests.support.making import narrowed, random_unet, small_card

CLOSE = 1e-3
PROGRAM = """
const own = sampler();
const start = own.initialState(3n, 5);
output("start", start);
const steps = [...own.descend(start, own.noise(3n, 5))];
steps.forEach(({ state, sharp }, at) => {
  output(`state${at}`, state);
  output(`sharp${at}`, sharp);
});
output("middle", own.between(start, own.initialState(3n, 6), 0.25));
"""
LINEAR = DiffusionConfig("linear", 0.05, 0.6)
CARDS: dict[str, dict[str, Any]] = {
    "euler": {"kind": "flow", "flow": FlowConfig()},
    "midpoint": {"kind": "flow", "flow": FlowConfig("midpoint", 0, 1000.0)},
    "heun": {"kind": "flow", "flow": FlowConfig("heun", times=(0.0, 0.1, 0.3, 0.6, 1.0))},
    "flow of a ddpm": {"kind": "flow", "diffusion": DiffusionConfig("cosine")},
    "flow of velocity": {
        "kind": "flow",
        "diffusion": replace(LINEAR, prediction_type="v_prediction"),
    },
    "ddim": {"kind": "ddpm", "diffusion": replace(LINEAR, rescale_timesteps=True)},
    "ddim of images": {
        "kind": "ddpm",
        "diffusion": DiffusionConfig("sigmoid", prediction_type="sample", rederive_noise=True),
    },
    "ddim of clipped images": {
        "kind": "ddpm",
        "diffusion": replace(LINEAR, rederive_noise=True),
    },
    "ddim of velocity": {
        "kind": "ddpm",
        "diffusion": replace(LINEAR, prediction_type="v_prediction", clip_sample=False),
    },
}
GUIDANCE = {"flow": SamplingConfig(guidance=0.5), "ddpm": SamplingConfig(guidance=(0.5,))}
CARDS |= {
    f"guided {name}": {**values, "sampling": GUIDANCE[values["kind"]]}
    for name, values in CARDS.items()
}


def written(folder: Path, **changes: Any) -> tuple[ModelCard, Path]:
    """A card of a small colour model, and its weights."""
    options = {"channels": 3, "channel_mult": (1, 2), "levels": 4}
    card = small_card(**options, **changes)
    path = folder / "weights.safetensors"
    tensors = random_unet(card).state_dict()
    if card.has_statistics:
        images = np.random.default_rng(0).integers(0, 256, (9, *card.shape), np.uint8)
        tensors |= image_statistics(torch.from_numpy(images)).tensors()
    save_weights(path, tensors, torch.float32, card)
    return card, path


@pytest.mark.parametrize("name", CARDS)
def test_transitions_are_those_of_sitegen(name: str, tmp_path: Path) -> None:
    """Start, states and predicted images agree at every level, and so does a start between two."""
    card, path = written(tmp_path, **CARDS[name])
    process = process_of(load_model(path, card))
    if "ddim" in card.abilities:
        assert isinstance(card, Ddpm)
        implicit = replace(card.diffusion, sampler="ddim")
        process = replace(process, card=replace(card, diffusion=implicit))
    exported = export_for_browser(card, path, None, "float32")
    found = run_sampler(tmp_path, exported, PROGRAM)
    first, second = starts = process.start(3, [5, 6])

    def close(key: str, wanted: torch.Tensor, level: int) -> bool:
        pixels = process.pixels(wanted[None], level)[0].numpy().ravel()
        return bool(np.abs(found[key] - pixels).max() < CLOSE * max(1, np.abs(pixels).max()))

    assert close("start", first, card.levels)
    assert close("middle", process.between(first, second, 5)[1], card.levels)
    for at, step in enumerate(run(process, starts[:1], None)):
        assert close(f"state{at}", step.state[0], step.level)
        assert step.final is not None
        assert close(f"sharp{at}", step.final()[0], 0)


def test_statistics_go_with_guidance(tmp_path: Path) -> None:
    """A page does not load statistics that nothing uses."""
    card, path = written(tmp_path, **CARDS["guided euler"])
    guided = export_for_browser(card, path, None)
    without = export_for_browser(replace(narrowed(card, Flow), sampling=None), path, None)
    assert {*STATISTICS} <= guided.description["tensors"].keys()
    assert not {*STATISTICS} & without.description["tensors"].keys()


def test_cost_counts_evaluations(tmp_path: Path) -> None:
    """A step of Heun costs two evaluations, and a description needs no prior."""
    card, path = written(tmp_path, **CARDS["euler"])
    once = export_for_browser(card, path, None)
    heun = replace(narrowed(card, Flow), flow=FlowConfig("heun"))
    twice = export_for_browser(heun, path, None)
    assert math.isclose(twice.gflop, 2 * once.gflop)
    assert not {"sigmas", "parameterization"} & once.description.keys()
