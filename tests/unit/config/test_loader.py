"""`site.toml`: a good one is read into a frozen Site, a bad one is told about in full."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sitegen.config import schema as tables
from sitegen.config.loader import load_site
from sitegen.config.schema import Site
from sitegen.core.errors import ConfigError
from tests.support.fabricated import make_site, write_site

FULL = """
title = "A title"
description = "What it is."
lead = "How it opens."
venue = "A conference"
language = "pt-BR"
base_url = "https://example.org/paper/"
output = "out"
cache_dir = ".kept"

[[authors]]
name = "Ana"
url = "https://example.org/~ana/"
affiliation = "A university"

[[links]]
label = "Code"
url = "https://example.org/code"
icon = "code"

[citation]
key = "ana2023"
type = "article"
journal = "A journal"
year = 2023

[models.mnist]
path = "models/mnist"

[models.other]
path = "weights.pth"
card = "other.toml"
"""


def fault(folder: Path, text: str) -> str:
    """Say what is wrong with a site.toml."""
    with pytest.raises(ConfigError) as caught:
        load_site(write_site(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


def test_everything(tmp_path: Path) -> None:
    """Every key arrives, and every path is whole."""
    (tmp_path / "weights.pth").touch()
    (tmp_path / "other.toml").touch()
    site = make_site(tmp_path, FULL)
    assert site.root == tmp_path
    assert (site.output, site.cache_dir) == (tmp_path / "out", tmp_path / ".kept")
    assert site.authors[0].affiliation == "A university"
    assert (site.links[0].icon, site.citation and site.citation.year) == ("code", 2023)
    mnist, other = site.models.values()
    assert (mnist.name, mnist.path) == ("mnist", tmp_path / "models/mnist")
    assert mnist.card_path == tmp_path / "models/mnist/model.toml"
    assert (other.path, other.card_path) == (tmp_path / "weights.pth", tmp_path / "other.toml")


def test_defaults(tmp_path: Path) -> None:
    """A title is enough."""
    site = make_site(tmp_path, 'title = "T"')
    assert (site.output, site.cache_dir) == (tmp_path / "build", tmp_path / ".sitegen")
    assert (site.language, dict(site.models), site.authors) == ("en", {}, ())


def test_root_does_not_depend_on_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site's folder is absolute, also when site.toml was named relatively."""
    write_site(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_site(Path("site.toml")).root == tmp_path


def test_frozen(tmp_path: Path) -> None:
    """Nothing about a site can be changed."""
    site = make_site(tmp_path)
    with pytest.raises(ValidationError):
        site.title = "another"
    with pytest.raises(TypeError):
        site.models["x"] = site.models["mnist"]  # type: ignore[index]


def test_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`models/NAME` is looked for beside site.toml first, then among what travels with sitegen."""
    shipped = tmp_path / "shipped" / "models"
    (shipped / "tiny").mkdir(parents=True)
    (shipped / "tiny" / "model.toml").touch()
    monkeypatch.setattr(tables, "resource", lambda name: shipped)
    site = make_site(tmp_path / "site", 'title="T"\n[models.t]\npath = "models/tiny"')
    assert site.models["t"].path == shipped / "tiny"
    own = tmp_path / "site" / "models" / "tiny"
    own.mkdir()
    (own / "model.toml").touch()
    assert load_site(tmp_path / "site" / "site.toml").models["t"].path == own


def test_checkpoints_may_come_later(tmp_path: Path) -> None:
    """Where a preset or a card says what it will be, the file need not be there."""
    text = 'title = "T"\n[models.a]\npath = "checkpoints/a.pth"\npreset = "cifar10"\n'
    site = make_site(
        tmp_path, f'{text}[models.b]\npath = "b.pth"\ncard = "models/mnist/model.toml"'
    )
    a, b = site.models.values()
    assert (a.path, a.preset, a.card) == (tmp_path / "checkpoints/a.pth", "cifar10", None)
    assert (b.path, b.card_path) == (tmp_path / "b.pth", tmp_path / "models/mnist/model.toml")


MESSAGES = [
    ("", "site.toml: title is missing: The title of the paper."),
    ('titel = "x"\ntitle = "T"', 'site.toml:1: titel: unknown key, did you mean "title"?'),
    ("title = 5", "site.toml:1: title = 5: should be a valid string"),
    ("title = true", "site.toml:1: title = true: should be a valid string"),
    ('title = ""', 'site.toml:1: title = "": should have at least 1 character'),
    ('title = "  "', 'site.toml:1: title = "  ": should have at least 1 character'),
    ("title = nan", "site.toml:1: title = nan: should be a valid string"),
    ('title = "a\\u0000"', 'site.toml:1: title = "a\\u0000": should not hold the character U+0000'),
    (
        'title = "T"\nlanguage = "english language"',
        'site.toml:2: language = "english language": should be a language tag such as en or pt-BR',
    ),
    (
        'title = "T"\nbase_url = "example.org"',
        'site.toml:2: base_url = "example.org": should begin with https:// or http://',
    ),
    (
        'title = "T"\n[[authors]]\nname = "A"\n[[authors]]\nurl = "javascript:alert(1)"',
        "site.toml:4: authors[1].name is missing: The author's name as printed.\n"
        'site.toml:5: authors[1].url = "javascript:alert(1)": '
        "should begin with https://, http:// or mailto:, or be a path in the site",
    ),
    ('title = "T"\nauthors = "A"', 'site.toml:2: authors = "A": should be a list'),
    ('title = "T"\nauthors = ["A"]', 'site.toml:2: authors[0] = "A": should be a table'),
    ('title = "T"\ncitation = 1', "site.toml:2: citation = 1: should be a table"),
    ('title = "T"\nmodels = 1', "site.toml:2: models = 1: should be a table"),
    (
        'title = "T"\n[[links]]\nlabel = "P"\nurl = "p.pdf"\nicon = "papr"',
        'site.toml:5: links[0].icon = "papr": should be "code", "data", "page", "paper", '
        '"poster" or "video", did you mean "paper"?',
    ),
    (
        'title = "T"\n[models.Big]\npath = "models/mnist"',
        'site.toml:2: models.Big = "Big": should be 1 to 64 of a-z, 0-9 and -, '
        "and not begin with -",
    ),
    (
        'title = "T"\n[models.m]\npth = "models/mnist"',
        "site.toml:2: models.m.path is missing: A folder with a model.toml, or a checkpoint "
        'file.\nsite.toml:3: models.m.pth: unknown key, did you mean "path"?',
    ),
    (
        'title = "T"\n[models.m]\npath = "nowhere"',
        'site.toml:3: models.m.path = "nowhere": is not there; looked for nowhere; '
        "where clips are only rendered nowhere/model.toml is enough: add it to git",
    ),
    (
        'title = "T"\n[models.m]\npath = "page"',
        'site.toml:3: models.m.path = "page": is not there; looked for page, did you mean "pages"?',
    ),
    (
        'title = "T"\n[models.m]\npath = "pages"',
        'site.toml:2: models.m: the folder holds no model.toml; name one: card = "FILE.toml"',
    ),
    (
        'title = "T"\n[models.m]\npath = "pages/index.md"',
        'site.toml:2: models.m: no model card; name one: card = "FILE.toml"',
    ),
    (
        'title = "T"\n[models.m]\npath = "x.pth"\npreset = "cifar1"',
        'site.toml:3: models.m.path = "x.pth": is not there; looked for x.pth\n'
        'site.toml:4: models.m.preset = "cifar1": no such preset, did you mean "cifar10"?',
    ),
    (
        'title = "T"\n[models.m]\npath = "x.pth"\npreset = "cifar10"\ncard = "pages/index.md"',
        "site.toml:2: models.m: give a card or a preset, not both",
    ),
    (
        'title = "T"\n[models.m]\npath = "x.pth"\ncard = "no.toml"',
        'site.toml:3: models.m.path = "x.pth": is not there; looked for x.pth\n'
        'site.toml:4: models.m.card = "no.toml": is not there; looked for no.toml',
    ),
    (
        'title = "T"\n[models.m]\npath = "models/mnist"\npreset = "cifar10"',
        "site.toml:2: models.m: the folder has a model card of its own; leave the preset out",
    ),
    (
        'title = "T"\nmenu = ["idnex"]\npage_budget = 0',
        'site.toml:2: menu = ["idnex"]: there is no page "idnex" in pages/\n'
        "site.toml:3: page_budget = 0: should be a whole number from 1 to 1000000",
    ),
    (
        'title = "T"\nmenu = ["index"]',
        'site.toml:2: menu = ["index"]: should not name the front page, which comes first anyway',
    ),
    (
        'title = "T"\nbase_url = "https://a.org/b?c"',
        'site.toml:2: base_url = "https://a.org/b?c": should end where the site begins, without ? '
        "and #",
    ),
    (
        'title = "T"\nbase_url = "https://a b.org"',
        'site.toml:2: base_url = "https://a b.org": should hold no spaces, control characters, \\, '
        '<, >, ", `, {, }, | or ^',
    ),
    (
        'title = "T"\n[models.m]\npath = 3',
        "site.toml:3: models.m.path = 3: should be a path in quotes",
    ),
    (
        'title = "T"\n[citation]\nkey = "a b"\nyear = 2023.0',
        'site.toml:3: citation.key = "a b": should be 1 to 64 letters of English, digits, :, _ and '
        "-\nsite.toml:4: citation.year = 2023.0: should be a whole number from "
        "1900 to 2200",
    ),
    (
        'title = "T"\n[citation]\nkey = "a"\nyear = 99999999999999999999',
        "site.toml:4: citation.year = 99999999999999999999: should be a whole number from 1900 to "
        "2200",
    ),
    (
        'title = "T"\noutput = "pages"',
        'site.toml:2: output = "pages": should not overlap with pages',
    ),
    (
        'title = "T"\noutput = "a"\ncache_dir = "a/b"',
        'site.toml:3: cache_dir = "a/b": should not overlap with output = "a"',
    ),
    ('title = "T"\ntheme = "dark"', "site.toml:2: theme: there is one look; remove this key"),
    (
        'title = "T"\ntitle = "U"',
        "site.toml:2: is not TOML: cannot overwrite a value; the key stands in this table already",
    ),
    (
        'title = "T"\n[citation]\nkey = "k"\nyear = 2026\ntype = "article"\nbooktitle = "B"',
        'site.toml:2: citation: type = "article" needs journal = "…"',
    ),
    ('title = "T', "site.toml:1: is not TOML: unterminated string"),
    ("a = 1\n[x\n", "site.toml:2: is not TOML: expected ']' at the end of a table declaration"),
    (
        "title = 1e",
        "site.toml:1: is not TOML: expected newline or end of document after a statement",
    ),
    ("a = " + "[" * 5000 + "]" * 5000, "site.toml: is nested too deeply"),
]


@pytest.mark.parametrize(("text", "message"), MESSAGES)
def test_messages(tmp_path: Path, text: str, message: str) -> None:
    """The words, with file, line, key, value, rule and close match."""
    assert fault(tmp_path, text) == message


@pytest.mark.parametrize("path", ["..", "../x", ".", "/tmp/x", "", "a/../..", "site.toml", "a\\b"])
def test_folders_that_are_not_ours(tmp_path: Path, path: str) -> None:
    """The folders that sitegen fills and clears lie in the site and hold nothing else."""
    for key in ("output", "cache_dir"):
        assert key in fault(tmp_path, f"title = 'T'\n{key} = '{path}'")


def test_output_is_not_a_model(tmp_path: Path) -> None:
    """The build does not go where a model lies, above it or below it."""
    for path in ("models", "models/mnist", "models/mnist/build"):
        text = f'title = "T"\ncache_dir = "{path}"\n[models.mnist]\npath = "models/mnist"'
        assert "should not overlap with the model mnist" in fault(tmp_path, text)


def test_huge_integer(tmp_path: Path) -> None:
    """An integer beyond what Python reads is a fault of the file, not of sitegen."""
    assert "is not TOML" in fault(tmp_path, f"title = {'1' * 5000}")


def test_long_values_are_cut(tmp_path: Path) -> None:
    """A megabyte in a value is refused in a short message."""
    message = fault(tmp_path, f'title = "{"a" * 1_000_000}"')
    assert "should have at most 10000 characters" in message
    assert len(message) < 200


@pytest.mark.parametrize("table", tables.TomlTable.__subclasses__())
def test_rules_of_every_table(table: type[BaseModel]) -> None:
    """Each table is frozen, forbids other keys and infinite numbers, and explains each key."""
    rules = table.model_config
    assert (rules["extra"], rules["frozen"], rules["allow_inf_nan"]) == ("forbid", True, False)
    for name, field in table.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


JUNK = st.one_of(
    st.none().map(lambda _: {}),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.text(max_size=3), max_size=3),
    st.sampled_from(["../..", "\u202e", "javascript:x", "a" * 20_000, "{{ 7*7 }}", "<script>"]),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)
PLACES: list[tuple[Any, ...]] = [
    *[(key,) for key in Site.model_fields],
    ("authors", 0, "name"),
    ("authors", 0, "url"),
    ("links", 0, "icon"),
    ("citation", "year"),
    ("models", "mnist", "path"),
    ("models", "x y"),
    ("nothing",),
]


@given(st.sampled_from(PLACES), JUNK)
def test_junk_is_loaded_or_told(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], junk: Any
) -> None:
    """Whatever stands at a key, the site is read or the message names it; no traceback."""
    folder = tmp_path_factory.mktemp("site")
    document: Any = tomlkit.parse(FULL.partition("[models.other]")[0])
    table = document
    for part in place[:-1]:
        table = table[part]
    table[place[-1]] = junk
    message = told(write_site(folder, tomlkit.dumps(document)))
    if message is not None:
        assert "site.toml" in message
        assert str(place[0]) in message or "holds the character" in message
        assert len(message) < 3000


def told(path: Path) -> str | None:
    """Read a site, and return what is wrong with it."""
    try:
        load_site(path)
    except ConfigError as error:
        return str(error)
    return None


def test_many_problems(tmp_path: Path) -> None:
    """A file of nothing but problems is told in a screenful, and without much memory."""
    text = "\n".join(f"k{number} = {number}" for number in range(30_000))
    tracemalloc.start()
    message = fault(tmp_path, text)
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    assert message.count("unknown key") == 49
    assert message.endswith("problems more")


@pytest.mark.parametrize("module", ["config", "figures", "pages", "render", "resources"])
def test_nothing_heavy_is_imported(module: str) -> None:
    """What only reads and renders imports neither torch, numpy nor an encoder."""
    heavy = "{'torch', 'numpy', 'imageio', 'imageio_ffmpeg', 'PIL', 'latex2mathml', 'tomlkit'}"
    code = f"import sys, sitegen.{module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.strip() == "[]"
