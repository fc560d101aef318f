"""Whatever an author writes, or a program for him, is answered in words and soon."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sitegen.config.loader import load_site
from sitegen.content.pages import read_pages
from sitegen.core.errors import ConfigError
from tests.support.builders import SITE, write_site

CONFIGS = {
    "digits": "cache_limit = " + "9" * 5000,
    "hexadecimal digits": "cache_limit = 0x" + "f" * 5000,
    "binary digits": "base_url = [[0b1" + "0" * 30_000 + "]]",
    "authors": "\n".join('[[authors]]\nname = "A"' for _ in range(80_000)),
    "dotted keys": "\n".join(f"x{number}.a.b = 1" for number in range(100_000)),
    "deep key": ".".join(["a"] * 20_000) + " = 1",
    "models": "\n".join(f'[models.m{n}]\npath = "m{n}"' for n in range(50_000)),
}
PAGES = {
    "infinite count": '{{ trajectories("tiny", count=1e400) }}',
    "many digits": '{{ trajectories("tiny", count=' + "9" * 5000 + ") }}",
    "computed digits": '{{ trajectories("tiny", count=10**5000) }}',
    "digits for a name": "{{ available(10**5000) }}",
    "digits for an address": "{{ video([10**5000]) }}",
    "odd filter": "{{ 'a'|truncate(-5) }}",
    "argument twice": '{{ trajectories("tiny", count=4, count=4) }}',
    "brackets": "{{ " + "[" * 3000 + "]" * 3000 + " }}",
    "no parentheses": "{{ trajectories }}",
    "no parentheses, joined": "{{ 'a' ~ trajectories }}",
    "no list": "{{ [1]|map('upper') }}",
    "half of a surrogate pair": "{{ '\\ud800' }}",
    "escape": "{{ '\\x1b[31m' }}",
}


def soon(call: Callable[[], object]) -> None:
    """Call, and see that it took neither long nor much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    call()
    assert time.process_time() - started < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 * 1024


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_absurd_configs_are_refused_soon(tmp_path: Path, text: str) -> None:
    """A `site.toml` of absurd numbers or sizes is refused in words, within seconds."""
    config = write_site(tmp_path, site=f'title = "A"\n{text}\n')

    def load() -> None:
        with pytest.raises(ConfigError, match=r"site\.toml"):
            load_site(config)

    soon(load)


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_absurd_templates_are_refused_soon(tmp_path: Path, text: str) -> None:
    """A page with absurd values is refused with its line."""
    site = load_site(write_site(tmp_path, text, SITE))

    def read() -> None:
        with pytest.raises(ConfigError, match=r"index\.md:1"):
            read_pages(site)

    soon(read)


@pytest.mark.parametrize("opened", ["<!--", "<?", "<![CDATA[", "<a b='", "</"])
def test_tags_without_end_are_read_soon(tmp_path: Path, opened: str) -> None:
    """Thousands of tags that nothing closes are text within seconds."""
    site = load_site(write_site(tmp_path, "# Title\n\n" + opened * 40_000, SITE))
    soon(lambda: read_pages(site))


def test_equal_headings_are_read_soon(tmp_path: Path) -> None:
    """Thousands of headings of one text get ids of their own within seconds."""
    site = load_site(write_site(tmp_path, "# Title\n\n" + "## Words\n\n" * 5000, SITE))
    soon(lambda: read_pages(site))
