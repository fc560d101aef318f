"""A kind of figure of another package: the manual's own, installed as it stands there."""

import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from sitegen.generative.card.card import read_card
from tests.support.builders import run_python, write_page, write_site
from tests.support.forked import run_forked
from tests.support.paths import ROOT
from tests.support.tinymodel import write_model

LEVELS_SHOWN = "<dt>Levels</dt>\n<dd>4, 2, 0</dd>"
CALL = 'Words.\n\n{{ strip("tiny", levels=[4, 2, 0], caption="A strip.") }}\n'
MOVING = "from sitegen.figures.clips import clip_job\n"
TREE = """
    from sitegen.figures.hierarchy.sample import tree_job
    images = displayed(sampler.tree(spec.seed, (3, 1)), "state")
    return tree_job(figure, card, (3, 1), images)
"""
PATHS = """
    from sitegen.figures.interpolation.sample import path_job
    from sitegen.sampling.trajectory import Paths
    paths = Paths(spec.seed, ((0, 1),), 5)
    ways = {"ours": (lambda: sampler.paths(paths), card.steps)}
    return path_job(figure, card, ways, 1, 5, 2)
"""
NOTHING = """
    return RenderJob((), made_with(figure, card))
"""
WHERE = "pages/index.md:3: tiny-strip: strip of the package sitegen-strip failed: "
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
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["name"]
    theirs = tomllib.loads(dict(files)["pyproject.toml"])["project"]["dependencies"]
    assert ours in [re.split(r"[^\w-]", each)[0] for each in theirs]
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    for name, text in files:
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    offline = ("--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check")
    run_python("-m", "pip", "install", "-q", *offline, "--target", str(target), str(source))
    return target


def run(installed: Path, *words: str, folder: Path, code: int = 0) -> str:
    """Run sitegen where the package is installed, and return what it said."""
    paths = os.pathsep.join([str(installed), str(ROOT)])
    done = run_forked(folder, *words, PYTHONPATH=paths)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_page_with_it_is_built(installed: Path, tmp_path: Path) -> None:
    """Still, words, download, origin and media.json are those of every kind, and it is reused."""
    write_model(write_site(tmp_path, CALL).parent / "models" / "tiny")
    build = ("build", "--device", "cpu")
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
    for words in (f'alt="{entry["alt"]}"', "A strip.</p>", "About", LEVELS_SHOWN):
        assert words in html
    assert re.search(r'<a href="media/tiny-strip-\w+\.webp" download[^>]*>WEBP</a>', html)
    assert "figures: 0 rendered, 1 reused" in run(installed, *build, folder=tmp_path)
    assert (tmp_path / "build/media.json").read_bytes() == manifest


def test_shipped_models(installed: Path, tmp_path: Path) -> None:
    """The manual's kind shows the small models that travel with sitegen, which skip levels."""
    cards = {path.parent.name: read_card(path) for path in sorted(ROOT.glob("models/*/model.toml"))}
    names = [name for name, card in cards.items() if card.image_size < 64]
    assert len(names) > 1
    calls = [f'{{{{ strip("{name}", levels=[100, 60, 40, 20, 0]) }}}}' for name in names]
    config = write_site(tmp_path, "\n\n".join(["Words.", *calls]))
    text = "".join(f'[models.{name}]\npath = "{ROOT / "models" / name}"\n' for name in names)
    config.write_text(config.read_text().partition("[models")[0] + text)
    run(installed, "build", "--device", "cpu", folder=tmp_path)
    entries = json.loads((tmp_path / "build/media.json").read_bytes())["figures"]
    assert [entry["models"][0]["name"] for entry in entries] == names
    for entry in entries:
        shown = entry["parameters"]["shown"]
        assert {*shown} <= {*cards[entry["models"][0]["name"]].visited_levels}
        assert [at <= level for at, level in zip(shown, [100, 60, 40, 20, 0], strict=True)]


def member(line: str, body: str) -> tuple[str, str]:
    """Where the page's spec ends, and a member that is put there."""
    return "\n\nKIND = ", f"\n    {line}:\n        {body}\n"


FAULTS = {
    "sample": ("    spec = figure.spec\n", "    {}[20]\n", "KeyError: 20 "),
    "work": ("                kept[level] = ", "                exit(0)\n", "SystemExit: 0 "),
    "still": ("        row = np.stack(", "        raise type('Odd', (Exception,), {})\n", "Odd: "),
    "check": ("        return levels\n", "        {}[20]\n", "KeyError: 20 "),
    "memory": ("        row = np.stack(", "        raise MemoryError\n", "MemoryError: "),
    "models": (*member("@property\n    def models(self)", "exit(2)"), "SystemExit: 2 "),
    "layout": (*member("@property\n    def layout(self)", "exit(2)"), "SystemExit: 2 "),
    "files": (*member("@property\n    def files(self)", "exit(2)"), "SystemExit: 2 "),
    "evaluations": (*member("def evaluations(self, cards)", "{}[20]"), "KeyError: 20 "),
    "incompatibilities": (*member("def incompatibilities(self, cards)", "{}[20]"), "KeyError: 20 "),
    "describe": (*member("def describe(self, card)", "exit(2)"), "SystemExit: 2 "),
    "method": (*member("def method(self, card)", "{}[20]"), "KeyError: 20 "),
    "with_words": (*member("def with_words(self, known, cards)", "{}[20]"), "KeyError: 20 "),
}
"""Where it fails: the line before which another is put, and the exception."""

RENDERING = {"sample", "work", "still", "memory"}
"""The faults of the module that samples; the others are the spec's."""


def faulty(name: str) -> str:
    """The file that fails, inside the package."""
    return f"sitegen_strip/{'sample' if name in RENDERING else '__init__'}.py"


def broken(installed: Path, folder: Path, name: str) -> Path:
    """A copy of the package that fails, installed beside it."""
    return inserted(installed, folder, faulty(name), *FAULTS[name][:2])


def inserted(installed: Path, folder: Path, file: str, before: str, line: str) -> Path:
    """A copy of the package with a line before another one."""
    shutil.copytree(installed, folder / "broken")
    module = folder / "broken" / file
    text = module.read_text(encoding="utf-8")
    assert before in text
    module.write_text(text.replace(before, line + before), encoding="utf-8")
    return folder / "broken"


@pytest.mark.parametrize("name", FAULTS)
def test_an_exception(installed: Path, tmp_path: Path, name: str) -> None:
    """It is one line with page, line, figure, package and its own place; other figures go on.

    With --verbose, the traceback follows.
    """
    package = broken(installed, tmp_path, name)
    more = '\n{{ trajectories("tiny", count=1) }}\n'
    write_model(write_site(tmp_path, CALL + more).parent / "models" / "tiny")
    build = ("build", "--device", "cpu")
    said = run(package, *build, folder=tmp_path, code=1)
    place = re.escape(f"error: {WHERE}{FAULTS[name][2]}(broken/{faulty(name)}:") + r"\d+\)"
    (told,) = (line for line in said.splitlines() if "error" in line)
    assert re.fullmatch(place, told)
    assert "Traceback" not in said
    assert "tiny-trajectories: done" in said
    if name in ("still", "check", "method"):
        said = run(package, *build, "--verbose", folder=tmp_path, code=1)
        assert told in said
        assert said.count("Traceback (most recent call last)") == 1
        assert faulty(name) in said.partition("Traceback")[2]
        assert "tiny-trajectories: in the store" in said


def test_ids_beside_an_exception(installed: Path, tmp_path: Path) -> None:
    """A call whose check fails keeps its id, so that links, options and other calls mean the same.

    Only calls of many levels fail.
    """
    package = broken(installed, tmp_path, "check")
    module = package / faulty("check")
    text = module.read_text(encoding="utf-8")
    failing = "        {}[20]\n"
    module.write_text(text.replace(failing, "        levels[3:] and {}[20]\n"), encoding="utf-8")
    others = (
        '\n{{ strip("tiny", levels=[2, 0]) }}\n\n{{ ref("tiny-strip") }}, [that](#tiny-strip)\n'
    )
    write_model(write_site(tmp_path, CALL + others).parent / "models" / "tiny")
    run(package, "build", "--device", "cpu", folder=tmp_path)
    one = (tmp_path / "build/media.json").read_bytes()
    run(package, "export", "tiny-strip-2", "--format", "png", folder=tmp_path)
    write_page(tmp_path / "site.toml", CALL.replace("[4, 2, 0]", "[4, 3, 2, 0]") + others)
    said = run(package, "build", "--device", "cpu", folder=tmp_path, code=1)
    assert f"error: {WHERE}KeyError: 20 " in said
    for words in (("export", "tiny-strip"), ("build", "--only", "tiny-strip")):
        assert f"error: {WHERE}KeyError: 20 " in run(package, *words, folder=tmp_path, code=1)
    run(package, "export", "tiny-strip-2", "--format", "png", folder=tmp_path)
    assert (tmp_path / "build/media.json").read_bytes() == one


def test_an_estimate_that_fails(installed: Path, tmp_path: Path) -> None:
    """Without the pixels of a figure it is rendered, and its time is unknown."""
    lines = member("def pixels(self, card)", "exit(2)")
    package = inserted(installed, tmp_path, "sitegen_strip/__init__.py", *lines)
    more = '\n{{ trajectories("tiny", count=1) }}\n'
    write_model(write_site(tmp_path, CALL + more).parent / "models" / "tiny")
    said = run(package, "build", "--device", "cpu", folder=tmp_path)
    assert f"warning: {WHERE}SystemExit: 2 " in said
    assert "figures: 2 rendered" in said


def test_no_picture(installed: Path, tmp_path: Path) -> None:
    """A job that makes nothing to show is an error with the figure's line, and is not stored."""
    package = changed(installed, tmp_path / "bare", NOTHING)
    write_model(write_site(tmp_path, CALL).parent / "models" / "tiny")
    for _ in range(2):
        said = run(package, "build", "--device", "cpu", folder=tmp_path, code=1)
        assert f"{WHERE}ValueError: it has neither a clip nor a still named image" in said


def test_a_picture_that_is_not_there(installed: Path, tmp_path: Path) -> None:
    """A still that is not where its job says is a fault of the package, and of no disk."""
    shutil.copytree(installed, tmp_path / "moved")
    module = tmp_path / "moved/sitegen_strip/sample.py"
    text = module.read_text(encoding="utf-8")
    (found,) = re.findall(r"^( +return )(write_still\(.*\))$", text, re.MULTILINE)
    drawn = (
        f"        file = {found[1]}\n        (folder / 'image.webp').unlink()\n        return file"
    )
    module.write_text(text.replace("".join(found), drawn), encoding="utf-8")
    write_model(write_site(tmp_path, CALL).parent / "models" / "tiny")
    said = run(tmp_path / "moved", "build", "--device", "cpu", folder=tmp_path, code=1)
    assert f"{WHERE}ValueError: image was not written to the given folder" in said


def test_words_that_no_page_can_hold(installed: Path, tmp_path: Path) -> None:
    """Half a character in the description of a kind is reported in a line."""
    lines = member("def describe(self, card)", "return 'a \\ud800'")
    package = inserted(installed, tmp_path, "sitegen_strip/__init__.py", *lines)
    write_model(write_site(tmp_path, CALL).parent / "models" / "tiny")
    said = run(package, "build", "--device", "cpu", folder=tmp_path, code=1)
    assert f"{WHERE}UnicodeEncodeError" in said
    assert "Traceback" not in said


def test_a_wrong_call_is_told(installed: Path, tmp_path: Path) -> None:
    """With its file and line, the nearest name, and what its own rules say."""
    write_site(tmp_path, CALL.replace("2, 0]", "5]").replace("caption", "captoin"))
    said = run(installed, "build", folder=tmp_path, code=2)
    for fault in ('captoin: unknown key, did you mean "caption"?', "levels = [4, 5]: should be"):
        assert f"pages/index.md:3: strip(…): {fault}" in said


def test_its_clip(installed: Path, tmp_path: Path) -> None:
    """The page's lines for a figure that moves make a clip with its poster and GIF."""
    shutil.copytree(installed, tmp_path / "moving")
    module = tmp_path / "moving/sitegen_strip/sample.py"
    above = module.read_text(encoding="utf-8").partition("    noise_std = ")[0]
    page = (ROOT / "docs/pages/extend.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```python\n(    .*?)^```$", page, re.MULTILINE | re.DOTALL)
    head, future, body = above.partition("import annotations\n")
    module.write_text(f"{head}{future}{MOVING}{body}{lines}", encoding="utf-8")
    write_model(write_site(tmp_path, CALL).parent / "models" / "tiny")
    run(tmp_path / "moving", "build", "--device", "cpu", folder=tmp_path)
    (entry,) = json.loads((tmp_path / "build/media.json").read_bytes())["figures"]
    assert set(entry["files"]) == {"mp4", "gif", "poster"}
    assert entry["files"]["mp4"]["frames"] == len(entry["levels"])
    assert len(set(entry["levels"])) == 5
    assert entry["files"]["poster"]["path"] in (tmp_path / "build/index.html").read_text()


def changed(installed: Path, folder: Path, lines: str) -> Path:
    """The package with other lines after those of the card."""
    shutil.copytree(installed, folder)
    module = folder / "sitegen_strip/sample.py"
    above = module.read_text(encoding="utf-8").partition("    shown = ")[0]
    module.write_text(above + lines, encoding="utf-8")
    return folder


def test_jobs_of_trees_and_paths(installed: Path, tmp_path: Path) -> None:
    """A plug-in makes them of its own samples, and a page gets their nodes and points."""
    write_model(write_site(tmp_path, CALL).parent / "models" / "tiny")
    for name, lines in (("tree", TREE), ("paths", PATHS)):
        package = changed(installed, tmp_path / name, lines)
        build = ("build", "--device", "cpu", "--rerender", "tiny-strip")
        run(package, *build, folder=tmp_path)
        (entry,) = json.loads((tmp_path / "build/media.json").read_bytes())["figures"]
        known = entry["parameters"]
        if name == "tree":
            assert [node["depth"] for node in known["nodes"]] == [0, 1, 1, 2, 2, 2, 2]
        else:
            assert (known["panels"], known["points"], known["hold"]) == (["ours"], 5, 2)
            assert entry["files"]["mp4"]["frames"] == 2 * (5 + 2)


def test_a_figure_without_a_model(installed: Path, tmp_path: Path) -> None:
    """The page's complete module is a kind whose figures need no model."""
    page = (ROOT / "docs/pages/extend.md").read_text(encoding="utf-8")
    (module,) = re.findall(r'^```python\n("""The kind `dots`.*?)^```$', page, re.M | re.S)
    package = tmp_path / "dots"
    shutil.copytree(installed, package)
    (package / "sitegen_strip/__init__.py").write_text(module, encoding="utf-8")
    (entries,) = package.glob("*.dist-info/entry_points.txt")
    entries.write_text(entries.read_text().replace("strip =", "dots ="))
    write_site(tmp_path, 'Words.\n\n{{ dots(count=3, id="three") }}\n')
    run(package, "build", folder=tmp_path)
    (entry,) = json.loads((tmp_path / "build/media.json").read_bytes())["figures"]
    assert (entry["kind"], entry["models"], entry["alt"]) == ("dots", [], "A row of dots")
    assert entry["files"]["image"]["width"] == 3 * 32
    assert entry["seed"] is None
    html = (tmp_path / "build/index.html").read_text()
    assert not [word for word in ("<dt>Model</dt>", "<dt>Seed</dt>", "trained") if word in html]


def test_the_manual_has_a_section_of_it(installed: Path) -> None:
    """With its call, and each argument with its description."""
    paths = os.pathsep.join([str(installed), str(ROOT)])
    page = run_python("-c", MANUAL, PYTHONPATH=paths).stdout
    assert "## `strip`\n\nOne sample at some levels, side by side.\n" in page
    assert '{{ strip("mnist", levels=[100, 60, 40, 20, 0]) }}' in page
    assert "| `levels` | needed | The levels that are shown, flattest first. |" in page
