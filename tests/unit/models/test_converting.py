"""Byte weights of published checkpoints, for the sampler in a page."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sitegen.cli.main import cli
from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import read_card
from sitegen.models.add import AddResult, add_model, add_named
from sitegen.models.browser import export_for_browser
from sitegen.models.converting import byte_weights, require_fit
from sitegen.models.options import AddOptions
from sitegen.models.registry import find_model
from tests.support.adding import CONFIG, SITE, TOLD, draw
from tests.support.making import small_card
from tests.support.paths import TESTS
from tests.support.tinymodel import write_ddpm, write_flow, write_model

TINY = TESTS / "reference" / "tiny" / "checkpoint.pth"


@pytest.fixture(autouse=True)
def site(tmp_path: Path) -> Iterator[None]:
    """A site with nothing but a small model, in the working folder."""
    with contextlib.chdir(tmp_path):
        Path("pages").mkdir()
        Path("pages/index.md").write_text("Words.\n")
        CONFIG.write_text(SITE)
        write_model(Path("models/tiny"))
        yield


def added(**more: Any) -> AddResult:
    """Add the published tiny checkpoint."""
    data = draw(Path("digits"), size=28, channels=1)
    return add_model(CONFIG, "digits", AddOptions(TINY, data=data, **TOLD), **more)


def test_published_checkpoint_gets_a_sampler() -> None:
    """`add --sampler` copies it into the site as bytes, which a page can fetch, with its prior."""
    result = added(sampler=True)
    assert "in a page: 310 kB to fetch, 1.7 GFLOP a sample; weights" in result.notes[-1]
    assert [path.name for path in result.files] == [
        "example.png",
        "prior.safetensors",
        "weights.safetensors",
        "model.toml",
    ]
    assert 'path = "models/digits"' in CONFIG.read_text()
    source = find_model("digits", None, CONFIG)
    assert source.prior is not None
    exported = export_for_browser(source.card, source.weights, source.prior)
    assert exported.size < TINY.stat().st_size / 10


def test_too_heavy_by_how_much() -> None:
    """What a page cannot run is refused before anything is written, with how far it is off."""
    odd = small_card(use_scale_shift_norm=True)
    with pytest.raises(RefusedError, match="has use_scale_shift_norm, which the sampler in a"):
        require_fit("odd", odd)
    before = CONFIG.read_text()
    data = draw(Path("pictures"), size=28, channels=1)
    heavy = AddOptions(TINY, data=data, **{**TOLD, "levels": 1000})
    with pytest.raises(RefusedError, match=r"GFLOP a sample, .* times the limit of 60 GFLOP;"):
        add_model(CONFIG, "digits", heavy, sampler=True)
    assert CONFIG.read_text() == before
    assert not Path("models/digits").exists()


def test_a_run_is_found_by_its_name() -> None:
    """`sitegen add NAME` enters what `sitegen train NAME` wrote, before a shipped model."""
    write_model(Path("runs/faces"))
    found = add_named(CONFIG, "faces")
    assert found.card.image_size == read_card(Path("runs/faces")).image_size
    assert 'path = "runs/faces"' in CONFIG.read_text()
    write_model(Path("runs/told"))
    data = draw(Path("pictures"), size=8, channels=1)
    done = CliRunner().invoke(cli, ["add", "told", "--data", str(data)])
    assert done.exit_code == 0, done.output
    assert 'path = "runs/told"\ncard = "models/told/model.toml"' in CONFIG.read_text()
    write_flow(Path("runs/flow"))
    done = CliRunner().invoke(cli, ["add", "flow", "--data", str(data)])
    assert '--data: the kind "flow" has no prior to make; leave it out' in str(done.exception)
    write_model(Path("runs/again"))
    card = add_named(CONFIG, "again", sampler=True).files[-1]
    assert card == Path("models/again/model.toml").absolute()


@pytest.mark.parametrize("write", [write_ddpm, write_flow])
def test_kinds_without_a_prior(write: Callable[[Path], Path]) -> None:
    """A DDPM or a flow begins from noise, so its copy has no prior; its output hardly changes."""
    folder = write(Path("runs/noise"))
    (target := Path("copy")).mkdir()
    converted = byte_weights("noise", folder / "weights.safetensors", read_card(folder), target)
    assert converted.card.prior is None
    assert 0 < converted.change < 0.1
