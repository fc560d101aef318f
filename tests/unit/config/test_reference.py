"""The schema and the reference say what the config says; another program's validator agrees."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from sitegen.cli.main import cli
from sitegen.config.loader import load_site
from sitegen.config.reference import reference, site_schema
from sitegen.config.scaffold import scaffold
from sitegen.config.schema import Site
from sitegen.core.errors import ConfigError
from tests.support.builders import environment
from tests.support.paths import ROOT

ALL = re.sub(r"(?m)^# (\w+ = |\[)", r"\1", scaffold()["site.toml"])
MISTAKES = [
    "",
    "title = 3",
    'title = ""',
    'title = "a"\ntitel = "b"',
    'title = "a"\nlanguage = "english!"',
    'title = "a"\nbase_url = "example.org"',
    'title = "a"\nbase_url = "mailto:a@example.org"',
    'title = "a"\ntheme = "papper"',
    'title = "a"\noutput = 3',
    'title = "a"\nauthors = "me"',
    'title = "a"\n[[authors]]\nnmae = "b"',
    'title = "a"\n[[authors]]\nname = "b"\nurl = "/absolute"',
    'title = "a"\n[[links]]\nlabel = "b"',
    'title = "a"\n[[links]]\nlabel = "b"\nurl = "c"\nicon = "codes"',
    'title = "a"\n[citation]\nkey = "a b"\nyear = 2023',
    'title = "a"\n[citation]\nkey = "a"\nyear = 1066',
    'title = "a"\n[citation]\nkey = "a"\nyear = "2023"',
    'title = "a"\n[citation]\nkey = "a"\nyear = 2023\ntype = "book"',
    'title = "a"\n[models.MNIST]\npath = "models/mnist"',
    'title = "a"\n[models.mnist]\npth = "models/mnist"',
    'title = "a"\n[models.mnist]\npath = 3',
]


def faults(text: str) -> list[Any]:
    """What an editor would underline."""
    return list(Draft202012Validator(site_schema()).iter_errors(tomllib.loads(text)))


def test_it_is_a_schema() -> None:
    """By the standard's own schema."""
    Draft202012Validator.check_schema(site_schema())


@pytest.mark.parametrize(
    "text",
    [(ROOT / "site.toml").read_text(encoding="utf-8"), scaffold()["site.toml"], ALL],
    ids=["the paper's", "a new site's", "with every key"],
)
def test_good_files(text: str) -> None:
    """Nothing is underlined in what a build takes."""
    assert faults(text) == []


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes(text: str, tmp_path: Path) -> None:
    """What an editor underlines, a build refuses."""
    assert faults(text)
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError):
        load_site(tmp_path / "site.toml")


def test_every_key_is_explained() -> None:
    """Each key of each table has its sentence, for the editor and in the reference."""
    schema, page = site_schema(), reference()
    for table in (schema, *schema["$defs"].values()):
        assert table["additionalProperties"] is False
        for name, node in table["properties"].items():
            assert node["description"].endswith("."), name
            assert "null" not in json.dumps(node)
            assert node["description"] in page
            assert f"`{name}`" in page or f"[{name}" in page
    assert set(schema["properties"]) == set(Site.model_fields)


def test_reference_is_fresh() -> None:
    """`sitegen schema --reference > docs/pages/config.md` would change nothing."""
    assert (ROOT / "docs/pages/config.md").read_text(encoding="utf-8") == reference()


def test_example_of_the_reference(tmp_path: Path) -> None:
    """It is a site.toml that a build takes."""
    found = re.search(r"```toml\n(.*)```", reference(), re.DOTALL)
    assert found is not None
    (tmp_path / "site.toml").write_text(found[1])
    assert load_site(tmp_path / "site.toml").title


def test_reference_is_safe_in_a_page() -> None:
    """Nothing in it is taken for a figure call when sitegen builds its own documentation."""
    assert not re.search(r"\{[{%#]", reference())


def test_command() -> None:
    """`sitegen schema` prints both, on a machine that only renders."""
    command = [sys.executable, "-m", "tests.support.fakecli", "schema"]
    blocked = environment(FAKE_BLOCK="torch imageio_ffmpeg imageio")
    done = subprocess.run(command, env=blocked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == site_schema()
    assert CliRunner().invoke(cli, ["schema", "--reference"]).output == reference()
