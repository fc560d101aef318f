"""A model of the site as a sampler: its samples, its files, and what an image costs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from sitegen.core.errors import RefusedError, TargetError
from sitegen.figures.hierarchy import Hierarchy
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.tables import SamplerConfig
from sitegen.generative.process.protocol import GenerativeProcess, process_of
from sitegen.models.registry import ModelSource, model_source
from sitegen.sampling import trajectory
from sitegen.sampling.hosted import HostedModel
from sitegen.sampling.models import Sampler, load_sampler
from sitegen.sampling.provider import ModelProvider
from tests.support.builders import CPU
from tests.support.tinymodel import write_ddpm, write_flow, write_model


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The files of a tiny model."""
    return model_source("tiny", write_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def sampler(source: ModelSource) -> Sampler:
    """The tiny model."""
    return load_sampler(source, CPU)


def finals(sampler: Sampler, samples: Sequence[int], seed: int = 5) -> NDArray[np.float32]:
    """The finished images of some samples."""
    *_, last = sampler.begin(seed, samples, None).steps
    return last.mean.numpy()


@pytest.mark.parametrize("pixels", [40 * 28 * 28, 2 * 8 * 8])
def test_a_sample_is_the_same_picture_in_any_company(
    sampler: Sampler, pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, among 12, in chunks of 5, in any order, whatever the network's batch; no two alike."""
    whole = finals(sampler, range(12))
    monkeypatch.setattr(trajectory, "PIXELS_IN_PART", pixels)
    chunks = [finals(sampler, range(start, min(start + 5, 12))) for start in range(0, 12, 5)]
    scale = np.abs(whole).max()
    assert np.abs(np.concatenate(chunks) - whole).max() < 1e-5 * scale
    assert np.abs(finals(sampler, [7])[0] - whole[7]).max() < 1e-5 * scale
    assert np.abs(finals(sampler, [10, 2, 7])[2] - whole[7]).max() < 1e-5 * scale
    assert np.abs(finals(sampler, range(12)) - whole).max() < 1e-5 * scale
    assert np.abs(finals(sampler, range(12), seed=6) - whole).min(axis=0).max() > 0.01
    flat = whole.reshape(12, -1)
    assert (np.abs(flat[:, None] - flat[None]).max(-1) + np.eye(12)).min() > 0.01


@pytest.mark.parametrize("name", ["weights.safetensors", "prior.safetensors"])
@pytest.mark.parametrize("pinned", [False, True])
def test_damaged_file(tmp_path: Path, name: str, pinned: bool) -> None:
    """A cut file is refused by name, whether or not the card knows its digest."""
    model = write_model(tmp_path / "tiny", pinned=pinned)
    (model / name).write_bytes((model / name).read_bytes()[:-9])
    with pytest.raises(RefusedError, match=name):
        load_sampler(model_source("tiny", model), CPU)


@pytest.mark.parametrize("name", ["weights.safetensors", "prior.safetensors"])
def test_file_that_changes_while_it_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clip would carry the key of other bytes, so it is not made."""
    model = write_model(tmp_path / "tiny", pinned=False)
    other = write_model(tmp_path / "other", pinned=False, spoil=0.5)
    source = model_source("tiny", model)
    assert {source.weights_sha256, source.prior_sha256}  # as planning a build does
    replacement = (other / name).read_bytes()
    if name.startswith("prior"):
        replacement = replacement.replace(b"blots", b"BLOTS")
    (model / name).write_bytes(replacement)
    with pytest.raises(RefusedError, match=rf"{name}: changed while it was read"):
        load_sampler(source, CPU)


def test_provider(tmp_path: Path, sampler: Sampler, sources: dict[str, ModelSource]) -> None:
    """Each model is loaded once, as what it is; without a prior it is refused, or given one."""
    source = model_source("tiny", write_model(tmp_path / "tiny"))
    bare = replace(source, prior=None, card=replace(source.card, prior=None))
    with pytest.raises(RefusedError, match="no prior"):
        load_sampler(bare, CPU)
    assert load_sampler(bare, CPU, sampler.prior).prior is sampler.prior
    provider = ModelProvider(sources, CPU)
    assert provider.sampler("heat") is provider.sampler("heat")
    assert provider.sampler("noise") is provider.sampler("noise")
    assert provider.source("heat") is sources["heat"]
    noise = provider.sampler("noise")
    steps = list(noise.ddim(2).begin(0, [0]).steps)
    assert [step.level for step in steps][-1] == 0


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSource]:
    """A model and a DDPM."""
    folder = tmp_path_factory.mktemp("models")
    heat = model_source("heat", write_model(folder / "heat"))
    return {"heat": heat, "noise": model_source("noise", write_ddpm(folder / "noise"))}


@pytest.mark.parametrize(
    ("factor", "told"),
    [(0, r"not a picture: .* one value, 0\.5"), (1e6, "has values beyond ±")],
)
def test_advice_on_a_sampler_of_an_author(factor: float, told: str) -> None:
    """It has neither weights nor a card to check, and its numbers are only too large."""
    facts = SamplerConfig((0.0, 1.0), -1.0, 1.0)
    card: Any = ModelCard(8, 1, 1, kind="sampler", sampler=facts)

    def call(function: str, x: Any, *_: Any, **__: Any) -> list[Any]:
        return [x * (factor if function == "step" else 1)]

    sampler = Sampler(process_of(HostedModel(card, call)), "own")
    with pytest.raises(TargetError, match=rf"^own: .*{told}.*; check the steps of the sampler and"):
        finals(sampler, (0, 1))


@pytest.mark.parametrize("write", [write_model, write_flow])
def test_states_of_a_tree(
    write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--dry-run` counts the states of a tree, drawn once or noised on finished pictures."""
    source = model_source("tiny", write(tmp_path / "tiny"))
    sampler, states = load_sampler(source, CPU), list[int]()
    move = GenerativeProcess.move

    def counting(self: GenerativeProcess, level: int, below: int, x: Tensor, *more: Any) -> Any:
        states.append(len(x))
        return move(self, level, below, x, *more)

    monkeypatch.setattr(GenerativeProcess, "move", counting)
    tree = Hierarchy(model="tiny", leaves=4)
    for _ in sampler.tree(0, tree.splits_of(source.card)).seen("state"):
        pass
    assert sum(states) == tree.states(source.card)
