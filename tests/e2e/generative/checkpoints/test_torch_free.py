"""Checkpoints and the cards of other programs can be looked at where torch cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

from sitegen.generative.card.card import ModelCard
from tests.support.builders import run_python
from tests.support.making import convert
from tests.support.tinymodel import write_model
from tests.unit.generative.checkpoints.test_foreign import saved, spectral

CODE = """
import sys
sys.modules["torch"] = None
from pathlib import Path
import sitegen.ihdm
from sitegen.ihdm import BlurSchedule, ModelCard
from sitegen.generative.card.card import preset, presets
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.models.registry import model_source
assert [preset(name).to_toml() for name in presets()]
*carded, bare = map(Path, sys.argv[1:])
print(len([model_source("x", each).card.digest for each in carded]))
for each in (*carded, bare):
    inspect_checkpoint(each).to_text()
"""
EXPORT = """
import sys
sys.modules["torch"] = None
from pathlib import Path
from sitegen.generative.card.card import read_card
from sitegen.generative.checkpoints.browser import export_for_browser
folder = Path(sys.argv[1])
files = folder / "weights.safetensors", folder / "prior.safetensors"
print(len(export_for_browser(read_card(folder), *files).to_json()) > 0)
"""


def test_torch_is_not_needed(tiny: Path, tiny_card: ModelCard, tmp_path: Path) -> None:
    """Presets, ours, those of diffusers and of IHDM-spectral, and a published one."""
    ours, diffusers, other = (tmp_path / name for name in ("ours", "diffusers", "spectral"))
    for folder in (ours, diffusers, other):
        folder.mkdir()
    convert(tiny, tiny_card, ours)
    saved(diffusers)
    done = run_python("-c", CODE, *map(str, (ours, diffusers, spectral(other), tiny)))
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_a_model_goes_to_the_browser_without_torch(tmp_path: Path) -> None:
    """What a page's sampler needs of a model is made where torch cannot be imported."""
    command = [sys.executable, "-c", EXPORT, os.fspath(write_model(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
