"""`sitegen clean` removes what sitegen made, and nothing that an author did."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sitegen.build.output import clean
from sitegen.config.loader import load_site
from sitegen.core.errors import ConfigError, LockedError
from sitegen.core.files import host_mark, lock
from tests.support.builders import Builder, traces

DEAD = f".sitegen-tmp-{host_mark()}-99999999-1-0a"


def test_built_folder_goes_and_the_store_stays(built: Builder) -> None:
    """The next build renders nothing."""
    store = traces(built.root / ".sitegen/objects") | traces(built.root / ".sitegen/records")
    removed = clean(load_site(built.config))
    assert removed == [str(built.output)]
    assert {*os.listdir(built.root)} == {".sitegen", "models", "pages", "site.toml"}
    after = traces(built.root / ".sitegen/objects") | traces(built.root / ".sitegen/records")
    assert after == store
    assert built().rendered == ()


def test_store_goes_when_asked(built: Builder) -> None:
    """What the author keeps in its folder stays, and the folder with it."""
    mine = built.root / ".sitegen/mine.txt"
    mine.write_text("mine")
    clean(load_site(built.config), store=True)
    assert {*os.listdir(mine.parent)} == {"lock", "mine.txt"}
    mine.unlink()
    clean(load_site(built.config), store=True)
    assert not mine.parent.exists()
    assert built().rendered == ("tiny-trajectories",)


def test_leftovers_of_the_dead_go(built: Builder) -> None:
    """What killed builds left beside the output and in the store; that of the living stays."""
    living = f".sitegen-tmp-{host_mark()}-{os.getpid()}-0-0a"
    folders = (built.root, built.root / ".sitegen", built.root / ".sitegen/work")
    for folder in folders:
        (folder / DEAD).mkdir()
        (folder / living).mkdir()
    removed = clean(load_site(built.config))
    assert {Path(path).name for path in removed} == {DEAD, "build"}
    for folder in folders:
        assert (folder / living).exists()
        assert not (folder / DEAD).exists()


def test_folder_that_sitegen_did_not_build(built: Builder) -> None:
    """It is refused, as while a build is at work, and nothing at all is removed."""
    with lock(built.root / ".sitegen/lock"), pytest.raises(LockedError):
        clean(load_site(built.config))
    assert built.output.exists()
    (built.output / "media.json").write_text("{}")
    before = traces(built.root)
    with pytest.raises(ConfigError, match="it would be replaced whole"):
        clean(load_site(built.config), store=True)
    assert traces(built.root) == before


def test_link_to_the_built_folder_stays(built: Builder, tmp_path: Path) -> None:
    """Whoever made the link wants the next build there again."""
    built.output.rename(tmp_path / "elsewhere")
    built.output.symlink_to(tmp_path / "elsewhere")
    clean(load_site(built.config))
    assert built.output.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_to_remove(site: Builder) -> None:
    """A site that was never built: not even a lock is left there."""
    before = traces(site.root)
    assert clean(load_site(site.config), store=True) == []
    assert traces(site.root) == before
