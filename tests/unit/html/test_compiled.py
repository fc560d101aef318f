"""The code of shipped templates is kept, of the very template and sandbox, and of no other's."""

import os
import sys
from pathlib import Path

import pytest
from jinja2 import FileSystemLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sitegen.content import sandbox
from sitegen.html.compiled import CompiledTemplates


def rendered(shipped: Path, folder: Path) -> str:
    """What the template in a folder says, in an environment of its own."""
    kept = CompiledTemplates(shipped)
    environment = sandbox.sandbox(loader=FileSystemLoader(folder), bytecode_cache=kept)
    return environment.get_template("a").render()


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped templates, whose code may be kept."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "a").write_text("{{ 1 }}")
    return folder


def test_kept_until_it_is_another(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compiled once; again for another text, and for another sandbox of ours."""
    compiled = list[str]()
    own = ImmutableSandboxedEnvironment._parse

    def parse(self, source, *about):  # type: ignore[no-untyped-def]  # as the one it stands for
        compiled.append(source)
        return own(self, source, *about)

    monkeypatch.setattr(ImmutableSandboxedEnvironment, "_parse", parse)
    assert [rendered(shipped, shipped) for _ in range(3)] == ["1"] * 3
    assert compiled == ["{{ 1 }}"]
    (shipped / "a").write_text("{{ 2 }}")
    assert [rendered(shipped, shipped) for _ in range(2)] == ["2"] * 2
    assert compiled == ["{{ 1 }}", "{{ 2 }}"]
    other = shipped.parent / "sandbox.py"
    other.write_text("")
    monkeypatch.setattr(sandbox, "__file__", str(other))
    assert rendered(shipped, shipped) == "2"
    assert compiled[2:] == ["{{ 2 }}"]


@pytest.mark.parametrize("damage", [b"", b"j2", bytes(200), None])
def test_damaged_code_is_made_anew(shipped: Path, damage: bytes | None) -> None:
    """Whatever stands in its file, a folder too, the template is the same."""
    rendered(shipped, shipped)
    (path,) = (shipped / "__pycache__").iterdir()
    if damage is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damage)
    assert rendered(shipped, shipped) == "1"


def test_no_other_is_kept(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of an author's templates is, nor where Python keeps none, nor what cannot be."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "a").write_text("{{ 3 }}")
    assert rendered(shipped, own) == "3"
    assert os.listdir(own) == ["a"]
    assert os.listdir(shipped) == ["a"]
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered(shipped, shipped) == "1"
    assert os.listdir(shipped) == ["a"]
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (shipped / "__pycache__").write_bytes(b"")
    assert rendered(shipped, shipped) == "1"
