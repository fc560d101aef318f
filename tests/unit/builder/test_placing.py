"""What the last page names stays for its readers, one build longer, and is no part of the site."""

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from sitegen.builder import placing
from sitegen.builder.output import put_tree, read_folder
from sitegen.builder.placing import built as noted
from sitegen.builder.placing import kept
from sitegen.config.loader import load_site
from sitegen.core.errors import PlatformError
from sitegen.core.files import read_file
from sitegen.deploy.publish import Freshness, freshness
from tests.support.builders import INDEX, Builder, traces, tree_hash, write_page
from tests.support.publishing import contents


def named(site: Builder) -> set[str]:
    """The files by their content that the front page asks for."""
    page = (site.output / "index.html").read_text()
    found = set(re.findall(r'"((?:assets|media)/[^"]+-[0-9a-f]{8}\.\w+)"', page))
    assert len(found) > 3
    return found


def change(site: Builder, seed: int, colour: str) -> None:
    """Another clip and another stylesheet, built."""
    write_page(site.config, INDEX.replace("count=4", f"count=4, seed={seed}"))
    (site.root / "theme").mkdir(exist_ok=True)
    (site.root / "theme/colours.css").write_text(f"body {{ color: {colour} }}\n")
    assert site().changed


def test_files_of_the_last_page_stay_for_one_build(built: Builder) -> None:
    """Its clip and stylesheet are there after the next build, and gone after the one then."""
    generations = [named(built)]
    for seed, colour in ((1, "red"), (2, "blue")):
        change(built, seed, colour)
        generations.append(named(built))
    first, second, third = generations
    assert first - second
    assert second - third
    there = {*contents(built.output)}
    assert second | third <= there
    assert not (first - second - third) & there


def test_a_file_of_others_does_not_take_them_away(built: Builder) -> None:
    """What Finder or a host lays into the built folder is none of the site's, nor another site."""
    first = named(built)
    (built.output / ".DS_Store").write_bytes(b"of the Finder")
    change(built, 1, "red")
    assert first - named(built)
    assert first <= {*contents(built.output)}


def test_what_stays_is_no_part_of_the_site(built: Builder, tmp_path: Path) -> None:
    """Without it the folder is that of a build in an empty one; the next build touches nothing."""
    change(built, 1, "red")
    site = load_site(built.config)
    old = kept(site, built.output)
    assert old
    assert old.items() <= noted(site, built.output)
    assert not any(name in (built.output / "media.json").read_text() for name in old)
    elsewhere = tmp_path / "clean"
    built(output=elsewhere)
    clean = contents(elsewhere)
    assert {n: d for n, d in contents(built.output).items() if n not in old} == clean
    before = traces(built.output)
    assert not built().changed
    assert traces(built.output) == before
    assert freshness(site, read_folder(built.output).sealed()) == Freshness()


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_kill_around_the_exchange(
    built: Builder, at: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whether the folder was exchanged or not, the next build leaves what it would have left."""
    change(built, 1, "red")
    write_page(built.config, INDEX.replace("count=4", "count=4, seed=2"))
    real = put_tree

    def dies(*arguments: object) -> bool:
        if at == "after":
            real(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(placing, "put_tree", dies)
    with pytest.raises(KeyboardInterrupt):
        built()
    monkeypatch.setattr(placing, "put_tree", real)
    was = named(built)
    built()
    if at == "before":
        assert was <= {*contents(built.output)}
    assert kept(load_site(built.config), built.output)
    after = tree_hash(built.output)
    assert not built().changed
    assert tree_hash(built.output) == after


def test_a_note_that_cannot_be_read_stops_a_build(
    built: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the readers of the last page need is not lost to a passing error of the disk."""
    write_page(built.config, "Other words.\n")
    before, read = traces(built.output), read_file

    def failing(path: Path) -> bytes:
        if path.parent.name == "built":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr("sitegen.builder.placing.read_file", failing)
        with pytest.raises(PlatformError, match=r"cannot read .*built"):
            built()
    assert traces(built.output) == before
    assert built().changed


def test_what_was_changed_by_hand_does_not_stay(built: Builder) -> None:
    """A file of the last page that is not as it was, or a note that lies, brings nothing along."""
    style = next(name for name in named(built) if name.startswith("assets/style"))
    (built.output / style).write_text("body { color: green }")
    change(built, 1, "red")
    assert not (built.output / style).exists()
    old = kept(load_site(built.config), built.output)
    path = next(iter(old))
    (built.output / path).write_bytes(b"other")
    assert built().changed
    assert not (built.output / path).exists()
    (note,) = (built.root / ".sitegen/built").glob("*.json")
    lying: dict[str, Any] = {
        "files": [["x", "0"]],
        "kept": {"../site.toml": "0", "media/../../a-01234567.b": "0"},
    }
    owned: list[Any] = [{}, [], "", {"a": []}, {"a": 1}]
    odd = [{**lying, "own": own} for own in owned]
    others: list[Any] = [[], 1, ""]
    odd += [{**lying, "own": {}, key: value} for key in ("kept", "files") for value in others]
    for text in (*map(json.dumps, odd), '["index.html"]', "{}", "[" * 9999, "null"):
        note.write_text(text)
        assert not kept(load_site(built.config), built.output)
        assert not built().changed
