"""A kind of figure of another package: the manual's own, installed as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.tinymodel import LEVELS, write_model

SITE = 'title = "A title"\n[models.tiny]\npath = "models/tiny"\n'
CALL = 'Words.\n\n{{ strip("tiny", levels=[4, 2, 0], caption="A strip.") }}\n'
MANUAL = "from scripts.manual import figures_page; print(figures_page())"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the files of the page, at most 80 lines of Python."""
    page = (ROOT / "docs/pages/extend.md").read_text(encoding="utf-8")
    files = re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files if name.endswith(".py")] == [
        "sitegen_strip/__init__.py",
        "sitegen_strip/sample.py",
    ]
    assert sum(text.count("\n") for name, text in files if name.endswith(".py")) <= 80
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    for name, text in files:
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    offline = ("--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check")
    run(target, "-m", "pip", "install", "-q", *offline, "--target", str(target), str(source))
    return target


def run(installed: Path, *words: str, code: int = 0, folder: Path = ROOT) -> str:
    """Run Python where the package is installed, and return what it said."""
    paths = os.pathsep.join([str(installed), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with a tiny model whose page calls the kind."""
    write_model(tmp_path / "models" / "tiny")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.md").write_text(CALL)
    (tmp_path / "site.toml").write_text(SITE)
    return tmp_path


def test_a_page_with_it_is_built(installed: Path, site: Path) -> None:
    """Still, alternative text, caption, download, origin and the entry in media.json are those of
    every other kind, and a second build finds all of it in the store.
    """
    build = ("-m", "sitegen", "build", "--device", "cpu")
    run(installed, *build, folder=site)
    (entry,) = json.loads((site / "build/media.json").read_text())["figures"]
    assert (entry["id"], entry["kind"], entry["caption"]) == ("tiny-strip", "strip", "A strip.")
    assert entry["alt"] == "One sample at some levels, side by side, of the model tiny"
    assert entry["parameters"]["levels"] == [4, 2, 0]
    image = entry["files"]["image"]
    assert (site / "build" / image["path"]).stat().st_size == image["bytes"]
    assert image["width"] == 3 * image["height"]
    html = (site / "build/index.html").read_text()
    assert f'alt="{entry["alt"]}"' in html
    assert ">A strip.</p>" in html
    assert re.search(r'<a href="media/tiny-strip-\w+\.webp" download[^>]*>WEBP</a>', html)
    assert "How this was made" in html
    assert "<dt>Levels</dt>\n<dd>4, 2, 0</dd>" in html
    before = (site / "build/media.json").read_bytes()
    assert "figures: 0 rendered, 1 reused" in run(installed, *build, folder=site)
    assert (site / "build/media.json").read_bytes() == before


def test_mistakes_are_told(installed: Path, site: Path) -> None:
    """With file and line, and the nearest name; before anything is sampled."""
    told = {
        "leves=[4]": 'strip(…): leves: unknown key, did you mean "levels"?',
        "levels=[0, 4]": "strip(…): levels = [0, 4]: should be levels that fall, none below 0",
        "levels=[9]": f"tiny-strip: strip(…): levels: the model tiny has {LEVELS}, not 9",
    }
    for calls in (["leves=[4]", "levels=[0, 4]"], ["levels=[9]"]):
        page = "\n".join(f'{{{{ strip("tiny", {arguments}) }}}}\n' for arguments in calls)
        (site / "pages/index.md").write_text(page)
        said = run(installed, "-m", "sitegen", "build", "--device", "cpu", code=2, folder=site)
        for line, arguments in enumerate(calls):
            place = f"pages/index.md:{1 + 2 * line}: "
            assert f"{place}{told[arguments]}" in " ".join(said.split())
    assert not (site / "build").exists()


def test_the_manual_has_a_section_of_it(installed: Path) -> None:
    """With its call, and each argument with its description."""
    page = run(installed, "-c", MANUAL)
    assert "## `strip`\n\nOne sample at some levels, side by side.\n" in page
    assert '{{ strip("mnist", levels=[100, 60, 40, 20, 0]) }}' in page
    assert "| `levels` | needed | The levels that are shown, flattest first. |" in page
