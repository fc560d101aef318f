"""`clean` removes what sitegen made, and nothing else."""

import shutil
from pathlib import Path

import pytest

from sitegen.builder.clean import clean, clean_unused
from sitegen.config.schema import load_site
from sitegen.core.errors import ConfigError, LockedError
from sitegen.core.files import lock
from tests.support.builders import INDEX, Builder, traces, write_page

MORE = INDEX + '\n{{ trajectories("tiny", count=9, seed=4) }}\n'


def entries(built: Builder) -> list[str]:
    """Return the names in the site's folder."""
    return sorted(path.name for path in built.root.iterdir())


def test_clean(built: Builder) -> None:
    """The built folder goes, with `store` the clips, too; the author's files stay."""
    site = load_site(built.config)
    assert [Path(line).name for line in clean(site)] == ["build"]
    assert entries(built) == [".sitegen", "models", "pages", "site.toml"]
    assert built().rendered == ()
    assert len(clean(site, store=True)) == 2
    assert entries(built) == ["models", "pages", "site.toml"]
    assert clean(site, store=True) == []


def test_refused(built: Builder) -> None:
    """A folder of someone else, and a site in which another sitegen runs, stay as they are."""
    site = load_site(built.config)
    with lock(built.root / ".sitegen/lock"), pytest.raises(LockedError, match="another sitegen"):
        clean(site, store=True)
    (built.output / "media.json").unlink()
    before = traces(built.root)
    with pytest.raises(ConfigError, match=r"no media\.json of sitegen"):
        clean(site, store=True)
    assert traces(built.root) == before


def test_store_with_other_files(built: Builder) -> None:
    """A `cache_dir` that holds the author's files is not removed, and neither is anything else."""
    (built.root / ".sitegen/notes.txt").write_text("mine")
    before = traces(built.root)
    with pytest.raises(ConfigError, match=r"holds other files \(notes\.txt\)"):
        clean(load_site(built.config), store=True)
    assert traces(built.root) == before


def test_unused(built: Builder) -> None:
    """Clips that no page shows go; the built folder stays, and the next build renders nothing."""
    site = load_site(built.config)
    before = traces(built.root / ".sitegen/objects").keys()
    assert clean_unused(site).endswith("is unused")
    write_page(built.config, MORE)
    built()
    write_page(built.config, INDEX)
    output = traces(built.output)
    assert clean_unused(site).startswith("removed 1 record that no page needs, ")
    assert traces(built.output) == output
    assert traces(built.root / ".sitegen/objects").keys() == before
    assert built().rendered == ()


def test_unused_is_refused(built: Builder) -> None:
    """With a mistake in a page, or during a build, nothing is removed."""
    site = load_site(built.config)
    write_page(built.config, "{{ trajectories('tinny') }}\n")
    before = traces(built.root / ".sitegen/objects")
    with pytest.raises(ConfigError, match="tinny"):
        clean_unused(site)
    write_page(built.config, "Words.\n")
    with lock(built.root / ".sitegen/lock"), pytest.raises(LockedError):
        clean_unused(site)
    assert traces(built.root / ".sitegen/objects") == before
    shutil.rmtree(built.root / ".sitegen")
    assert clean_unused(site).startswith("there is no ")
    assert not (built.root / ".sitegen").exists()
