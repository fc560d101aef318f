"""The sampler of a page is made of a model's own files, and its poster of real samples."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sitegen.core.errors import RefusedError
from sitegen.figures.clips import displayed
from sitegen.media.frames import to_uint8
from sitegen.media.manifest import Cells
from sitegen.models import browser as module
from sitegen.models.browser import export_for_browser
from sitegen.sampling.models import Sampler
from tests.support.pictures import cut_out, decibels
from tests.support.tinyfigures import SIDE, Sources, job


def test_files(sources: Sources, sampler: Sampler, tmp_path: Path) -> None:
    """The description and the numbers are those of an export; the poster shows the samples."""
    made = job(sources, "sampler", count=3, seed=4)
    assert sum(1 for _ in made.work) == made.steps
    files = {name: draw(tmp_path) for name, draw in made.stills.items()}
    source = sources["tiny"]
    assert source.prior is not None
    model = export_for_browser(source.card, source.weights, source.prior)
    assert (tmp_path / files["weights"].path).read_bytes() == model.data
    assert json.loads((tmp_path / files["model"].path).read_text()) == json.loads(model.to_json())
    assert files["model"].width == SIDE
    assert json.loads(json.dumps(made.parameters)) == made.parameters
    assert made.parameters["seed"] == 4
    (noted,) = made.parameters["choices"]
    assert noted["gflop"] == pytest.approx(model.gflop, rel=0.01)
    *_, last = displayed(sampler.begin(4, range(3), None), "mean")
    with Image.open(tmp_path / files["poster"].path) as picture:
        found = np.asarray(picture.convert("RGB"))
    factor = found.shape[1] // (2 * SIDE)
    cells = Cells(3, SIDE, SIDE, 2, 0).enlarged(factor)
    assert decibels(cut_out(found, cells, factor), to_uint8(last)) >= 35


def test_several(sources: Sources, tmp_path: Path) -> None:
    """Every model has its files and its poster, under names that go on counting."""
    made = job(sources, "sampler", count=1, also=("deep", "cascade"))
    assert sum(1 for _ in made.work) == made.steps
    files = {name: draw(tmp_path) for name, draw in made.stills.items()}
    kinds = ("poster", "poster-webp", "model", "weights")
    assert list(files) == [f"{kind}{end}" for end in ("", "-2", "-3") for kind in kinds]
    assert len({file.path for file in files.values()}) == 12
    for ending, name in (("", "tiny"), ("-2", "deep"), ("-3", "cascade")):
        path = tmp_path / files[f"model{ending}"].path
        assert path.name == f"{name}-model.json"
        assert json.loads(path.read_text())["levels"] == sources[name].card.levels


def test_heavy_models_are_refused_at_once(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sampled, and by the name of the model."""
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(RefusedError, match="the model tiny is too heavy for a page"):
        job(sources, "sampler")
