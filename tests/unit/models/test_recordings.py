"""Recordings as models of a site."""

from pathlib import Path

import numpy as np
import pytest

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import read_card
from sitegen.models.add import add_recording
from sitegen.record import record


def test_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays and folders are refused with the lines that make a recording of them."""
    monkeypatch.chdir(tmp_path)
    Path("site.toml").write_text('title = "T"\n')
    np.save("a.npy", np.zeros((3, 1, 1, 4, 4)))
    np.savez("b.npz", states=np.zeros((3, 1, 1, 4, 4)))
    Path("c").mkdir()
    for name in ("a.npy", "b.npz", "c"):
        with pytest.raises(RefusedError, match=rf"{name}: .*as rec: rec.scan\(values, states\)"):
            add_recording(Path("site.toml"), "a", Path(name))
    assert not Path("models").exists()


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
