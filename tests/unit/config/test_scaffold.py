"""`sitegen new`: a site that builds at once, and never a file of somebody's overwritten."""

import json
import re
import textwrap
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import yaml

from sitegen.config import scaffold as module
from sitegen.config.scaffold import (
    IGNORED,
    WORKFLOW,
    new_site,
    own_requirement,
    scaffold,
)
from sitegen.config.schema import (
    Affiliation,
    Analytics,
    Author,
    Building,
    Citation,
    Icon,
    Link,
    ModelEntry,
    Site,
    load_site,
)
from sitegen.content.embeds import EMBEDS
from sitegen.content.groups import GROUPS
from sitegen.content.pages import read_pages
from sitegen.core.errors import ConfigError, PlatformError
from sitegen.figures.registry import figure_kinds
from tests.support.builders import tree_hash
from tests.support.paths import ROOT

FILES = sorted(scaffold())
COMMENTED = re.compile(r"# (\w+ = |\[)")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A new site."""
    new_site(tmp_path / "deep" / "paper")
    return tmp_path / "deep" / "paper"


def test_files(new: Path) -> None:
    """These files alone; the page has a small call of each kind, and takes the README's."""
    found = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
    wanted = ".github/workflows/pages.yml .gitignore pages/index.md requirements-render.txt"
    assert found == FILES == [*wanted.split(), "site.toml"]
    text = (new / "pages/index.md").read_text()
    assert {*figure_kinds(), *EMBEDS, *GROUPS} <= set(re.findall(r"(\w+)\(", text))
    assert "\n::: details " in text
    (page,) = read_pages(load_site(new / "site.toml"))
    assert {figure.kind for figure in page.figures} == set(figure_kinds()) - {"gallery"}
    assert all(figure.caption for figure in page.figures)
    readme = (ROOT / "README.md").read_text()
    calls = [line.strip() for line in readme.splitlines() if line.startswith("    {{")]
    assert len(calls) >= 3
    first = readme.index("    " + calls[0])
    block = readme[first : readme.index(calls[-1]) + len(calls[-1])]
    (new / "pages/index.md").write_text(textwrap.dedent(block))
    (page,) = read_pages(load_site(new / "site.toml"))
    assert len(page.body) >= len(calls)


def test_config_has_every_key(new: Path) -> None:
    """Without the comment marks it is valid and says everything that a site can say."""
    config = new / "site.toml"
    text = config.read_text().replace("YOU.github.io/REPOSITORY/", "paper.example.org/")
    for name in ("results", "data"):
        (new / "pages" / f"{name}.md").write_text("Words.")
    lines = text.splitlines()
    config.write_text("\n".join(re.sub(r"^# ", "", x) if COMMENTED.match(x) else x for x in lines))
    (new / "checkpoints").mkdir()
    for name in ("faces.pth", "faces.toml"):
        (new / "checkpoints" / name).touch()
    site = load_site(config)
    assert site.citation is not None
    entries = [
        site,
        *site.authors,
        *site.affiliations,
        *site.links,
        site.citation,
        *site.models.values(),
    ]
    for table in (Site, Author, Affiliation, Link, Citation, Building, Analytics, ModelEntry):
        made = (
            entry for entry in [*entries, site.build, site.analytics] if isinstance(entry, table)
        )
        said = set().union(*(each.model_fields_set for each in made))
        assert said == {*table.model_fields}
    assert "faces" in site.models
    for icon in get_args(Icon):
        assert re.search(rf"[:,#] {icon}[,.]", text), icon


def test_names_all_that_is_in_the_way(new: Path, tmp_path: Path) -> None:
    """Every file in the way has its line; other things may be there, but no file for a folder."""
    before = tree_hash(new)
    with pytest.raises(ConfigError) as caught:
        new_site(new)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()[:-1]] == [
        str(new / name) for name in FILES
    ]
    assert tree_hash(new) == before
    for name in FILES:
        (new / name).unlink()
    theirs = ("README.md", "LICENSE", IGNORED)  # as GitHub makes a repository
    for name in theirs:
        (new / name).write_text("mine")
    assert new_site(new) == tuple(name for name in FILES if name != IGNORED)
    assert {(new / name).read_text() for name in theirs} == {"mine"}
    (tmp_path / "paper").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        new_site(tmp_path / "paper")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "pages").write_text("mine")
    with pytest.raises(PlatformError, match=r"pages"):
        new_site(tmp_path / "site")


def workflow() -> Any:
    """The workflow as GitHub reads it."""
    return yaml.safe_load(scaffold()[WORKFLOW])


def test_workflow_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds from the store, deploys the default branch, by GitHub's actions and our package."""
    jobs = workflow()["jobs"]
    assert set(jobs) == {"build", "deploy"}
    runs = [step["run"] for step in jobs["build"]["steps"] if "run" in step]
    assert runs[-1] == "sitegen build --offline --strict"
    assert runs[1] == "python -m pip install --requirement requirements-render.txt"
    assert runs[2] == 'python -m pip install --no-deps "$SITEGEN"'
    upload = jobs["build"]["steps"][-1]
    assert upload["uses"].startswith("actions/upload-pages-artifact@")
    assert upload["with"] == {"path": "build"}
    assert jobs["deploy"]["needs"] == "build"
    assert jobs["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert jobs["deploy"]["environment"]["name"] == "github-pages"
    assert "pull_request" in jobs["deploy"]["if"]
    assert "default_branch" in jobs["deploy"]["if"]
    text = scaffold()[WORKFLOW]
    assert re.findall(r"uses: (\w+)/", text) == ["actions"] * 4
    for words in ("Settings → Pages", "GitHub Actions", "In a fork", "git add .sitegen"):
        assert words in text
    for known in [None, "sitegen-diffusion @ git+https://example.org/sitegen@0123"]:
        monkeypatch.setattr(module, "own_requirement", lambda known=known: known)
        assert workflow()["jobs"]["build"]["env"] == {"SITEGEN": known or ""}
        for text in scaffold().values():
            assert not re.search(r"^\s*sitegen\b|install sitegen|sitegen==", text, re.MULTILINE)


COMMIT = "0123456789abcdef0123456789abcdef01234567"
WHEEL = "https://example.org/sitegen_diffusion-0.1.0-py3-none-any.whl"
GIT = {"url": "https://example.org/sitegen.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, "sitegen-diffusion==1.2.3"),
        ("", None),
        ("not JSON", None),
        (json.dumps(GIT), f"sitegen-diffusion @ git+https://example.org/sitegen.git@{COMMIT}"),
        (json.dumps({**GIT, "url": "ssh://example.org/x"}), None),
        (json.dumps({**GIT, "url": "https://me:secret@example.org/x"}), None),
        (json.dumps({"url": "file:///wheel", "archive_info": {}}), None),
        (json.dumps({"url": "https://example.org/x", "dir_info": {}}), None),
        (json.dumps({"url": WHEEL, "archive_info": {}}), f"sitegen-diffusion @ {WHEEL}"),
    ],
)
def test_where_sitegen_comes_from(
    origin: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release, or a commit or a file that all can read; nothing else is named at all."""
    reads = {"direct_url.json": origin}.__getitem__
    installed = SimpleNamespace(read_text=reads, version="1.2.3")
    monkeypatch.setattr(metadata, "distribution", lambda name: installed)
    if origin is None:
        assert own_requirement() is None  # this checkout is no release
        monkeypatch.setattr(module, "_CHECKOUT", ROOT / "nowhere" / "pyproject.toml")
    assert own_requirement() == expected
