"""Models whose weights are on another machine: what the store knows of them is enough to render."""

import shutil
from pathlib import Path

import pytest

from sitegen.builder import context
from sitegen.core.errors import RefusedError, TargetError
from sitegen.core.files import digest
from tests.support.builders import Builder, traces, write_page, write_site

SITE = """
title = "A title"
[models.cifar]
path = "checkpoints/cifar.pth"
preset = "cifar10"
[models.tiny]
path = "models/tiny"
"""
CALL = '{{ trajectories("cifar", count=4) }}\n'
GUARDED = f'Words.\n\n{{% if available("cifar") %}}\n{CALL}{{% endif %}}\n'


@pytest.fixture
def built(tmp_path: Path) -> Builder:
    """A site with the checkpoint of a preset, which was rendered."""
    site = Builder(write_site(tmp_path, index=GUARDED, site=SITE))
    checkpoint(site).parent.mkdir()
    checkpoint(site).write_bytes(b"weights")
    site()
    return site


def checkpoint(site: Builder) -> Path:
    """Where the checkpoint lies."""
    return site.root / "checkpoints/cifar.pth"


def leave(site: Builder) -> None:
    """Go to a machine that has what git tracks: no weights, no built folder."""
    shutil.rmtree(site.root / "checkpoints")
    shutil.rmtree(site.output)


def test_preset_without_its_checkpoint(built: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store tells the digest of the weights: nothing vanishes, whatever machine made it."""
    before = built.site_hash()
    leave(built)
    done = built(offline=True, strict=True)
    assert (done.reused, done.omitted) == (("cifar-trajectories",), ())
    assert built.site_hash() == before
    monkeypatch.setattr(context, "environment", lambda compute_target: {"device": "cuda"})
    assert built().reused
    write_page(built.config, CALL.replace("4", "9"))
    built.refused(RefusedError, "there is no such checkpoint")
    built.refused(TargetError, "count went from 4 to 9", offline=True)


def test_a_note_that_is_old_is_written_anew(built: Builder) -> None:
    """A note that is gone is written anew; back at weights of before, those count again."""
    note = built.root / ".sitegen/weights/cifar.json"
    text = note.read_text()
    note.unlink()
    assert not built().changed
    assert note.read_text() == text
    before = traces(built.root)
    built()
    assert traces(built.root) == before
    first = built.site_hash()
    checkpoint(built).write_bytes(b"others")
    built()
    assert built.site_hash() != first
    checkpoint(built).write_bytes(b"weights")
    assert not built().rendered
    leave(built)
    built(offline=True)
    assert built.site_hash() == first


def test_notes_that_do_not_fit(built: Builder) -> None:
    """Damaged, they are as none; no clips are shown of a checkpoint that nobody has rendered."""
    leave(built)
    path = built.root / ".sitegen/weights/cifar.json"
    note = path.read_text()
    for text in (note[:-9], f"[{note}]", "[" * 10_000, note.replace('"weights":"', '"weights":"x')):
        path.write_text(text)
        assert built(offline=True).omitted
    path.write_text(note)
    assert not built(offline=True).omitted
    built.config.write_text(SITE.replace("cifar.pth", "longer.pth"))
    (absent,) = built(offline=True).omitted
    assert absent.startswith("cifar (")
    assert "video" not in (built.output / "index.html").read_text()


def test_a_card_alone(built: Builder) -> None:
    """Of a model's folder the card is enough, where it pins its parts and there are clips."""
    folder = built.root / "models/tiny"
    card = folder / "model.toml"
    parts = [folder / f"{name}.safetensors" for name in ("weights", "prior")]
    for part in parts:
        file = f'file = "{part.name}"'
        card.write_text(card.read_text().replace(file, f'{file}\nsha256 = "{digest(part)}"'))
        part.rename(built.root / part.name)
    write_page(built.config, GUARDED.replace("cifar", "tiny"))
    assert not built(offline=True).reused
    for part in parts:
        (built.root / part.name).rename(part)
    assert built().rendered
    assert not (built.root / ".sitegen/weights/tiny.json").exists()
    for part in parts:
        part.unlink()
    assert built(offline=True, strict=True).reused


def test_pinned_weights_that_were_exchanged(built: Builder) -> None:
    """Clips of the pinned ones are not shown for them: they are rendered, and so refused."""
    weights = built.root / "models/tiny/weights.safetensors"
    card = weights.with_name("model.toml")
    named = 'file = "weights.safetensors"'
    card.write_text(card.read_text().replace(named, f'{named}\nsha256 = "{digest(weights)}"'))
    write_page(built.config, GUARDED.replace("cifar", "tiny"))
    assert built().rendered
    assert not built().rendered
    weights.write_bytes(b"others")
    assert built().rendered
