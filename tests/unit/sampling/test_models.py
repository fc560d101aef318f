"""Models of a site: each loaded once, and checked against what is known of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.models.registry import ModelSource, model_source
from sitegen.sampling.models import ModelProvider, load_heat_sampler
from tests.support.builders import CPU
from tests.support.tinymodel import on_one_thread, write_ddpm, write_model

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSource]:
    """A model and a DDPM."""
    folder = tmp_path_factory.mktemp("models")
    heat = model_source("heat", write_model(folder / "heat"))
    return {"heat": heat, "noise": model_source("noise", write_ddpm(folder / "noise"))}


def test_provider(sources: dict[str, ModelSource]) -> None:
    """Each model is loaded once, as what it is; the other kind is refused, also afterwards."""
    provider = ModelProvider(sources, CPU)
    assert provider.heat_sampler("heat") is provider.heat_sampler("heat")
    assert provider.ddpm_sampler("noise") is provider.ddpm_sampler("noise")
    assert provider.source("heat") is sources["heat"]
    assert all(0 < provider.pace(name) < 1 for name in sources)
    with pytest.raises(ConfigError, match='of kind "ihdm", and this needs "ddpm"'):
        provider.ddpm_sampler("heat")
    sampler = provider.ddpm_sampler("noise")
    steps = list(sampler.ddim(sampler.initial_noise(0, [0]), 2).steps)
    assert [step.level for step in steps][-1] == 0


def test_changed_while_it_is_read(tmp_path: Path) -> None:
    """What was loaded must be what the figure's key says."""
    source = model_source("heat", write_model(tmp_path, pinned=False))
    assert source.weights_sha256
    write_model(tmp_path, pinned=False, spoil=1.0)
    with pytest.raises(RefusedError, match="changed while it was read"):
        load_heat_sampler(source, CPU)
