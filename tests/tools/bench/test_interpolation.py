"""Interpolations measured: ghosts are even but not good, and the command tells it all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.classifier import classifier_for
from bench.interpolation import blend, main, measure
from bench.mnist import as_floats, read_dataset
from tests.support.tinymodel import on_one_thread, write_ddpm, write_model

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


def test_blend_is_even_and_made_of_ghosts(data_folder: Path, cache: Path) -> None:
    """A straight blend has peak and tortuosity 1; a jump has neither, but good images only; a way
    through a third class is foreign for as long as it is there.
    """
    data = read_dataset(data_folder)
    classifier = classifier_for(data, cache)
    images = as_floats(data.test_images)
    first, last = images[:20], images[20:40]
    jump = np.stack([first] * 3 + [last] * 3, axis=1)
    ghosts = measure(blend(jump), classifier)
    for even in (ghosts.peak, ghosts.tortuosity, ghosts.spread):
        assert even == pytest.approx(np.ones(20), abs=1e-3)
    sudden = measure(jump, classifier)
    assert sudden.peak == pytest.approx(np.full(20, 5))
    assert sudden.feature_peak == pytest.approx(np.full(20, 5))
    assert sudden.confident_share.mean() > 0.95
    assert sudden.foreign_share.max() == 0
    assert ghosts.confident_share.mean() < sudden.confident_share.mean()
    one, two, three = (images[data.test_labels == label][0] for label in range(3))
    found = measure(np.stack([one, three, three, two])[None], classifier)
    assert found.foreign_share.tolist() == [0.5]


def test_command(
    tmp_path: Path, data_folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """IHDM, the control and both baselines, with intervals and paired differences, twice alike;
    without a DDPM the model alone, and its control.
    """
    heat = write_model(tmp_path / "heat", image_size=28)
    noise = write_ddpm(tmp_path / "noise", image_size=28)
    asked = ["--data", str(data_folder), "--cache", str(cache), "--pairs", "3", "--points", "4"]
    for name in ("a.json", "b.json"):
        output = str(tmp_path / name)
        main([str(heat), str(noise), *asked, "--ddim-steps", "2", "--json", output])
    table = capsys.readouterr().out
    head = "| 3 pairs, 4 points | IHDM | blend | DDPM | DDIM | IHDM − DDPM | IHDM − DDIM |\n"
    assert table.startswith(head)
    assert "| confident share |" in table
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert numbers == json.loads((tmp_path / "b.json").read_text())
    assert set(numbers) == {"IHDM", "blend", "DDPM", "DDIM", "IHDM - DDPM", "IHDM - DDIM"}
    assert set(numbers["IHDM"]["peak"]) == {"median", "low", "high"}
    assert numbers["blend"]["peak"]["median"] == pytest.approx(1, abs=1e-3)
    main([str(heat), *asked])
    assert capsys.readouterr().out.startswith("| 3 pairs, 4 points | IHDM | blend |\n")
