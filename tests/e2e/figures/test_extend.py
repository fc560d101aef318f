"""The manual's kind of figure of another package, as it is printed there."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from sitegen.core.errors import TargetError
from sitegen.figures.registry import package_of, plug_in_kinds
from tests.support.builders import CPU, write_site
from tests.support.paths import ROOT
from tests.support.reporters import Silent
from tests.support.tinymodel import write_model

PAGE = (ROOT / "docs/pages/extend.md").read_text(encoding="utf-8")
CODE = re.search(r"^`sitegen_strip.py`:\n\n```python\n(.*?)^```$", PAGE, re.M | re.S)
CALL = 'Words.\n\n{{ strip("tiny", levels=[4, 2, 0], caption="A strip.") }}\n'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A site with a tiny model, where the package of the manual is installed."""
    assert CODE is not None
    assert CODE[1].count("\n") <= 40
    entry = re.search(r'^strip = "(.*)"$', PAGE, re.MULTILINE)
    assert entry is not None
    monkeypatch.syspath_prepend(tmp_path / "installed")
    info = tmp_path / "installed" / "strip-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sitegen-strip\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[sitegen.figures]\nstrip = {entry[1]}\n")
    (tmp_path / "installed/sitegen_strip.py").write_text(CODE[1], encoding="utf-8")
    plug_in_kinds.cache_clear()
    config = write_site(tmp_path / "site", CALL)
    write_model(config.parent / "models" / "tiny")
    yield config
    sys.modules.pop("sitegen_strip", None)
    plug_in_kinds.cache_clear()
    package_of.cache_clear()


def built(config: Path) -> Path:
    """Build a site and return its folder."""
    build(config, BuildOptions(CPU), FigureRenderer, Silent())
    return config.parent / "build"


def test_a_page_with_it_is_built(site: Path) -> None:
    """Still, text, download, provenance and media.json are those of every kind."""
    output = built(site)
    (entry,) = json.loads((output / "media.json").read_bytes())["figures"]
    assert (entry["id"], entry["kind"], entry["caption"]) == ("tiny-strip", "strip", "A strip.")
    assert entry["alt"] == "One sample at some levels, side by side, of the model tiny"
    assert entry["parameters"]["levels"] == [4, 2, 0]
    image = entry["files"]["image"]
    assert (output / image["path"]).stat().st_size == image["bytes"]
    assert image["width"] == 3 * image["height"] + 4
    html = (output / "index.html").read_text()
    for text in (f'alt="{entry["alt"]}"', "A strip.</p>", "<dt>Levels</dt>\n<dd>4, 2, 0</dd>"):
        assert text in html


def test_clip_of_the_manual(site: Path, tmp_path: Path) -> None:
    """The lines for an animated figure make a clip."""
    lines = re.search(r"```python\n(    images = displayed.*?)```", PAGE, re.DOTALL)
    assert lines is not None
    assert CODE is not None
    head = CODE[1].partition("        sampler, pictures")[0]
    head = head.replace("import made_with", "import displayed, grid_job")
    body = "        sampler = models.sampler(self.model)\n"
    body += "".join(f"    {line}\n" for line in lines[1].splitlines())
    (tmp_path / "installed/sitegen_strip.py").write_text(head + body, encoding="utf-8")
    (entry,) = json.loads((built(site) / "media.json").read_bytes())["figures"]
    assert {"mp4", "gif", "poster", "film"} <= entry["files"].keys()
    assert entry["cells"]["count"] == 1


@pytest.mark.parametrize("line", ["        def work():", "            row = ["])
def test_faults_are_of_the_package(site: Path, tmp_path: Path, line: str) -> None:
    """An exception of its code is one line with the page's line, its package and the message."""
    path = tmp_path / "installed/sitegen_strip.py"
    indent = line[: len(line) - len(line.lstrip())]
    path.write_text(path.read_text().replace(line, f"{indent}" + "{}[20]\n" + line))
    with pytest.raises(TargetError, match=r"index.md:3: tiny-strip: strip of the package siteg"):
        built(site)
