"""What a machine that only renders installs is in step with what sitegen requires."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from sitegen.config import scaffold as requirements
from sitegen.config.scaffold import (
    NOT_FOR_RENDERING,
    own_requirement,
    render_requirements,
    version,
)
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lines(text: str) -> list[str]:
    """The requirements of a file, without its comments."""
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_in_step_with_the_project() -> None:
    """Everything that pyproject.toml requires, as it says, but for what renders or serves."""
    wanted = [
        line
        for line in PROJECT["dependencies"]
        if re.split(r"[<>=~! ]", line)[0] not in NOT_FOR_RENDERING
    ]
    assert lines(render_requirements()) == sorted(wanted)
    assert not any(line.startswith(("torch", "imageio")) for line in wanted)


def test_installed_without_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own metadata says the same; what belongs to extras is left out."""
    found = [*PROJECT["dependencies"], 'torchvision>=0.20; extra == "train"']
    monkeypatch.setattr(requirements, "_CHECKOUT", ROOT / "nowhere" / "pyproject.toml")
    monkeypatch.setattr(metadata, "requires", lambda name: found)
    monkeypatch.setattr(metadata, "version", lambda name: PROJECT["version"])
    text = render_requirements()
    monkeypatch.undo()
    assert text == render_requirements()


def test_somebody_elses_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pyproject.toml that lies beside an installed package and is not ours is not read.

    Where a checkout that is not installed comes from nobody knows.
    """
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "9"\n')
    monkeypatch.setattr(requirements, "_CHECKOUT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(metadata, "version", lambda name: "1.2.3")
    assert version() == "1.2.3"
    monkeypatch.setattr(metadata, "distribution", Mock(side_effect=metadata.PackageNotFoundError))
    assert own_requirement() is None


COMMIT = "0123456789abcdef0123456789abcdef01234567"
WHEEL = "https://example.org/sitegen-0.1.0-py3-none-any.whl"
GIT = {"url": "https://example.org/sitegen.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, None),
        ("", None),
        ("not JSON", None),
        (json.dumps(GIT), f"sitegen @ git+https://example.org/sitegen.git@{COMMIT}"),
        (json.dumps({**GIT, "url": "ssh://example.org/x"}), None),
        (json.dumps({**GIT, "url": "https://me:secret@example.org/x"}), None),
        (json.dumps({"url": "file:///wheel", "archive_info": {}}), None),
        (json.dumps({"url": "https://example.org/x", "dir_info": {}}), None),
        (json.dumps({"url": WHEEL, "archive_info": {}}), f"sitegen @ {WHEEL}"),
    ],
)
def test_where_sitegen_comes_from(
    origin: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit of a repository or a file, where all can read it; nothing else is named at all."""
    installed = SimpleNamespace(read_text={"direct_url.json": origin}.__getitem__)
    monkeypatch.setattr(metadata, "distribution", lambda name: installed)
    assert own_requirement() == expected
