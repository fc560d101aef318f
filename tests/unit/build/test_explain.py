"""Clips that travel: a store that git tracks builds the site where torch is not installed.

Where a clip did not come along, the message says what has changed since it was rendered.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sitegen.build.cache import Store
from sitegen.core.errors import TargetError
from sitegen.core.files import digest_bytes
from tests.support.builders import CARD, Builder, environment, tree_hash, write_page, write_site

NOT_INSTALLED = "torch torchvision imageio imageio_ffmpeg diffusers safetensors.torch"
CALL = '{{{{ trajectories("tiny", {}) }}}}\n'


@pytest.fixture
def built(tmp_path: Path) -> Builder:
    """A site that was rendered and built."""
    site = Builder(write_site(tmp_path / "gpu machine"))
    site()
    return site


def git(folder: Path, *words: str) -> str:
    """What git says in a folder, with the settings of somebody on Windows."""
    settings = ("-c", "core.autocrlf=true", "-c", "user.name=A", "-c", "user.email=a@b.org")
    done = subprocess.run(
        ["git", *settings, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def runner(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Build where nothing that renders can be imported."""
    command = [sys.executable, "-m", "tests.support.fakecli", "build", "--offline", *words]
    blocked = environment(FAKE_BLOCK=NOT_INSTALLED)
    return subprocess.run(
        command, cwd=folder, env=blocked, capture_output=True, text=True, check=False
    )


def test_clone_on_a_runner_builds_the_same_site(built: Builder, tmp_path: Path) -> None:
    """The store goes through git, and the site comes out the same; git sees nothing to commit."""
    (built.root / ".gitignore").write_text("/build/\n")
    for name in ("lock", "work/x", "quarantine/x"):
        (built.root / ".sitegen" / name).parent.mkdir(exist_ok=True)
        (built.root / ".sitegen" / name).write_text("not to be tracked")
    drawing = built.root / ".sitegen/objects/00/a-drawing"
    drawing.parent.mkdir()
    drawing.write_bytes(b"<svg>\n</svg>\n")
    git(built.root, "init", "--quiet")
    git(built.root, "add", "--all")
    git(built.root, "commit", "--quiet", "-m", "With its clips")
    git(tmp_path, "clone", "--quiet", str(built.root), "runner")
    tracked = {path.name for path in (tmp_path / "runner/.sitegen").iterdir()}
    ours = {"asked", "objects", "records", "weights"}
    assert tracked == {*ours, ".gitattributes", ".gitignore"}
    copy = tmp_path / "runner/.sitegen/objects/00/a-drawing"
    assert copy.read_bytes() == drawing.read_bytes()
    done = runner(tmp_path / "runner", "--strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert tree_hash(tmp_path / "runner/build") == tree_hash(built.output)
    assert git(tmp_path / "runner", "status", "--porcelain") == ""


def test_store_is_the_same_wherever_it_is_made(built: Builder, tmp_path: Path) -> None:
    """No path, no time and no order of events is in it."""
    again = Builder(write_site(tmp_path / "another machine/deeper"))
    again()
    for each in (built, again):
        for own in ("lock", "speeds.json"):  # which git is told to pass by
            (each.root / ".sitegen" / own).unlink()
    assert tree_hash(again.root / ".sitegen") == tree_hash(built.root / ".sitegen")
    for path in (built.root / ".sitegen").rglob("*.json"):
        assert str(tmp_path).encode() not in path.read_bytes()


def test_pointers_of_git_lfs_are_left_alone(built: Builder) -> None:
    """They are no damage: the command that brings the clips is told, and then they are used."""
    objects = sorted((built.root / ".sitegen/objects").glob("*/*"))
    clip = next(path for path in objects if path.read_bytes()[4:8] == b"ftyp")
    whole = clip.read_bytes()
    clip.chmod(0o644)
    clip.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    shutil.rmtree(built.output)
    with pytest.raises(TargetError, match="its files are damaged or did not come with the store"):
        built(offline=True)
    assert any("`git lfs pull` brings its clip" in line for line in built.report.lines)
    clip.write_bytes(whole)
    assert built(offline=True).changed


CHANGES = {
    "seed": ('"tiny", count=4, seed=1', "since it was rendered, seed went from 0 to 1"),
    "two at once": (
        '"tiny", count=9, fps=12.0',
        "columns went from 2 to 3, count went from 4 to 9, fps went from none to 12.0",
    ),
    "words": ('"tiny", count=4, show="mean"', 'show went from "state" to "mean"'),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_the_author_changed(built: Builder, name: str) -> None:
    """Each argument that differs, with its value then and now, and the place of the call."""
    call, words = CHANGES[name]
    write_page(built.config, f"Words.\n\n{{{{ trajectories({call}) }}}}\n")
    with pytest.raises(TargetError) as told:
        built(offline=True)
    first, last = str(told.value).splitlines()
    assert first.startswith(f"{built.root}/pages/index.md:3: tiny-trajectories is not in the store")
    assert words in first
    assert "bring the cache_dir" in last


def test_nearest_figure_is_compared(built: Builder) -> None:
    """Of several that were rendered, the one that differs least."""
    write_page(built.config, CALL.format("count=4, seed=7, fps=30.0"))
    built()
    write_page(built.config, CALL.format("count=4, seed=8, fps=30.0"))
    with pytest.raises(TargetError, match="since it was rendered, seed went from 7 to 8\n"):
        built(offline=True)


@pytest.mark.parametrize("part", ["weights", "prior"])
def test_model_that_changed(built: Builder, part: str) -> None:
    """New weights or a new prior: the digests that the store and the model have."""
    old, new = digest_bytes(part.encode()), digest_bytes(b"other")
    (built.root / f"models/tiny/{part}.safetensors").write_bytes(b"other")
    words = f"since it was rendered, the {part} of tiny went from {old[:8]} to {new[:8]}\n"
    with pytest.raises(TargetError, match=words):
        built(offline=True)


def test_card_that_changed(built: Builder) -> None:
    """Sampling noise is the card's."""
    card = built.root / "models/tiny/model.toml"
    card.write_text(CARD.replace("0.0125", "0.01"))
    with pytest.raises(TargetError, match="since it was rendered, the card of tiny went from"):
        built(offline=True)


def test_recipe_that_changed(built: Builder) -> None:
    """A newer sitegen makes other pixels of the same call."""
    (path,) = (built.root / ".sitegen/asked").iterdir()
    request_json = json.loads(path.read_text())
    request_json["recipe"] += 1
    text = json.dumps(request_json, sort_keys=True, separators=(",", ":"))
    shutil.rmtree(built.root / ".sitegen")
    Store(built.root / ".sitegen").remember(text)
    recipe = request_json["recipe"]
    words = f"sitegen's recipe for it went from {recipe} to {recipe - 1}"
    with pytest.raises(TargetError, match=words):
        built(offline=True)


def test_nothing_to_compare_with(built: Builder) -> None:
    """An empty store, one with other kinds only, and a figure that is new altogether."""
    write_page(built.config, CALL.format('count=9, seed=5, fps=9.0, show="mean"'))
    with pytest.raises(TargetError, match="nothing like it was rendered"):
        built(offline=True)
    shutil.rmtree(built.root / ".sitegen")
    with pytest.raises(TargetError, match="the store is empty"):
        built(offline=True)
    Store(built.root / ".sitegen").remember('{"spec":{"kind":"other"}}')
    with pytest.raises(TargetError, match="no figure of the kind trajectories is"):
        built(offline=True)


def test_damaged_memory_is_passed_over(built: Builder) -> None:
    """What was asked for counts only as it was written; anything else is as if it were gone."""
    store = Store(built.root / ".sitegen")
    (path,) = (built.root / ".sitegen/asked").iterdir()
    assert len(store.remembered()) == 1
    path.write_text(path.read_text().replace("0", "1", 1))
    assert store.remembered() == ()
    for text in ("[]", "nonsense", '{"spec":3}', "[" * 10_000):
        store.remember(text)
    write_page(built.config, CALL.format("count=9"))
    with pytest.raises(TargetError, match="no figure of the kind trajectories is"):
        built(offline=True)


def test_runner_is_told_the_same(built: Builder) -> None:
    """Exit 1 without torch and with --offline, the figure and what changed in its words."""
    write_page(built.config, CALL.format("count=4, seed=1"))
    done = runner(built.root)
    assert done.returncode == 1
    assert "index.md:1: tiny-trajectories" in done.stderr
    assert "seed went from 0 to 1" in done.stderr
