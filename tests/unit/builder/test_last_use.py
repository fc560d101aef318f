"""A store has a limit: what was of no use for the longest time goes first, and nothing needed."""

import os
import time

import pytest
from click.testing import CliRunner

from sitegen.builder.cache import Store
from sitegen.cli.main import cli
from sitegen.core.errors import LockedError
from sitegen.core.locks import lock
from tests.support.builders import INDEX, SITE, Builder, traces, write_page


def film(site: Builder, seed: int) -> None:
    """Build the site with another clip."""
    write_page(site.config, INDEX.replace("count=4", f"count=4, seed={seed}"))
    site()


def keys(site: Builder) -> set[str]:
    """The records of clips in the store."""
    return {key for key in Store(site.root / ".sitegen").keys("") if not key.startswith("drawn-")}


def limit(site: Builder, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let the store have so many bytes."""
    monkeypatch.setattr("sitegen.builder.prune.MEGABYTE", size)
    monkeypatch.setattr("sitegen.builder.pipeline.MEGABYTE", size)
    site.config.write_text(f"cache_limit = 1\n{SITE}")


def test_what_was_used_longest_ago_goes(built: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three clips the one goes that was needed longest ago, not the one made first."""
    (first,) = keys(built)
    film(built, 1)
    (second,) = keys(built) - {first}
    film(built, 0)  # the first is needed again
    store = Store(built.root / ".sitegen")
    two = store.size()
    limit(built, monkeypatch, two + 100)
    film(built, 2)
    (third,) = keys(built) - {first, second}
    assert keys(built) == {first, third}
    assert any("of no use now went" in line for line in built.report.lines)
    assert store.size() <= two + 100
    objects = {path.name for path in (built.root / ".sitegen/objects").glob("??/*")}
    assert objects == {name for key in store.keys("") for name in store.digests_of(key)}
    before = traces(built.root)
    assert not built().changed
    assert traces(built.root) == before
    film(built, 0)
    assert built.renderer.jobs == []


def test_a_time_in_the_future(built: Builder) -> None:
    """A record that a wrong clock has stamped is not in use until that date."""
    unused = keys(built)
    film(built, 1)
    for key in unused:
        for path in (built.root / ".sitegen").rglob(f"{key}*"):
            os.utime(path, (time.time() + 4e7,) * 2)
    arguments = ["clean", "--older-than", "1d", "--config", str(built.config)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert not keys(built) & unused


def test_what_a_page_needs_never_goes(built: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit below what the site needs is told, and takes all else; also when nothing changes."""
    first = keys(built)
    film(built, 1)
    needed = keys(built) - first
    limit(built, monkeypatch, 10)
    assert not built().changed
    assert keys(built) == needed
    assert any("all of which its pages need" in line for line in built.report.lines)
    with lock(built.root / ".sitegen/lock"), pytest.raises(LockedError):
        built()
    built(strict=True)
    assert built.renderer.jobs == []


def test_older_than(built: Builder) -> None:
    """`clean --older-than` takes what no page has needed for so long, and says how much."""
    first = keys(built)
    film(built, 1)
    words = ["clean", "--config", str(built.config), "--older-than"]
    told = CliRunner().invoke(cli, [*words, "30d"])
    assert (told.exit_code, "unused for 30 days" in told.output) == (0, True)
    assert first < keys(built)
    long_ago = time.time() - 40 * 24 * 3600
    for path in (built.root / ".sitegen/records").iterdir():
        os.utime(path, (long_ago, long_ago))
    output = traces(built.output)
    assert CliRunner().invoke(cli, [*words, "7w"]).exit_code == 0
    assert first < keys(built)
    told = CliRunner().invoke(cli, [*words, "5w"])
    assert (told.exit_code, "unused for 35 days" in told.output) == (0, True)
    assert not first & keys(built)
    assert len(keys(built)) == 1
    assert traces(built.output) == output
    assert not built().changed
    for wrong in ("30m", "-1", "a", "1e9", "30d --unused"):
        assert CliRunner().invoke(cli, [*words, *wrong.split()]).exit_code == 2, wrong
