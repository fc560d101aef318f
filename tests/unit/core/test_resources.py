"""The shipped folders are found in a checkout and in an installed package alike."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from sitegen.core.errors import PlatformError
from sitegen.core.resources import resource
from tests.support.paths import ROOT


def test_checkout() -> None:
    """In this checkout the folders are those at its top."""
    assert resource("templates") == ROOT / "templates"
    assert resource("static") == ROOT / "static"


def test_installed(tmp_path: Path) -> None:
    """In an installed package they lie in `_data`, which wins over a folder beside the package."""
    package = tmp_path / "site-packages" / "sitegen"
    (package / "_data" / "models").mkdir(parents=True)
    (tmp_path / "site-packages" / "models").mkdir()
    assert resource("models", package) == package / "_data" / "models"


def test_wheel_puts_them_there() -> None:
    """The wheel is told to put every folder where `resource` looks for it."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    folders = ("models", "scaffold", "templates", "static")
    assert wheel["sources"] == {name: f"sitegen/_data/{name}" for name in folders}
    assert set(wheel["only-include"]) == {"sitegen", *folders}


def test_incomplete_installation(tmp_path: Path) -> None:
    """A missing folder is an environment error that names it."""
    with pytest.raises(PlatformError, match=r"folder models .* install it again"):
        resource("models", tmp_path / "sitegen")
