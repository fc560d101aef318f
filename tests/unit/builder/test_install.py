"""The note of a built folder tells the files of builds from those of others."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from sitegen.builder import output as install
from sitegen.builder.output import built as noted
from sitegen.builder.output import foreign, put_tree
from sitegen.config.loader import load_site
from sitegen.core.errors import PlatformError
from sitegen.core.files import read_file
from tests.support.builders import INDEX, Builder, traces, tree_hash, write_page
from tests.support.publishing import contents


def test_nothing_stays_of_the_last_build(built: Builder, tmp_path: Path) -> None:
    """A folder that was built over another has the files of a build in an empty one."""
    write_page(built.config, INDEX.replace("count=4", "count=4, seed=1"))
    built()
    elsewhere = tmp_path / "clean"
    built(output=elsewhere)
    assert contents(built.output) == contents(elsewhere)


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_kill_around_the_exchange(
    built: Builder, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the folder was exchanged or not, its files are known as a build's."""
    write_page(built.config, INDEX.replace("count=4", "count=4, seed=2"))
    real = put_tree

    def dies(*arguments: object) -> None:
        if at == "after":
            real(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "put_tree", dies)
    with pytest.raises(KeyboardInterrupt):
        built()
    monkeypatch.setattr(install, "put_tree", real)
    assert foreign(built.output, load_site(built.config)) == ()
    built()
    after = tree_hash(built.output)
    assert not built().changed
    assert tree_hash(built.output) == after


def test_a_note_that_cannot_be_read_stops_a_build(
    built: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing error of the disk does not make the files of the last build those of others."""
    write_page(built.config, "Other words.\n")
    before, read = traces(built.output), read_file

    def failing(path: Path) -> bytes:
        if path.parent.name == "built":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr("sitegen.builder.output.read_file", failing)
        with pytest.raises(PlatformError, match=r"cannot read .*built"):
            built()
    assert traces(built.output) == before
    assert built().changed


ODD: list[Any] = [
    [],
    1,
    "",
    None,
    {"files": 1},
    {"files": ["x"]},
    {"files": [["x"]]},
    ["index.html"],
]


@pytest.mark.parametrize("text", [*map(json.dumps, ODD), "[" * 9999])
def test_a_damaged_note(built: Builder, text: str) -> None:
    """It proves nothing, and the next build writes it again."""
    (note,) = (built.root / ".sitegen/built").glob("*.json")
    site, before = load_site(built.config), note.read_bytes()
    note.write_text(text)
    assert noted(site, built.output) == frozenset()
    assert not built().changed
    assert note.read_bytes() == before
