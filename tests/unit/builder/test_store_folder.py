"""A store is recognised by what sitegen wrote there, and nothing else is removed from a folder."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from sitegen.builder.prune import clean, clean_unused
from sitegen.builder.store_folder import MARKER, require_store
from sitegen.cli.main import cli
from sitegen.config.loader import load_site
from sitegen.core.errors import ConfigError, PlatformError
from tests.support.builders import INDEX, SITE, Builder, traces, write_page, write_site


def clean_store(built: Builder) -> list[str]:
    """Remove the clips as the command does."""
    return clean(load_site(built.config), store=True)


@pytest.mark.parametrize("data", [True, False])
def test_folder_of_others_is_no_store(tmp_path: Path, data: bool) -> None:
    """A `cache_dir` that is a repository or a folder of data is refused by all commands."""
    site = Builder(write_site(tmp_path / "site"))
    if data:
        site.config.write_text(f'cache_dir = "data"\n{SITE}')
        for name in (
            f"objects/ab/ab{'0' * 62}",
            f"records/{'0' * 64}.json",
        ):  # as a store names them
            (site.root / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (site.root / "data" / name).write_text(f'{{"key": "{"0" * 64}"}}')  # no digest
    else:
        (site.root / ".git/objects/ab").mkdir(parents=True)
        (site.root / ".git/objects/ab/mine").write_text("mine")
        (site.root / ".git/HEAD").write_text("ref: refs/heads/main")
        (site.root / ".sitegen").symlink_to(".git")
    before = traces(site.root)
    words = r"is not a store of sitegen \(it has no \.sitegen-store\)"
    site.refused(ConfigError, words)
    for command in (clean_unused, lambda config: clean_unused(config, 0)):
        with pytest.raises(ConfigError, match=words):
            command(site.config)
    for store in (True, False):
        with pytest.raises(ConfigError, match=words):
            clean(load_site(site.config), store=store)
    for name in ("build", "publish", "export", "check"):
        assert CliRunner().invoke(cli, [name, "--config", str(site.config)]).exit_code, name
    assert traces(site.root) == before


def test_nothing_is_removed_through_a_link(built: Builder, tmp_path: Path) -> None:
    """A store that is a link, or has one in it, is left alone, and so is what it leads to."""
    store, moved = built.root / ".sitegen", tmp_path / "elsewhere"
    write_page(built.config, INDEX.replace("count=4", "count=9"))
    built.config.write_text(f"cache_limit = 1\n{SITE}")
    for name in ("", "objects", "records"):
        (store / name).rename(moved)
        (store / name).symlink_to(moved)
        assert built(strict=True).output.is_dir()
        before = traces(moved)
        for command in (clean_unused, lambda config: clean_unused(config, 0)):
            with pytest.raises(ConfigError, match=r"is a symbolic link to .*; nothing was removed"):
                command(built.config)
        with pytest.raises(ConfigError, match=r"is a symbolic link to .*; nothing was removed"):
            clean_store(built)
        assert traces(moved).keys() == before.keys()
        assert built.output.is_dir()
        (store / name).unlink()
        moved.rename(store / name)
    clean_store(built)
    assert not store.exists()


def test_a_file_of_the_store_that_is_a_link_is_not_written(built: Builder) -> None:
    """A link in the place of the lock or of a note is named, and what it leads to stays."""
    mine = built.root / "mine.txt"
    mine.write_text("mine")
    store = built.root / ".sitegen"
    (note,) = (store / "built").iterdir()
    write_page(built.config, "Other words.\n")
    for path in (note, store / "lock", store / MARKER):
        data = path.read_bytes()
        path.unlink()
        path.symlink_to(mine)
        built.refused(PlatformError, path.name)
        assert (mine.read_text(), path.is_symlink()) == ("mine", True)
        path.unlink()
        path.write_bytes(data)
    assert built().changed


def test_files_of_others_in_a_store_stay(built: Builder) -> None:
    """Every option of `clean` leaves them, wherever they are in the store, and says so."""
    store = built.root / ".sitegen"
    mine = ["mine.txt", "objects/ab/notes", "objects/thesis.tex", "records/notes.json"]
    mine += ["weights/mine.json", "quarantine/rescued", "work/a", "built/b", "asked/c.json"]
    for name in mine:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text("mine")
    (store / ".gitignore").write_text("# mine")
    (store / "objects/circle").symlink_to("circle")
    write_page(built.config, "Words.\n")
    built()
    clean_unused(built.config)
    clean_unused(built.config, 0)
    told = clean_store(built)
    assert f"left {store / 'mine.txt'}" in told
    left = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}
    assert left == {*mine, ".gitignore", ".gitattributes", "lock", MARKER}
    assert all((store / name).read_text() == "mine" for name in mine)
    assert (store / "objects/circle").is_symlink()
    assert built().changed
    shutil.rmtree(store / "quarantine")


def test_older_stores_get_a_marker(built: Builder) -> None:
    """A store without a marker is recognised by the names in it, but for what systems put there."""
    store = built.root / ".sitegen"
    (store / MARKER).unlink()
    (store / ".DS_Store").touch()
    for name in ("asked", "weights", "built"):
        shutil.rmtree(store / name)
    require_store(store)
    assert not (store / MARKER).exists()
    write_page(built.config, "Words.\n")
    built()
    assert (store / MARKER).is_file()
    shutil.rmtree(store)
    store.mkdir()
    (store / "lock").touch()
    (store / ".gitignore").write_text("*\n")
    built()
    assert (store / ".gitignore").read_text() == "*\n"
    assert clean_store(built)[-1] == f"left {store / '.gitignore'}"
    assert {*os.listdir(store)} >= {MARKER, ".gitignore"}
