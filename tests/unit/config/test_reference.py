"""The schema and the reference say what the config says; another program's validator agrees."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from scripts.reference import reference
from sitegen.config.json_schema import site_schema
from sitegen.config.scaffold import scaffold
from sitegen.config.schema import Site, load_site
from sitegen.core.errors import ConfigError
from tests.support.paths import ROOT

ALL = re.sub(r"(?m)^# (\w+ = |\[)", r"\1", scaffold()["site.toml"])
MISTAKES = [
    'titel = "b"', 'language = "english!"', 'base_url = "example.org"', 'theme = "paper"',
    'authors = "me"', '[[authors]]\nnmae = "b"', '[[authors]]\nname = "b"\nurl = "/absolute"',
    '[[links]]\nlabel = "b"', '[[links]]\nlabel = "b"\nurl = "c"\nicon = "codes"',
    '[citation]\nkey = "a b"\nyear = 2023', '[citation]\nkey = "a"\nyear = 1066',
    '[citation]\nkey = "a"\nyear = 2023\ntype = "books"',
    '[models.MNIST]\npath = "models/mnist"', '[models.mnist]\npth = "models/mnist"',
    '[models.mnist]\npath = 3',
]  # fmt: skip


def faults(text: str) -> list[Any]:
    """What an editor would underline."""
    return list(Draft202012Validator(site_schema()).iter_errors(tomllib.loads(text)))


@pytest.mark.parametrize(
    "text", ["", "title = 3", 'title = ""', *(f'title = "a"\n{text}' for text in MISTAKES)]
)
def test_mistakes(text: str, tmp_path: Path) -> None:
    """What an editor underlines, a build refuses."""
    assert faults(text)
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError):
        load_site(tmp_path / "site.toml")


def test_every_key_is_explained(tmp_path: Path) -> None:
    """Nothing is underlined in good files; each key has its sentence in editor and reference."""
    schema, page = site_schema(), reference()
    for table in (schema, *schema["$defs"].values()):
        assert table["additionalProperties"] is False
        for name, node in table["properties"].items():
            assert node["description"].endswith("."), name
            assert "null" not in json.dumps(node)
            assert node["description"] in page
            assert f"`{name}`" in page or f"[{name}" in page
    assert set(schema["properties"]) == set(Site.model_fields)
    assert not re.search(r"\{[{%#]", reference())
    found = re.search(r"```toml\n(.*)```", reference(), re.DOTALL)
    assert found is not None
    (tmp_path / "site.toml").write_text(found[1])
    assert load_site(tmp_path / "site.toml").title
    for text in [(ROOT / "site.toml").read_text(encoding="utf-8"), scaffold()["site.toml"], ALL]:
        Draft202012Validator.check_schema(site_schema())
        assert faults(text) == []
