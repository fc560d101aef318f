"""`sample`: arrays and pictures as contracted, the same however many are asked for."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from sitegen.cli.main import cli
from sitegen.core.errors import ConfigError, PlatformError
from sitegen.generative.card.labels import LabelsConfig
from sitegen.generative.maths.noise import independent, initial_noise
from sitegen.generative.process.base import to_pixels
from sitegen.generative.process.protocol import reverse_process
from sitegen.media.frames import to_uint8
from sitegen.media.sheets import contact_cells, contact_size
from sitegen.models.registry import model_source
from sitegen.sampling import trajectory
from sitegen.sampling.export import (
    Request,
    check_output,
    draw_samples,
)
from sitegen.sampling.models import Sampler, load_sampler
from tests.support.builders import CPU, tree_hash
from tests.support.reporters import Silent
from tests.support.tinymodel import LEVELS, write_cascade, write_ddpm, write_model


@pytest.fixture(scope="module", params=[1, 3])
def sampler(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Sampler:
    """A tiny model, grey or in colour."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return load_sampler(model_source("tiny", write_model(folder, channels=request.param)), CPU)


def draw(sampler: Sampler, folder: Path, **wishes: Any) -> Mapping[str, NDArray[np.float32]]:
    """The arrays of a request."""
    path = draw_samples(sampler, Request(**wishes), folder / "x.npz", Silent())
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}


def test_ddpm(tmp_path: Path) -> None:
    """A DDPM's arrays are in [0, 1], as its process makes them; the command takes its folder."""
    folder = write_ddpm(tmp_path / "noise")
    sampler = load_sampler(model_source("noise", folder), CPU)
    arrays = draw(sampler, tmp_path, count=3, seed=7, trajectory=True)
    shape = sampler.card.shape
    x_K = initial_noise(7, range(3), shape)
    steps = list(reverse_process(sampler.model, x_K, independent(7, range(3), shape)))
    np.testing.assert_allclose(arrays["initial"], to_pixels(x_K), atol=1e-6)
    np.testing.assert_allclose(arrays["final"], to_pixels(steps[-1].mean), atol=1e-5)
    np.testing.assert_allclose(arrays["states"][1], to_pixels(steps[0].state), atol=1e-5)
    assert arrays["final"].min() >= 0
    assert arrays["final"].max() <= 1
    assert arrays["sampling_noise_std"] == 0
    with pytest.raises(ConfigError, match='the kind "ddpm" has none'):
        draw(sampler, tmp_path, count=1, sampling_noise_std=0.1)
    command = ["sample", str(write_ddpm(tmp_path / "noise")), "--count", "2"]
    done = CliRunner().invoke(cli, [*command, "--output", str(tmp_path / "x.npz")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "x.npz").exists()
    command += ["--data", str(tmp_path), "--output", str(tmp_path / "y.npz")]
    error = CliRunner().invoke(cli, command).exception
    assert isinstance(error, ConfigError)
    assert '--data: the kind "ddpm" has no prior' in str(error)


def test_arrays(sampler: Sampler, tmp_path: Path) -> None:
    """Arrays and pictures are as contracted; noise, seed and trajectory can be chosen."""
    arrays = draw(sampler, tmp_path, count=3, seed=7, trajectory=True)
    shape = sampler.card.shape
    wanted = {
        "final": (3, *shape), "initial": (3, *shape), "states": (LEVELS + 1, 3, *shape),
        "means": (LEVELS, 3, *shape), "levels": (LEVELS + 1,), "seed": (),
        "sampling_noise_std": ()
    }  # fmt: skip
    assert {name: array.shape for name, array in arrays.items()} == wanted
    floats = ("final", "initial", "states", "means")
    assert {arrays[name].dtype for name in floats} == {np.dtype(np.float32)}
    assert arrays["levels"].tolist() == [4, 3, 2, 1, 0]
    assert arrays["seed"] == 7
    assert arrays["sampling_noise_std"] == sampler.card.noise_std
    np.testing.assert_array_equal(arrays["states"][0], arrays["initial"])
    np.testing.assert_array_equal(arrays["means"][-1], arrays["final"])
    deviation = (arrays["states"][1:] - arrays["means"]).std()
    assert 0.5 < deviation / float(arrays["sampling_noise_std"]) < 1.5
    assert arrays["final"].min() < 0  # unclipped
    wishes = {"count": 2, "sampling_noise_std": 0.0, "seed": 2**63 - 1}
    whole = draw(sampler, tmp_path, trajectory=True, **wishes)
    assert (int(whole["seed"]), float(whole["sampling_noise_std"])) == (2**63 - 1, 0)
    np.testing.assert_array_equal(whole["states"][1:], whole["means"])
    ends = draw(sampler, tmp_path, **wishes)
    assert sorted(ends) == ["final", "initial", "sampling_noise_std", "seed"]
    for name, array in ends.items():
        np.testing.assert_array_equal(array, whole[name])
    tmp_path = tmp_path / "more"
    tmp_path.mkdir()
    report = Silent()
    draw_samples(sampler, Request(2, trajectory=True), tmp_path / "out", report)
    assert report.lines == [f"sampling 2: {LEVELS} steps"]
    arrays = draw(sampler, tmp_path, count=2, trajectory=True)
    states, final = arrays["states"], to_uint8(arrays["final"])
    for index in range(2):
        folder = tmp_path / "out" / f"sample-0-{index:05d}"
        assert len(list(folder.iterdir())) == LEVELS + 1
        for level in range(LEVELS + 1):
            picture = np.asarray(Image.open(folder / f"level-{level:04d}.png"))
            np.testing.assert_array_equal(picture, to_uint8(states[LEVELS - level])[index])
        picture = np.asarray(Image.open(folder.with_suffix(".png")))
        np.testing.assert_array_equal(picture, final[index])
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    tmp_path = tmp_path / "more"
    tmp_path.mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    draw_samples(sampler, Request(1), tmp_path, Silent())
    before = tree_hash(tmp_path)
    draw_samples(sampler, Request(1), tmp_path, Silent())
    assert tree_hash(tmp_path) == before


def test_sheet(sampler: Sampler, tmp_path: Path) -> None:
    """Every finished picture stands on the sheet, whole pixels, with ink for a number below it."""
    path, wanted = tmp_path / "sheet.png", Request(13, seed=5)
    draw_samples(sampler, wanted, path, Silent())
    assert [each.name for each in tmp_path.iterdir()] == ["sheet.png"]
    sheet = np.asarray(Image.open(path))
    side = sampler.card.image_size
    cells = contact_cells(13, side, side)
    assert (cells.columns, sheet.shape) == (10, (*contact_size(cells)[::-1], 3))
    finals = to_uint8(draw(sampler, tmp_path, count=13, seed=5)["final"])
    for at, final in enumerate(finals):
        left, top = cells.corners[at][0] + 24, cells.corners[at][1] + 72
        spot = sheet[top : top + cells.width, left : left + cells.width]
        factor = cells.width // side
        np.testing.assert_array_equal(spot[::factor, ::factor], final)
        below = sheet[top + cells.width : top + cells.height, left : left + cells.width]
        assert 20 < (below.min(2) < 128).sum() < 400
    heading = sheet[:72]
    assert (heading.min(2) < 128).sum() > 200


def test_sheets_that_cannot_be(sampler: Sampler, tmp_path: Path) -> None:
    """A sheet of thousands, and states on a sheet are refused before sampling."""
    for request, words in (
        (Request(20_000), "megapixels are the most"),
        (Request(2, trajectory=True), "shows no states"),
    ):
        report = Silent()
        with pytest.raises(ConfigError, match=words):
            draw_samples(sampler, request, tmp_path / "x.png", report)
        assert report.lines == []
    assert list(tmp_path.iterdir()) == []


def test_sheet_of_the_command(tmp_path: Path) -> None:
    """The command says where the sheet is and how to show what is chosen."""
    model = str(write_model(tmp_path / "tiny", channels=3))
    done = CliRunner().invoke(
        cli, ["sample", model, "--count", "3", "--seed", "4", "--output", f"{tmp_path}/s.png"]
    )
    assert done.exit_code == 0, done.output
    assert f"3 samples of tiny in {tmp_path}/s.png" in done.output
    assert '{{ trajectories("tiny", seed=4, samples=(…), chosen_from=3) }}' in done.output


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--labels", "owl", "--guidance", "1.5"], 'guidance=1.5, labels=["owl"]'),
        (["--labels", "owl,0"], "labels=(…)"),
        (["--sampling-noise-std", "0.02"], "sampling_noise_std=0.02"),
    ],
)
def test_arguments_of_a_sheet(options: list[str], arguments: str, tmp_path: Path) -> None:
    """The call that shows a choice has the options that decide the pictures of the sheet."""
    names = LabelsConfig(("cat", "dog", "owl"))
    model = str(write_model(tmp_path / "tiny", num_classes=4, norm_groups=8, labels=names))
    command = ["sample", model, "--count", "3", "--output", f"{tmp_path}/s.png", *options]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert f"samples=(…), chosen_from=3, {arguments}) }}}}" in done.output


def test_fewer_levels(tmp_path: Path) -> None:
    """A cascade's arrays and pictures are those of the levels that its card visits, chunked too."""
    source = model_source("tiny", write_cascade(tmp_path / "tiny"))
    sampler, report = load_sampler(source, CPU), Silent()
    arrays = draw(sampler, tmp_path, count=3, seed=7, trajectory=True)
    assert arrays["levels"].tolist() == [8, 6, 5, 3, 1, 0]
    assert (arrays["states"].shape, arrays["means"].shape) == ((6, 3, 1, 8, 8), (5, 3, 1, 8, 8))
    u_K, noise = sampler.start(7, range(3)), independent(7, range(3), (1, 8, 8))
    for place, step in enumerate(reverse_process(sampler.model, u_K, noise)):
        np.testing.assert_allclose(arrays["means"][place], step.mean, atol=1e-5)
    assert np.abs(arrays["states"][1:]).max() > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trajectory, "PIXELS_IN_PART", 2 * 8 * 8)
        chunked = draw(sampler, tmp_path, count=3, seed=7)
    np.testing.assert_allclose(chunked["final"], arrays["final"], atol=1e-5)
    draw_samples(sampler, Request(1, trajectory=True), tmp_path / "out", report)
    assert report.lines == ["sampling 1: 5 steps"]
    names = sorted(file.name for file in (tmp_path / "out/sample-0-00000").iterdir())
    assert names == [f"level-{level:04d}.png" for level in (0, 1, 3, 5, 6, 8)]


@pytest.mark.parametrize(
    ("name", "words"),
    [("there.txt", "is a file"), ("there.npz", "is a folder"), ("there.png", "is a folder")],
)  # fmt: skip
def test_output_that_cannot_be(tmp_path: Path, name: str, words: str) -> None:
    """A file for a folder, and a folder for a file."""
    (tmp_path / "there.txt").touch()
    (tmp_path / "there.npz").mkdir()
    (tmp_path / "there.png").mkdir()
    (tmp_path / "there.pt").mkdir()
    for good in ("x.npz", "x.NPZ", "out", "v1.2", "x.png", "there.pt"):
        check_output(tmp_path / good, Request(1))
    with pytest.raises(ConfigError, match=words):
        check_output(tmp_path / name, Request(1))


def test_output_is_checked_before_sampling(
    sampler: Sampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written is named before any step; a full disk leaves no part of a file."""
    (tmp_path / "file").touch()
    report = Silent()
    for name in ("x.npz", "out"):
        with pytest.raises(PlatformError, match=f"cannot write {tmp_path}/file"):
            draw_samples(sampler, Request(1), tmp_path / "file" / name, report)
    assert report.lines == []

    def fail(self: Path, data: bytes) -> None:
        self.touch()
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(PlatformError, match=r"sample-0-00000\.png: No space left"):
        draw_samples(sampler, Request(1), tmp_path / "out", Silent())
    assert not [*(tmp_path / "out").iterdir()]
