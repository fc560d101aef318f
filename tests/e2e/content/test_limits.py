"""Pages and templates that never end stop a build with an error that names them."""

import gc
import re
import time
from pathlib import Path

import pytest

from sitegen.builder.context import BuildOptions, prepare
from sitegen.core import bounded, worker
from sitegen.core.errors import ConfigError
from tests.support.builders import CPU, Builder, run_sitegen, write_page

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}\n{{ b }}{% endfor %}{% endfor %}"
STUCK = "{{ 10**(10**9) }}"  # one operation, which no signal interrupts
NESTED = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"
ENDLESS = {
    "pages/index.md": (LOOP, r"pages/index\.md:[34]: takes more than 3 s"),
    "pages/more.md": (STUCK, r"pages/more\.md: takes more than 3 s"),
    "pages/nested.md": (NESTED, r"pages/nested\.md:3: too much is nested"),
    "theme/templates/page.html": (LOOP, r"theme/templates/page\.html:[23]: takes more than 3 s"),
    "theme/templates/404.html": (LOOP, r"theme/templates/404\.html:[23]: takes more than 3 s"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_without_end(config: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A page or template that never ends is named and, where it is known, its line."""
    monkeypatch.setattr(bounded, "SECONDS", 3)
    monkeypatch.setattr(bounded, "_GRACE", 1)
    text, told = ENDLESS[name]
    (config.parent / name).parent.mkdir(parents=True, exist_ok=True)
    (config.parent / name).write_text(f"# Title\n\n{text}\n" if "pages" in name else f"a\n{text}")
    Builder(config).refused(ConfigError, told)
    assert not (config.parent / "build").exists()


def test_in_a_callback_of_the_garbage_collector(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback, such as that of Hypothesis, would lose the exception that has the line."""
    monkeypatch.setattr(bounded, "SECONDS", 3)
    write_page(config, LOOP)

    def slow(_phase: str, _about: object) -> None:
        for _ in range(300_000):
            pass

    gc.callbacks.append(slow)
    try:
        Builder(config).refused(ConfigError, r"index\.md:[12]: takes more than 3 s")
    finally:
        gc.callbacks.remove(slow)


def test_exit_code(config: Path) -> None:
    """The command ends with 2 and one line."""
    write_page(config, f"# Title\n\n{LOOP}\n")
    result = run_sitegen(config.parent, "build", "-q", FAKE_LIMIT="2")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r"error: pages/index\.md:[34]: takes more[^\n]*\n", result.stderr)


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
    monkeypatch.setattr(bounded, "_BLOCKED", 2.5)
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


def test_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time in which other programs run does not count."""
    monkeypatch.setattr(bounded, "SECONDS", 0.5)
    assert bounded.bounded(time.sleep, 1.5) is None
