"""What every test may use: the recorded reference, a browser, and a site to look at in it."""

import os
import signal
from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from sitegen.core import bounded, worker
from tests.support import forked
from tests.support.paths import TESTS

pytest_plugins = ["tests.support.recorded"]

SWEEP = bool(os.environ.get("FAULTS"))  # of `make faults`
TEST_S = 0 if SWEEP else 1200
"""Seconds that a test may take, so that one that waits for ever fails; 0 is no limit."""
BUDGETS = {"unit": 400, "e2e": 900, "browser": 540, "tools": 400, "faults": 550}
"""Seconds of processors that each tier may take: about three times what it takes on a quiet
machine of two cores. TEST_BUDGET multiplies them, and 0 is no limit."""

_spent: dict[str, float] = defaultdict(float)
_last: list[float] = [sum(os.times()[:4])]

# How long an example takes says nothing on a machine that others use, too.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

# A run in the background inherits that Ctrl-C is ignored; tests and what they start are not.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The process of pages is a copy of the test's, with what a test replaced; xdist has a thread.
worker.start_method = lambda: "fork"


@pytest.fixture(autouse=True)
def _no_process_of_another_test() -> Iterator[None]:
    """End the process of pages after each test."""
    yield
    bounded.close()


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of recorded outputs; its README says what they are."""
    return TESTS / "reference"


@dataclass(frozen=True)
class SampleSite:
    """A built site with figures of every shape: its folder, and its address under a sub-path."""

    folder: Path
    address: str


@pytest.fixture(scope="session")
def sample_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleSite]:
    """The site that tests of the page look at, served as GitHub Pages would."""
    from bench.serving import serving
    from tests.support.sample_site import build_sample

    root = tmp_path_factory.mktemp("sample_site")
    with serving(root / "site" / "sub") as address:
        yield SampleSite(build_sample(root, address), address)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The `site.toml` of a miniature site that was never built."""
    from tests.support.builders import write_site

    return write_site(tmp_path / "site")


@pytest.fixture
def server(config: Path) -> Iterator[Any]:
    """A preview of that site, rendered; what it did until then is forgotten."""
    from tests.support.previewing import running

    with running(config) as server:
        server.wait_until_settled()
        server.renderer.jobs.clear()
        server.report.lines.clear()
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium; one a module, since there can be only one at a time."""
    from tests.support.browsing import chromium

    yield from chromium()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Fail a test that takes too long, where it waits."""

    def fail(_number: int, _frame: object) -> None:
        pytest.fail(f"it takes more than {TEST_S} s")

    signal.signal(signal.SIGALRM, fail)
    signal.alarm(TEST_S)
    try:
        return (yield)
    finally:
        signal.alarm(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Note the time of processors since the last report; processes count when they have ended."""
    report = yield
    now = sum(os.times()[:4]) + forked.processors()
    report.processors, _last[0] = now - _last[0], now
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the time of each tier."""
    tier = report.nodeid.removeprefix("tests/").partition("/")[0]
    _spent[tier] += getattr(report, "processors", 0.0)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a tier took more than its budget."""
    if _over_budget() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _over_budget() -> list[str]:
    limit = 0.0 if SWEEP else float(os.environ.get("TEST_BUDGET", "1"))
    return [tier for tier in BUDGETS if 0 < limit * BUDGETS[tier] < _spent[tier]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the time of each tier that ran, with its budget."""
    told = (f"{tier} {_spent[tier]:.0f} of {BUDGETS[tier]}" for tier in BUDGETS if _spent[tier])
    terminalreporter.write_line(f"seconds of processors, and budgets: {', '.join(told)}")
    if over := _over_budget():
        terminalreporter.write_line(f"over the budget (see tests/conftest.py): {', '.join(over)}")
