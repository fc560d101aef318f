"""Published checkpoints, end to end: added with their preset, sampled, on a page.

The weights are random, but names, shapes and order are the published ones, as `test_unet.py` sees.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from sitegen.generative.card.card import preset
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.models.add import add_model
from sitegen.models.editing import update_card
from sitegen.models.options import AddOptions
from tests.support.builders import CPU, decode
from tests.support.making import published, save
from tests.support.reporters import Silent

PAGE = '{{ trajectories("recorded", count=1, show="mean") }}\n'


def test_from_published_checkpoint_to_page(reference: Path, tmp_path: Path) -> None:
    """It is known by its weights alone, and two levels of it are rendered in colour."""
    entry = json.loads((reference / "official_models.json").read_text())["cifar10"]
    file, config = tmp_path / "checkpoint_130.pth", tmp_path / "site.toml"
    save(published(preset("cifar10")), file)
    found = inspect_checkpoint(file)
    assert (found.presets, found.parameters) == (("cifar10",), entry["parameters"])
    assert (found.step, found.ema_tensors) == (4, len(entry["state_dict"]))
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.md").write_text(PAGE)
    config.write_text('title = "T"\n')
    added = add_model(config, "recorded", AddOptions(file, preset="cifar10"))
    assert update_card(added.files[-1], replace(added.card, levels=2))
    summary = build(config, BuildOptions(CPU), FigureRenderer, Silent())
    assert (summary.rendered, summary.approximate) == (("recorded-trajectories",), ("recorded",))
    (clip,) = (summary.output / "media").glob("*.mp4")
    frames = decode(clip)
    assert len(frames) == 1 + 3 + 2
    assert frames.shape[2] % added.card.image_size == 0
    assert frames[1].std((0, 1)).max() < 30  # flat
    assert np.abs(frames[-1].astype(int) - frames[1]).max() > 10
