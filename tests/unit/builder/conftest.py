"""Miniature sites, rendered by fakes."""

import shutil
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.builders import Builder, write_site


@pytest.fixture
def site(tmp_path: Path) -> Builder:
    """A site that has not been built."""
    return Builder(write_site(tmp_path / "site"))


@pytest.fixture(scope="session")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that has been built once, to be copied."""
    site = Builder(write_site(tmp_path_factory.mktemp("prebuilt") / "site"))
    site()
    return site.root


@pytest.fixture
def lack(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Be on a machine where a package is not installed."""
    version = metadata.version

    def without(package: str, name: str) -> str:
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return version(name)

    return lambda package: monkeypatch.setattr(metadata, "version", partial(without, package))


@pytest.fixture
def built(prebuilt: Path, tmp_path: Path) -> Builder:
    """A site that has been built once."""
    shutil.copytree(prebuilt, tmp_path / "site")
    return Builder(tmp_path / "site/site.toml")
