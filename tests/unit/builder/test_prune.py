"""What no page needs goes from the store, and nothing else does."""

import shutil
from pathlib import Path

import pytest

from sitegen.builder.cache import Store
from sitegen.builder.prune import clean_unused
from sitegen.core.errors import ConfigError, LockedError
from sitegen.core.locks import lock
from tests.support.builders import INDEX, SITE, Builder, traces, write_page

MORE = INDEX + '\n{{ trajectories("tiny", count=9, seed=4) }}\n'
GONE = b'{"path": "1", "weights": "2"}'
ADDRESS = 'base_url = "https://example.org/a/"\n'


def files(built: Builder, part: str = "") -> set[str]:
    """The files of a part of the store."""
    root = built.root / ".sitegen"
    return {str(path.relative_to(root)) for path in (root / part).rglob("*") if path.is_file()} - {
        "lock",
        "speeds.json",
    }


def test_what_was_tried_goes(built: Builder) -> None:
    """A figure, a note, an old card and odd objects go; the rest stays, and builds at once."""
    (built.root / "site.toml").write_text(ADDRESS + SITE)
    built()
    wanted, site = files(built), built.site_hash()
    assert clean_unused(built.config).startswith("nothing in ")
    assert files(built) == wanted
    write_page(built.config, MORE)
    (built.root / "site.toml").write_text(ADDRESS + SITE.replace("A title", "Another"))
    built()
    store = built.root / ".sitegen"
    extra = {f"objects/ab/{'ab' * 32}": b"1" * 1_000_000, "weights/gone.json": GONE}
    extra |= {"weights/tiny.0123.json": GONE}  # an earlier card of a model that is still there
    for name, data in extra.items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(data)
    assert len(files(built, "records")) > len([name for name in wanted if "records/" in name])
    write_page(built.config, INDEX)
    (built.root / "site.toml").write_text(ADDRESS + SITE)
    output = traces(built.output)
    said = clean_unused(built.config)
    assert said.startswith("removed ")
    assert said.endswith(" MB; 1 figures stay")
    assert float(said.split(", ")[1].split()[0]) >= 1.0
    assert files(built) == wanted
    assert traces(built.output) == output
    assert built().rendered == ()
    assert built.site_hash() == site


def test_pictures_that_are_missing(built: Builder) -> None:
    """What a page needs stays also where a file of it is missing, and drawings until it is back."""
    root = built.root / ".sitegen"
    store = Store(root)
    (key,) = (key for key in store.keys("") if not key.startswith("drawn-"))
    record = store.get(key)
    assert record is not None
    before = files(built)
    write_page(built.config, MORE)
    clean_unused(built.config)
    assert files(built) == before
    gone = store.object(record.files["mp4"])
    gone.unlink()
    clean_unused(built.config)
    assert files(built) == before - {str(gone.relative_to(root))}


def test_refused(built: Builder, tmp_path: Path) -> None:
    """With a mistake in a page, or during a build, nothing is removed."""
    write_page(built.config, "{{ trajectories('tinny') }}\n")
    before = traces(built.root)
    with pytest.raises(ConfigError, match="tinny"):
        clean_unused(built.config)
    write_page(built.config, "Words.\n")
    with lock(built.root / ".sitegen/lock"), pytest.raises(LockedError):
        clean_unused(built.config)
    after = traces(built.root / ".sitegen/objects")
    assert after.items() <= before.items()
    shutil.rmtree(built.root / ".sitegen")
    assert clean_unused(built.config).startswith("nothing in ")
    assert not (built.root / ".sitegen").exists()
