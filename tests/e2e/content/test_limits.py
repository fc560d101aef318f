"""Pages and templates that never end stop a build with an error that names them."""

import re
import time
from pathlib import Path

import pytest

from sitegen.builder.context import BuildOptions, prepare
from sitegen.core import bounded, worker
from sitegen.core.errors import ConfigError
from tests.support.builders import CPU, run_sitegen, write_page, write_site

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}\n{{ b }}{% endfor %}{% endfor %}"
LIMIT_S = 3
PAGES = {
    "loop": (LOOP, r"pages/index\.md:[34]: takes more than 3 s"),
    "one operation": ("{{ 10**(10**9) }}", r"pages/index\.md: takes more than 3 s"),
    "macro": (
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        r"pages/index\.md:3: too much is nested",
    ),
}


@pytest.mark.fault(26)
@pytest.mark.parametrize(("text", "told"), PAGES.values(), ids=PAGES)
def test_page_without_end(tmp_path: Path, text: str, told: str) -> None:
    """The build ends with 2, and names the page and, where it is known, the line."""
    config = write_site(tmp_path / "site", f"# Title\n\n{text}\n")
    result = run_sitegen(config.parent, "build", "-q", FAKE_LIMIT=str(LIMIT_S))
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(rf"error: {told}[^\n]*\n", result.stderr)
    assert not (config.parent / "build").exists()


@pytest.mark.fault(26)
@pytest.mark.parametrize("name", ["page.html", "404.html"])
def test_template_without_end(tmp_path: Path, name: str) -> None:
    """A template of a theme that never ends is named with its line, as a page is."""
    config = write_site(tmp_path / "site", "# Title\n")
    templates = config.parent / "theme/templates"
    templates.mkdir(parents=True)
    (templates / name).write_text(f"a\n{LOOP}")
    result = run_sitegen(config.parent, "build", "-q", FAKE_LIMIT=str(LIMIT_S))
    assert result.returncode == 2
    assert re.match(rf"error: theme/templates/{name}:[23]: takes more than 3 s", result.stderr)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_every_start_method(config: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """A process that is a copy and one that starts from nothing read the same pages."""
    monkeypatch.setattr(worker, "start_method", lambda: method)
    page = prepare(config, BuildOptions(CPU)).pages[0]
    assert [figure.id for figure in page.figures] == ["tiny-trajectories"]
    write_page(config, "{{ nothing() }}")
    with pytest.raises(ConfigError, match=r"index\.md:1: 'nothing' is undefined") as caught:
        prepare(config, BuildOptions(CPU))
    assert [problem.line for problem in caught.value.problems] == [1]  # type: ignore[attr-defined]


def test_without_a_timer(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a process has no timer, the page is still stopped and named."""
    monkeypatch.setattr(bounded, "_set_timer", lambda seconds: None)
    monkeypatch.setattr(bounded, "SECONDS", 0.5)
    monkeypatch.setattr(bounded, "_BLOCKED", 5.0)
    write_page(config, LOOP)
    with pytest.raises(ConfigError, match=r"index\.md: takes more than 0\.5 s"):
        prepare(config, BuildOptions(CPU))


def _broken() -> None:
    bounded.begin_page("pages/more.md")
    raise KeyError("x")


def test_unexpected_error() -> None:
    """An exception that is none of ours has the page, and the file and line that raised it."""
    told = r"^pages/more\.md: KeyError: 'x' \(.*test_limits\.py:\d+\)"
    with pytest.raises(worker.UnexpectedError, match=told):
        bounded.bounded(_broken)


def test_chance_and_addresses_are_the_same_each_time(tmp_path: Path) -> None:
    """The filter `random` and a function printed as text give the same page in each build."""
    text = "{{ range(1000)|random }} {{ range(1000)|random }} {{ (trajectories|string)[-9:-1] }}"
    pages = set()
    for number in range(3):
        config = write_site(
            tmp_path / str(number), f"# Title\n\n{text} {{{{ (range|string)[-9:-1] }}}}\n"
        )
        result = run_sitegen(config.parent, "build", "-q", PYTHONHASHSEED=str(number))
        assert result.returncode == 0, result.stderr
        pages.add((config.parent / "build/index.html").read_bytes())
    assert len(pages) == 1


def test_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time in which other programs run does not count."""
    monkeypatch.setattr(bounded, "SECONDS", 0.5)
    assert bounded.bounded(time.sleep, 1.5) is None
