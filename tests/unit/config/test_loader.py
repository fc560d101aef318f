"""`site.toml`: a good one is read into a frozen Site, a bad one is told about in full."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from sitegen.config import schema as tables
from sitegen.config.schema import load_site, with_model
from sitegen.core.errors import ConfigError
from sitegen.models.registry import site_models
from tests.support.fabricated import FULL, make_site, write_site

EVERYTHING = f"""
language = "pt-BR"
output = "out"
cache_dir = ".kept"
{FULL}
[models.other]
path = "weights.pth"
card = "other.toml"
"""


def fault(folder: Path, text: str) -> str:
    """Say what is wrong with a site.toml."""
    with pytest.raises(ConfigError) as caught:
        load_site(write_site(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


def test_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key arrives, frozen, every path whole; a title is enough, files may come later."""
    (tmp_path / "weights.pth").touch()
    (tmp_path / "other.toml").touch()
    site = make_site(tmp_path, EVERYTHING)
    assert site.root == tmp_path
    assert (site.output, site.cache_dir) == (tmp_path / "out", tmp_path / ".kept")
    assert site.authors[0].affiliation == "A university"
    assert (site.links[0].icon, site.citation and site.citation.year) == ("code", 2023)
    mnist, other = site.models.values()
    assert (mnist.name, mnist.path) == ("mnist", tmp_path / "models/mnist")
    assert mnist.card_path == tmp_path / "models/mnist/model.toml"
    assert (other.path, other.card_path) == (tmp_path / "weights.pth", tmp_path / "other.toml")
    with pytest.raises(ValidationError):
        site.title = "another"
    monkeypatch.chdir(tmp_path)
    assert load_site(Path("site.toml")).root == tmp_path
    site = make_site(tmp_path, 'title = "T"')
    assert (site.output, site.cache_dir) == (tmp_path / "build", tmp_path / ".sitegen")
    assert (site.language, dict(site.models), site.authors) == ("en", {}, ())
    text = 'title = "T"\n[models.a]\npath = "checkpoints/a.pth"\npreset = "cifar10"\n'
    site = make_site(
        tmp_path, f'{text}[models.b]\npath = "b.pth"\ncard = "models/mnist/model.toml"'
    )
    a, b = site.models.values()
    assert (a.path, a.preset, a.card) == (tmp_path / "checkpoints/a.pth", "cifar10", None)
    assert (b.path, b.card_path) == (tmp_path / "b.pth", tmp_path / "models/mnist/model.toml")
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


MESSAGES = [
    ("", "site.toml: title is missing: The title of the paper."),
    ('titel = "x"\ntitle = "T"', 'site.toml:1: titel: unknown key, did you mean "title"?'),
    ("title = true", "site.toml:1: title = true: Input should be a valid string"),
    (
        'title = "\\u0000"',
        'site.toml:1: title = "\\u0000": should not contain the character U+0000',
    ),
    (
        'title = "T"\n[[authors]]\nname = "A"\n[[authors]]\nurl = "javascript:alert(1)"',
        "site.toml:4: authors[1].name is missing: The author's name as printed.\n"
        'site.toml:5: authors[1].url = "javascript:alert(1)": '
        "should begin with https://, http:// or mailto:, or be a path in the site",
    ),
    ('title = "T"\nauthors = "A"', 'site.toml:2: authors = "A": Input should be a valid tuple'),
    ('title = "T"\nmodels = 1', "site.toml:2: models = 1: Input should be a valid dictionary"),
    (
        'title = "T"\n[[links]]\nlabel = "P"\nurl = "p.pdf"\nicon = "papr"',
        "site.toml:5: links[0].icon = \"papr\": Input should be 'arxiv', 'code', 'data', "
        "'demo', 'model', 'page', 'paper', 'poster', 'slides' or 'video', did you mean \"paper\"?",
    ),
    (
        'title = "T"\n[models.m]\npath = "x.pth"\npreset = "cifar1"',
        'site.toml:4: models.m.preset = "cifar1": no such preset, did you mean "cifar10"?',
    ),
    (
        'title = "T"\nmenu = ["idnex"]\nbuild = 0',
        "site.toml:3: build = 0: Input should be a valid dictionary or instance of Building",
    ),
    ('title = "T"\n[citation]\nkey = "k"\nyear = 2026\ntype = "article"\nbooktitle = "B"',
     'site.toml:2: citation: type = "article" needs journal = …, or a verbatim entry'),
    ('title = "T"\n[citation]\nkey = "k"',
     'site.toml:2: citation: type = "misc" needs year = …, or a verbatim entry'),
    ('title = "T"\ntitle = "U"',
     "site.toml:2: is not TOML: Cannot overwrite a value (at end of document)"),
    ("a = 1\n[x\n", "site.toml:2: is not TOML: "
     "Expected ']' at the end of a table declaration (at line 2, column 3)"),
    ("a = " + "[" * 5000 + "]" * 5000, "site.toml: is nested too deeply"),
]  # fmt: skip
PLACES: list[tuple[str, list[str]]] = [
    ("title = nan", ["1: title = nan"]), ('title = "  "', ['1: title = "  "']),
    ('language = "english language"', ['1: language = "english language"', " title is missing"]),
    ('base_url = "https://a.org/b?c"', ['1: base_url = "https://a.org/b?c"', " title is missing"]),
    ('title = "T', ["1: is not TOML"]), ("title = 1e", ["1: is not TOML"]),
    ('title = "T"\nauthors = ["A"]\ncitation = 1', ['2: authors[0] = "A"', "3: citation = 1"]),
    ('title = "T"\n[models.Big]\npath = "models/mnist"', ['2: models.Big = "Big"']),
    ('title = "T"\n[models.m]\npth = "models/mnist"',
     ["2: models.m.path is missing", "3: models.m.pth: unknown key"]),
    ('title = "T"\n[models.m]\npath = 3', ["3: models.m.path = 3"]),
    ('title = "T"\n[models.m]\npath = "a\\nb"', ['3: models.m.path = "a\\nb"']),
    ('title = "T"\n[models.m]\npath = "pages"', ["2: models.m: the folder has no model.toml"]),
    ('title = "T"\n[models.m]\npath = "pages/index.md"', ["2: models.m: no model card"]),
    ('title = "T"\n[models.m]\npath = "flow.py"',
     ['2: models.m: path = "FILE.py" lacks']),
    ('title = "T"\n[models.m]\npath = "x.pth"\npreset = "cifar10"\ncard = "pages/index.md"',
     ["2: models.m: give a card or a preset, not both"]),
    ('title = "T"\n[models.m]\npath = "models/mnist"\npreset = "cifar10"',
     ["2: models.m: the folder has its own model card"]),
    ('title = "T"\nmenu = ["index"]', ['2: menu = ["index"]: should not name the front page']),
    ('title = "T"\nmenu = ["a", "a"]', ['2: menu = ["a", "a"]']),
    ('title = "T"\n[citation]\nkey = "a b"\nyear = 2023.0',
     ['3: citation.key = "a b"', "4: citation.year = 2023.0"]),
    ('title = "T"\nbase_url = "https://a.org/"\ndomain = "b.org"',
     ['3: domain = "b.org": base_url has the host a.org']),
    *(
        (f"title = 'T'\n{key} = '{path}'", [f'2: {key} = "{path}"'])
        for key in ("output", "cache_dir")
        for path in ("..", "a/../..", ".", "/x", "")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MESSAGES)
def test_messages(tmp_path: Path, text: str, message: str) -> None:
    """The words, with file, line, key, value, rule and close match."""
    assert fault(tmp_path, text) == message


@pytest.mark.parametrize(("text", "places"), PLACES)
def test_places(tmp_path: Path, text: str, places: list[str]) -> None:
    """What else can be wrong is told of the key, in its line, in the order of the lines."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/a.md").touch()
    lines = fault(tmp_path, text).splitlines()
    for place in places:
        assert any(line.startswith(f"site.toml:{place}") for line in lines), lines
    assert len(lines) == len(places)


def test_short_messages(tmp_path: Path) -> None:
    """Long faults take a screenful; a table goes after other models, with the file's line ends."""
    message = fault(tmp_path, f'title = "{"a" * 1_000_000}"')
    assert "should have at most 10000 characters" in message
    assert len(message) < 200
    text = 'title = "T"\r\n[models.a]\r\npath = "m"\r\n'
    found = with_model(text, "birds", ENTRY)
    assert found.startswith(text)
    assert found.count("\n") == found.count("\r\n") == 7
    with pytest.raises(ConfigError, match=r"write into models: birds = \{ path = .*birds/model"):
        with_model('models = {a = {path = "m"}}\n[x]\ny = 1\n', "birds", ENTRY)
    for text, wanted in TEXTS:
        assert tomllib.loads(wanted)["models"]["birds"] == ENTRY
        assert with_model(text, "birds", ENTRY) == wanted


ENTRY = {"path": 'runs/a "b".pth', "card": "models/birds/model.toml"}
TABLE = """[models.birds]
path = "runs/a \\"b\\".pth"
card = "models/birds/model.toml"
"""
TEXTS = [
    ('title = "T"', f'title = "T"\n\n{TABLE}'),
    ('[models.a]\npath = "m"\n\n\n', f'[models.a]\npath = "m"\n\n{TABLE}'),
    ('models.a.path = "m"\n[citation]\n', f'models.a.path = "m"\n[citation]\n\n{TABLE}'),
]


def test_models_that_are_not_there(tmp_path: Path) -> None:
    """The site is read, since no page may call them; each is told with its line and the nearest."""
    text = (
        'title = "T"\n[models.a]\npath = "nowhere"\n[models.b]\npath = "page"\n'
        '[models.c]\npath = "models/none"\ncard = "no.toml"\n'
        '[models.d]\npath = "d.pth"\npreset = "cifar10"\n'
    )
    (tmp_path / "pages").mkdir()
    (tmp_path / "site.toml").write_text(text)
    site = load_site(tmp_path / "site.toml")
    told = {
        name: str(fault).replace(f"{tmp_path}/", "")
        for name, fault in site.missing_models().items()
    }
    assert told == {
        "a": "site.toml:3: models.a.path: is not there; looked for nowhere; if clips are not "
        "rendered here nowhere/model.toml is enough: add it to git",
        "b": 'site.toml:5: models.b.path: is not there; looked for page, did you mean "pages"?',
        "c": "site.toml:8: models.c.card: is not there; looked for no.toml",
    }
    assert set(site_models(site)) == {"d"}


def test_a_wrong_folder(tmp_path: Path) -> None:
    """Where there is no site, the ways to one are told."""
    with pytest.raises(ConfigError, match=r"no such file; .*--config.*sitegen new"):
        load_site(tmp_path / "site.toml")
