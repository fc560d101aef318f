"""States that something else has saved become recordings."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import read_card
from sitegen.generative.data.recording import Recording, open_recording
from sitegen.models import recordings
from sitegen.models.add import add_recording
from sitegen.models.recordings import is_recording, write_recording
from sitegen.record import record


def written(source: Path, folder: Path) -> tuple[Recording, tuple[str, ...]]:
    """The recording of what was saved, and the notes."""
    notes = write_recording(source, folder / "recording.npz")
    return open_recording(folder / "recording.npz"), notes


@pytest.mark.parametrize(
    ("low", "dtype", "ends"),
    [(-1, "float32", (-1, 1)), (-0.2, "float64", (0, 1)), (0, "uint8", None)],
)
def test_an_array_of_steps(tmp_path: Path, low: float, dtype: str, ends: Any) -> None:
    """Each (N, C, H, W) of an .npy is a step; a note says which range was assumed."""
    x = np.random.default_rng(0).uniform(low, 1, (5, 2, 3, 4, 4))
    x = (x * 255).astype(np.uint8) if dtype == "uint8" else x.astype(dtype)
    np.save(tmp_path / "a.npy", x.transpose(0, 1, 3, 4, 2) if low == -1 else x)
    recording, notes = written(tmp_path / "a.npy", tmp_path)
    assert (recording.levels, recording.shape) == (4, (3, 4, 4))
    first = next(recording.states("state", [0, 1]))
    black, white = ends or (0, 255)
    np.testing.assert_allclose(first, (x[0] - black) / (white - black), atol=1e-6)
    assert f"{black} is taken for black and {white} for white" in notes[0]


def test_an_npz_of_sample(tmp_path: Path) -> None:
    """States, means and levels of `sitegen sample --trajectory` become steps with their levels."""
    states = np.random.default_rng(0).random((3, 2, 1, 4, 4), np.float32)
    arrays: dict[str, Any] = {"states": states, "means": states[1:] / 2}
    np.savez(tmp_path / "a.npz", levels=np.array([4, 2, 0]), seed=np.array(7), **arrays)
    recording, _ = written(tmp_path / "a.npz", tmp_path)
    assert [step.value for step in recording.run.steps] == [4, 2, 0]
    assert (recording.run.seed, recording.config().shows) == (7, ("mean",))
    *_, last = recording.states("state", [1])
    np.testing.assert_allclose(last[0], states[2, 1] / 2)


@pytest.mark.parametrize("samples", [0, 2])
def test_folders_of_pictures(tmp_path: Path, samples: int) -> None:
    """A PNG for each step, or a folder for each step, in the order of their numbers."""
    folder = tmp_path / "steps"
    for step in (1, 2, 10):
        for sample in range(samples or 1):
            name = f"step-{step}/{sample}.png" if samples else f"step-{step}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4), 10 * step + sample, np.uint8)).save(folder / name)
    recording, _ = written(folder, tmp_path)
    assert recording.run.steps[0].count == (samples or 1)
    found = [round(float(each[0].mean()) * 255) for each in recording.states("state", [0])]
    assert found == [10, 20, 100]


@pytest.mark.parametrize("samples", [0, 2])
def test_pictures_of_sample(tmp_path: Path, samples: int) -> None:
    """Pictures of `sample --trajectory` begin with the highest level; its folders are samples."""
    for level in (0, 3, 10):
        for sample in range(samples or 1):
            path = tmp_path / "out" / (f"sample-0-{sample}" if samples else "")
            path.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(np.full((4, 4), 10 * level + sample, np.uint8))
            picture.save(path / f"level-{level:04d}.png")
    recording, notes = written(tmp_path / "out", tmp_path)
    assert notes == ("the pictures were read in the order of their levels, the highest first",)
    assert (recording.levels, recording.run.steps[0].count) == (2, samples or 1)
    found = [round(float(each[-1].mean()) * 255) for each in recording.states("state")]
    assert found == [each + max(samples - 1, 0) for each in (100, 30, 0)]


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other shapes, levels and seeds that do not fit, an empty folder, a pipe, and large steps."""
    monkeypatch.setattr(recordings, "LARGEST_ARRAY", 1 << 16)
    states, levels = np.zeros((3, 1, 1, 4, 4)), np.arange(3)
    np.save(tmp_path / "flat.npy", np.zeros((5, 4, 4)))
    np.savez(tmp_path / "short.npz", states=states, levels=np.arange(2))
    np.savez(tmp_path / "number.npz", states=np.zeros(()), levels=np.arange(1))
    np.savez(tmp_path / "means.npz", states=states, means=states[0], levels=levels)
    np.savez(tmp_path / "seeds.npz", states=states, levels=levels, seed=[1, 2])
    np.savez(tmp_path / "endless.npz", states=states, levels=levels, seed=np.inf)
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    np.savez_compressed(tmp_path / "packed.npz", states=np.zeros((2, 9, 1, 1024, 1024), bool))
    np.save(tmp_path / "large.npy", np.zeros((1, 257, 1, 8, 8), np.uint8))
    (tmp_path / "empty").mkdir()
    (tmp_path / "pipes").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "pipes/1.png")
    os.mkfifo(tmp_path / "pipes/2.png")
    for name, fault in {
        "flat.npy": r"has the shape \(5, 4, 4\)",
        "short.npz": "3 states and 2 levels",
        "number.npz": r"states has the shape \(\)",
        "means.npz": r"means has the shape \(1, 1, 4, 4\)",
        "seeds.npz": r"seed = \[1, 2\]: give one whole number",
        "endless.npz": r"seed = \[inf\]: give one whole number",
        "packed.npz": "would unpack to far more",
        "large.npy": "a step of the array takes 65,792 bytes",
        "pipes": "this is a pipe, not a picture",
        "other.npz": "neither a recording",
        "empty": "must hold a PNG for each step",
    }.items():
        with pytest.raises(RefusedError, match=fault):
            write_recording(tmp_path / name, tmp_path / "recording.npz")


def test_recordings_are_told_from_others(tmp_path: Path) -> None:
    """A file with run.json is a recording; a folder and other arrays are not."""
    with record(tmp_path / "a.npz") as rec:
        rec(0, np.zeros((1, 1, 4, 4)))
    np.savez(tmp_path / "b.npz", x=np.zeros(3))
    assert [is_recording(tmp_path / name) for name in ("a.npz", "b.npz", "")] == [
        True,
        False,
        False,
    ]


def test_a_recording_is_added_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An equal file changes nothing; another one changes its values alone, and notes stay."""
    monkeypatch.chdir(tmp_path)
    config, file, card = Path("site.toml"), Path("a.npz"), Path("models/a/model.toml")
    config.write_text('title = "T"\n')

    def write(steps: int) -> None:
        with record(file) as recording:
            for step in range(steps):
                recording(step, np.zeros((2, 1, 8, 8)))

    write(3)
    assert add_recording(config, "a", file, "small birds").entered
    text = '# mine\nknown_faults = ["grey"]\n' + card.read_text() + "\n[quality]\nfid = 2.5  # !\n"
    card.write_text(text)
    done = add_recording(config, "a", file)
    assert (done.files, done.notes, done.entered) == ((), ("nothing has changed",), False)
    assert card.read_text() == text
    write(5)
    done = add_recording(config, "a", file)
    changed = card.read_text()
    assert done.files == (card.absolute(),)
    assert any("are [quality] and known_faults still true" in note for note in done.notes)
    assert 'known_faults = ["grey"]' in changed
    assert "fid = 2.5  # !" in changed
    assert changed.startswith("# mine\n")
    found = read_card(card)
    assert (found.levels, found.subject, found.quality) == (4, "small birds", {"fid": 2.5})
    assert config.read_text().count("[models.a]") == 1
