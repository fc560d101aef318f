"""Samples that begin at states of real images: what each band of a cascade costs."""

from pathlib import Path

import numpy as np
import pytest

from bench import bands
from tests.support.lessons import cascade_card, without_coarse
from tests.support.lessons import images as pictures
from tests.support.tinymodel import write_ddpm, write_model


def test_levels_where_bands_begin() -> None:
    """The highest that is visited of each band; one network is a band of all levels."""
    assert bands.highest_levels(cascade_card()) == [1, 3, 8]


def test_a_fine_level_keeps_its_images() -> None:
    """From a fine level a model finds back what it began at, in batches that change nothing."""
    model = without_coarse()
    images = (pictures(3).numpy() / 255).astype(np.float32)
    near, far = (
        np.concatenate(list(bands.drawn_from(model, images, level, 0)))
        for level in (1, model.card.levels)
    )
    assert np.abs(near - images).mean() < 0.5 * np.abs(far - images).mean()
    (alone,) = bands.drawn_from(model, images[:1], 1, 0)
    np.testing.assert_allclose(alone, near[:1], atol=1e-5)


def test_command(
    data_folder: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row for real images, and one for each band, with what is sure; a DDPM is refused."""
    model = write_model(tmp_path / "tiny", image_size=28)
    places = ["--data", str(data_folder), "--cache", str(cache), "--count", "20"]
    bands.main([str(model), *places])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| real images |")
    assert lines[3].startswith("| samples from level ")
    assert lines[0].endswith("| sure |")
    real, drawn = (float(line.split("|")[-2]) for line in lines[2:4])
    assert 0 <= drawn < real <= 1
    noise = write_ddpm(tmp_path / "noise", image_size=28)
    with pytest.raises(SystemExit, match="is not a model of heat dissipation"):
        bands.main([str(noise), *places])
