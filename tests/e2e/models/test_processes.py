"""Models of every other process become figures of one site, with nothing false on the page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sitegen.generative.process.blurring import BlurringConfig
from sitegen.generative.process.cold import ColdConfig
from sitegen.generative.process.edm import EdmConfig
from sitegen.generative.process.karras import NoiseLevels
from sitegen.generative.process.sde import SdeConfig
from tests.support.builders import page
from tests.support.forked import sitegen
from tests.support.tinymodel import write_ddpm, write_flow

CARDS: dict[str, dict[str, Any]] = {
    "edm": {"kind": "edm", "edm": EdmConfig()},
    "churn": {"kind": "edm", "edm": EdmConfig(churn=2.0)},
    "consistency": {"kind": "consistency", "edm": NoiseLevels(clip=True)},
    "score": {"kind": "sde", "sde": SdeConfig("vp", corrector_steps=1, beta_max=2.0)},
    "cold": {"kind": "cold", "cold": ColdConfig((0.1,), ((0.1,),), start_noise=0.01)},
    "blurring": {"kind": "blurring", "blurring": BlurringConfig(sigma_max=0.3, log_snr_min=-1.0)},
}
CALLS = (
    *(f'trajectories("{name}", count=2)' for name in CARDS),
    'trajectories("edm", count=2, show="final")',
    'shared_initial_state("edm", count=2, around=0.4)',
    'shared_initial_state("score", count=2)',
    'hierarchy("edm", leaves=2)',
    'hierarchy("consistency", leaves=2)',
    'interpolation("churn", points=3)',
    'shared_noise("churn", count=2)',
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with a tiny model of each process."""
    text = 'title = "Processes"\n[[authors]]\nname = "A. Author"\n'
    for name, changes in CARDS.items():
        write_ddpm(tmp_path / "models" / name, **{"diffusion": None, **changes})
        text += f'[models.{name}]\npath = "models/{name}"\n'
    write_flow(tmp_path / "models" / "flow")
    text += '[models.flow]\npath = "models/flow"\n'
    (tmp_path / "site.toml").write_text(text)
    return tmp_path


def build(site: Path, *calls: str, code: int = 0) -> str:
    """Build a page with some calls; what is printed."""
    page(site, *calls)
    return sitegen(site, "build", "--device", "cpu", code=code)


def test_figures_of_every_process(site: Path) -> None:
    """Axes, first states and captions are those of the process."""
    build(site, *CALLS)
    figures = json.loads((site / "build/media.json").read_text("utf-8"))["figures"]
    axes = {each["models"][0]["name"]: each["axis"] for each in figures}
    assert {name: axis["symbol"] for name, axis in axes.items()} == {
        "edm": "σ",
        "churn": "σ",
        "consistency": "σ",
        "score": "t",
        "cold": "t",
        "blurring": "t",
    }
    assert axes["edm"]["values"][0] == 0
    assert axes["edm"]["values"][-1] == 80
    alts = [each["alt"] for each in figures]
    assert "noise" in alts[0]
    assert "squares of one colour" in alts[4]
    assert "z′ of its own and θ = 0.4" in figures[7]["choice"]
    assert "begins from the finished picture of the first" in figures[9]["choice"]
    assert "begins from the finished picture" not in figures[10].get("choice", "")
    assert "each column begins from another initial state: noise" in alts[12]
    assert figures[12]["parameters"]["vary"] is None
    assert "ddim_steps" not in figures[11]["parameters"]
    assert "σ_B" not in (site / "build/index.html").read_text("utf-8")


def test_what_a_process_cannot_do_is_refused(site: Path) -> None:
    """The refusal names the ability, and the models of the site that have it."""
    calls = ('hierarchy("cold")', 'shared_noise("edm")', 'spectra("cold", show="mean")')
    told = build(site, *calls, 'sampler("edm")', code=2)
    assert "needs samples that split in two on their way, which the model cold" in told
    assert "needs randomness after the start" in told
    assert "needs a sampler for browsers" in told


def test_given_pictures_of_every_process(site: Path) -> None:
    """Each takes a picture to its levels, and back."""
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 3).save(site / "own.png")
    calls = [
        f'{kind}("{name}", image="own.png", {more})'
        for name in (*CARDS, "flow")
        for kind, more in (("process", "columns=2"), ("renoise", "levels=[1, 2], count=1"))
    ]
    calls += [
        f'interpolation("{name}", images=["own.png", "own.png"], level=2, points=3)'
        for name in (*CARDS, "flow")
    ]
    build(site, *calls)
    figures = json.loads((site / "build/media.json").read_text("utf-8"))["figures"]
    alts = {figure["id"]: figure["alt"] for figure in figures}
    assert "forward process, which takes an image to a square of one colour" in alts["cold-process"]
    assert "draws once from that picture taken to levels σ = " in alts["edm-renoise"]
    assert "draws once from that picture taken to levels t = " in alts["flow-renoise"]
    assert "a given picture changes into another" in alts["edm-interpolation"]
