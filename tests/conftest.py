"""What every test may use: the recorded reference, a browser, and a site to look at in it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support import shared
from tests.support.paths import TESTS

pytest_plugins = ["tests.support.recorded"]

SWEEP = bool(os.environ.get("FAULTS"))  # of `make faults`
TEST_S = 0 if SWEEP else 300
"""Seconds that a test may take, so that one that waits for ever fails; 0 is no limit."""
PATCHED = (os, signal, subprocess, shutil, socket, time)
"""Modules that tests and their helpers change, and have to give back as they were."""

# How long an example takes says nothing on a machine that others use, too.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

# A run in the background inherits that Ctrl-C is ignored, one of `nohup` that a lost terminal is;
# tests and what they start ignore neither.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _modules_are_restored() -> Iterator[None]:
    """Fail a test after which a module of the standard library is not what it was before."""
    before, folder = [{**vars(module)} for module in PATCHED], Path.cwd()
    yield
    # The watcher of a preview enters its folder again, which a test may have left by then.
    os.chdir(folder)
    for module, names in zip(PATCHED, before, strict=True):
        changed = {name for name, value in vars(module).items() if names.get(name) != value}
        changed |= names.keys() - vars(module).keys()
        vars(module).update(names)
        assert not changed, f"{module.__name__} has changed after the test: {sorted(changed)}"


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that the workers of this run share."""
    if not hasattr(config, "workerinput"):
        config.add_cleanup(shared.begin())


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
    from tests.support.sample_site import build_sample
    from tests.support.serving import serving

    root = tmp_path_factory.mktemp("sample_site")
    with serving(root / "site" / "sub") as address:
        yield SampleSite(build_sample(root, address), address)


@pytest.fixture(scope="session")
def drawing_site() -> Path:
    """The folder of a built site with samplers; see `site_that_draws`."""
    from tests.support.drawing import site_that_draws

    return shared.once("drawing", site_that_draws)


@pytest.fixture(scope="session")
def atlas_site() -> Path:
    """The folder of a built site with maps; see `site_of_maps`."""
    from tests.support.drawing import site_of_maps

    return shared.once("maps", site_of_maps)


@pytest.fixture(scope="session")
def basics_site() -> Path:
    """The folder of the built site that `basics` walks through."""
    from tests.support.basics import site_of_basics

    return shared.once("basics", site_of_basics)


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
