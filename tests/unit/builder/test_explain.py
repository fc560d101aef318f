"""Where a clip did not come along, the message says what has changed since it was rendered."""

import json
import shutil
from pathlib import Path

import pytest

from sitegen.builder.cache import Store
from sitegen.core.errors import TargetError
from sitegen.core.files import canonical_json, digest_bytes
from tests.support.builders import CARD, INDEX, Builder, tree_hash, write_page, write_site

CALL = '{{{{ trajectories("tiny", {}) }}}}\n'


def test_stores(built: Builder, tmp_path: Path) -> None:
    """No path or time is in a store, LFS pointers stay, and what differs from it is told."""
    again = Builder(write_site(tmp_path / "another machine/deeper"))
    again()
    for each in (built, again):
        for own in ("lock", "speeds.json"):  # which git is told to pass by
            (each.root / ".sitegen" / own).unlink()
    assert tree_hash(again.root / ".sitegen") == tree_hash(built.root / ".sitegen")
    for path in (built.root / ".sitegen").rglob("*.json"):
        assert str(tmp_path).encode() not in path.read_bytes()
    objects = sorted((built.root / ".sitegen/objects").glob("*/*"))
    clip = next(path for path in objects if path.read_bytes()[4:8] == b"ftyp")
    whole = clip.read_bytes()
    clip.chmod(0o644)
    clip.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    shutil.rmtree(built.output)
    built.refused(TargetError, "its files are damaged or missing from the store", offline=True)
    assert any("`git lfs pull` brings its clip" in line for line in built.report.lines)
    clip.write_bytes(whole)
    assert built(offline=True).changed
    (path,) = (built.root / ".sitegen/asked").iterdir()
    value = json.loads(path.read_text())
    recipe = value["recipe"]
    shutil.rmtree(built.root / ".sitegen")
    Store(built.root / ".sitegen").remember(canonical_json({**value, "recipe": recipe + 1}))
    built.refused(TargetError, f"recipe for it went from {recipe + 1} to {recipe}", offline=True)
    write_page(built.config, CALL.format('count=9, seed=5, fps=9.0, show="mean"'))
    built.refused(TargetError, "no similar figure was rendered", offline=True)
    shutil.rmtree(built.root / ".sitegen")
    built.refused(TargetError, "the store is empty", offline=True)
    Store(built.root / ".sitegen").remember('{"spec":{"kind":"other"}}')
    built.refused(TargetError, "the store has no figure of the kind trajectories", offline=True)
    write_page(built.config, CALL.format("count=4, seed=7, fps=30.0"))
    built()
    write_page(built.config, CALL.format("count=4, seed=8, fps=30.0"))
    built.refused(TargetError, "since it was rendered, seed went from 7 to 8\n", offline=True)
    shutil.rmtree(built.root / ".sitegen")
    write_page(built.config, INDEX)
    built()
    store = Store(built.root / ".sitegen")
    (path,) = (built.root / ".sitegen/asked").iterdir()
    assert len(store.remembered()) == 1
    path.write_text(path.read_text().replace("0", "1", 1))
    assert store.remembered() == []
    for text in ("[]", "nonsense", '{"spec":3}', "[" * 10_000):
        store.remember(text)
    write_page(built.config, CALL.format("count=9"))
    built.refused(TargetError, "the store has no figure of the kind trajectories", offline=True)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("count=4, seed=1", "since it was rendered, seed went from 0 to 1"),
        ("count=9, fps=12.0", "columns went from 2 to 3, count went from 4 to 9, fps went from"),
        ('count=4, show="mean"', 'show went from "state" to "mean"'),
    ],
)
def test_what_the_author_changed(built: Builder, call: str, words: str) -> None:
    """Each argument that differs, with its value then and now, and the place of the call."""
    write_page(built.config, f"Words.\n\n{CALL.format(call)}")
    with pytest.raises(TargetError) as told:
        built(offline=True)
    first, last = str(told.value).splitlines()
    assert first.startswith(f"{built.root}/pages/index.md:3: tiny-trajectories is not in the store")
    assert words in first
    assert "copy its cache_dir" in last


@pytest.mark.parametrize("part", ["weights", "prior"])
def test_model_that_changed(built: Builder, part: str) -> None:
    """New weights or a new prior: the digests that the store and the model have."""
    old, new = digest_bytes(part.encode()), digest_bytes(b"other")
    (built.root / f"models/tiny/{part}.safetensors").write_bytes(b"other")
    words = f"since it was rendered, the {part} of tiny went from {old[:8]} to {new[:8]}\n"
    built.refused(TargetError, words, offline=True)
    card = built.root / "models/tiny/model.toml"
    card.write_text(CARD.replace("0.0125", "0.01"))
    built.refused(TargetError, "since it was rendered, the card of tiny went from", offline=True)
