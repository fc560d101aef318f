"""A kind of figure of another package: the manual's own, installed as it stands there."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.support.builders import run_python, write_site
from tests.support.paths import ROOT
from tests.support.tinymodel import write_model

LEVELS_SHOWN = "<dt>Levels</dt>\n<dd>4, 2, 0</dd>"
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


def run(installed: Path, *words: str, folder: Path = ROOT) -> str:
    """Run Python where the package is installed, and return what it said."""
    paths = os.pathsep.join([str(installed), str(ROOT)])
    done = run_python(*words, folder=folder, PYTHONPATH=paths)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_page_with_it_is_built(installed: Path, tmp_path: Path) -> None:
    """Still, words, download, origin and media.json are those of every kind, and it is reused."""
    write_model(write_site(tmp_path, CALL).parent / "models" / "tiny")
    build = ("-m", "sitegen", "build", "--device", "cpu")
    run(installed, *build, folder=tmp_path)
    manifest = (tmp_path / "build/media.json").read_bytes()
    (entry,) = json.loads(manifest)["figures"]
    assert (entry["id"], entry["kind"], entry["caption"]) == ("tiny-strip", "strip", "A strip.")
    assert entry["alt"] == "One sample at some levels, side by side, of the model tiny"
    assert entry["parameters"]["levels"] == [4, 2, 0]
    image = entry["files"]["image"]
    assert (tmp_path / "build" / image["path"]).stat().st_size == image["bytes"]
    assert image["width"] == 3 * image["height"]
    html = (tmp_path / "build/index.html").read_text()
    for words in (f'alt="{entry["alt"]}"', ">A strip.</p>", "How this was made", LEVELS_SHOWN):
        assert words in html
    assert re.search(r'<a href="media/tiny-strip-\w+\.webp" download[^>]*>WEBP</a>', html)
    assert "figures: 0 rendered, 1 reused" in run(installed, *build, folder=tmp_path)
    assert (tmp_path / "build/media.json").read_bytes() == manifest


def test_the_manual_has_a_section_of_it(installed: Path) -> None:
    """With its call, and each argument with its description."""
    page = run(installed, "-c", MANUAL)
    assert "## `strip`\n\nOne sample at some levels, side by side.\n" in page
    assert '{{ strip("mnist", levels=[100, 60, 40, 20, 0]) }}' in page
    assert "| `levels` | needed | The levels that are shown, flattest first. |" in page
