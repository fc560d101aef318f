"""The wheel holds everything that an installed sitegen needs."""

import json
import tomllib
import zipfile
from pathlib import Path
from typing import get_args

import pytest
from packaging.requirements import Requirement

from scripts import sbom
from sitegen.core.installed import Resource
from tests.support.builders import run_python
from tests.support.paths import ROOT

BESIDE = ("models", "scaffold", "templates", "static")
INSIDE = {"client": "server/client", "presets": "generative/card/presets"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree, built without a network."""
    folder = tmp_path_factory.mktemp("dist")
    done = run_python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


def files(folder: str) -> set[str]:
    """The files under a folder of the repository, as paths from its root."""
    paths = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    found = {path.relative_to(ROOT).as_posix() for path in paths}
    return {path for path in found if "__pycache__" not in path}


def test_wheel_holds_code_and_shipped_files(wheel: Path) -> None:
    """Every file of the package, its presets, models, templates and styles; no tests."""
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {f"sitegen/_data/{path}" for folder in BESIDE for path in files(folder)}
    assert {name for name in names if ".dist-info/" not in name} == files("sitegen") | data
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_unpacked_wheel_finds_its_files(wheel: Path, tmp_path: Path) -> None:
    """Without the checkout, every shipped folder is found inside the package, and is not empty."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = "from sitegen.core.installed import resource\n"
    program += f"for name in {get_args(Resource)}: print(resource(name))\n"
    done = run_python("-c", program, folder=tmp_path, PYTHONPATH=str(tmp_path))
    found = [Path(line).relative_to(tmp_path / "sitegen") for line in done.stdout.splitlines()]
    inside = {**{name: f"_data/{name}" for name in BESIDE}, **INSIDE}
    assert [str(path) for path in found] == [inside[name] for name in get_args(Resource)]
    assert all(any((tmp_path / "sitegen" / path).iterdir()) for path in found)


def test_wheel_holds_its_bill_of_materials(wheel: Path) -> None:
    """What an installed sitegen needs is listed in the wheel, as `make lock` would write it."""
    files = zipfile.ZipFile(wheel)
    (name,) = (name for name in files.namelist() if ".dist-info/sboms/" in name)
    assert name.endswith("/sboms/sitegen.cdx.json")
    assert files.read(name).decode() == sbom.text(), "`python -m scripts.sbom` writes it"
    listed = {each["name"] for each in json.loads(sbom.text())["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {Requirement(each).name for each in project["dependencies"]} <= listed
