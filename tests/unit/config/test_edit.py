"""A table for a model is added to `site.toml`, and nothing else in the file changes."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitegen.config.loader import with_model
from sitegen.core.errors import ConfigError

ENTRY = {"path": 'runs/a "b".pth', "card": "models/birds/model.toml"}
TABLE = """[models.birds]
path = "runs/a \\"b\\".pth"
card = "models/birds/model.toml"
"""
TEXTS = [
    ('title = "T"', f'title = "T"\n\n{TABLE}'),
    ('title = "T"  # why\n', f'title = "T"  # why\n\n{TABLE}'),
    (
        'title = "T"\n[models.a]  # one\npath = "m" # it\n\n# how to cite\n[citation]\nkey = "k"\n',
        f'title = "T"\n[models.a]  # one\npath = "m" # it\n\n{TABLE}\n# how to cite\n'
        '[citation]\nkey = "k"\n',
    ),
    ('[models.a]\npath = "m"\n[citation]\n', f'[models.a]\npath = "m"\n\n{TABLE}\n[citation]\n'),
    ('[models]\na = {path = "m"}\n', f'[models]\na = {{path = "m"}}\n\n{TABLE}'),
    ('models.a.path = "m"\ntitle = "T"\n', f'models.a.path = "m"\ntitle = "T"\n\n{TABLE}'),
    ('[models.a]\npath = "m"\n\n\n', f'[models.a]\npath = "m"\n\n{TABLE}'),
    ('[models.a]\npath = """\nm\n"""\n', f'[models.a]\npath = """\nm\n"""\n\n{TABLE}'),
]


@pytest.mark.parametrize(("text", "wanted"), TEXTS)
def test_where_the_table_goes(text: str, wanted: str) -> None:
    """After the other models, before what follows them; at the end where that cannot be."""
    assert tomllib.loads(wanted)["models"]["birds"] == ENTRY
    assert with_model(text, "birds", ENTRY) == wanted


def test_line_ends_stay() -> None:
    """A file of Windows remains one. Where models are on one line, what to write is told."""
    text = 'title = "T"\r\n[models.a]\r\npath = "m"\r\n'
    found = with_model(text, "birds", ENTRY)
    assert found.startswith(text)
    assert found.count("\n") == found.count("\r\n") == 7
    with pytest.raises(ConfigError, match=r"write into models: birds = \{ path = .*birds/model"):
        with_model('models = {a = {path = "m"}}\n[x]\ny = 1\n', "birds", ENTRY)


NAMES = st.sampled_from(["a", "b", "c-d"])
BLOCKS = st.one_of(
    NAMES.map(lambda name: f'[models.{name}]  # {name}\npath = "x"\n'),
    st.sampled_from(["# words\n", "\n", "[citation]\nkey = 1\n", '[[authors]]\nname = "A"\n']),
)


@given(st.lists(BLOCKS, max_size=8))
def test_every_line_stays_in_its_order(blocks: list[str]) -> None:
    """Whatever the tables and comments are, they are there afterwards, and mean the same."""
    text = 'title = "T"\n' + "".join(dict.fromkeys(blocks))
    before = tomllib.loads(text)
    found = with_model(text, "birds", ENTRY)
    after = tomllib.loads(found)
    assert after["models"].pop("birds") == ENTRY
    assert after["models"] == before.get("models", {})
    assert {**after, "models": 0} == {**before, "models": 0}
    lines = iter(found.split("\n"))
    assert all(line in lines for line in text.rstrip().split("\n"))
