"""Class labels in a page's sampler: the pictures of sitegen, with guidance and between labels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitegen.generative.card.card import FileRef
from sitegen.generative.card.labels import Condition, LabelsConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.checkpoints.weights import prefixes, save_weights
from sitegen.generative.data.prior import PRIOR_NAME, make_prior, read_prior
from sitegen.generative.maths.noise import independent
from sitegen.generative.networks.construct import new_network
from sitegen.generative.process.protocol import process_of, run
from sitegen.generative.training import recipe
from sitegen.generative.training.loss import image_statistics
from sitegen.models.browser import export_for_browser, lacking
from tests.support.engine import decibels, difference, run_sampler
from tests.support.lessons import cascade_card
from tests.support.making import small_card
from tests.support.tinymodel import pictures

NAMES = ("cat", "dog", "owl")
DESCEND = """
const { seed, number, start, label, towards } = values;
const own = sampler();
const u_K = own.initialState(seed, number, start);
output("u_K", u_K);
for (const step of own.descend(u_K, own.noise(seed, number), { label, towards }))
  if (!step.level) output("final", step.state);
"""


def labelled(folder: Path) -> Path:
    """The folder of a random cascade with labels, and with those of its initial states."""
    folder.mkdir()
    card, images = recipe.with_labels(cascade_card(), NAMES), pictures(20)
    tensors = image_statistics(torch.from_numpy(images)).tensors()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for prefix, band in zip(prefixes(card), card.networks, strict=True):
            network = new_network(band, card.channels, card.image_size)
            for name, value in network.state_dict().items():
                scale = 2 if "label_emb" in name else 0.05
                tensors[prefix + name] = value + scale * torch.randn(value.shape)
    weights = save_weights(folder / "weights.safetensors", tensors, torch.float32, card)
    bank = make_prior(images, card, 20, "blots", np.arange(20) % 3).write(folder / PRIOR_NAME)
    card = replace(
        card,
        weights=FileRef("weights.safetensors", weights),
        prior=FileRef(PRIOR_NAME, bank),
    )
    (folder / "model.toml").write_text(card.to_toml())
    return folder


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        (None, {}),
        (Condition((2,)), {"start": 2, "label": [[2, 1]]}),
        (Condition((1,), 1.5), {"start": 1, "label": [[1, 1]], "towards": 1.5}),
        (
            Condition((1,), 0.5, (2,), (0.25,)),
            {"start": 1, "label": [[1, 0.75], [2, 0.25]], "towards": 0.5},
        ),
    ],
)
def test_pictures(condition: Condition | None, values: dict[str, Any], tmp_path: Path) -> None:
    """Start and picture of a sample without a label, with one, guided, and between two."""
    folder = labelled(tmp_path / "model")
    model = load_model(folder)
    card, prior = model.card, read_prior(folder / PRIOR_NAME, model.card)
    exported = export_for_browser(card, folder / "weights.safetensors", folder / PRIOR_NAME)
    assert exported.description["start_labels"] == list(prior.labels)
    found = run_sampler(tmp_path, exported, DESCEND, {"seed": 3, "number": 5, **values})
    process = replace(process_of(model), condition=condition)
    start = prior.initial_states(3, [5], condition.labels if condition else ())
    *_, last = run(process, start, independent(3, [5], card.shape))
    assert difference(found["u_K"], start) < 1e-5
    assert decibels(found["final"], last.mean) > 50


def test_a_model_that_needs_a_label() -> None:
    """A page's sampler draws without a label as well, so the model must."""
    labels = LabelsConfig(NAMES, optional=False)
    assert lacking(small_card(num_classes=3, labels=labels)) == ["labels that it cannot do without"]
    assert not lacking(small_card(num_classes=4, labels=LabelsConfig(NAMES)))
