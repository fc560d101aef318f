"""The manual is a site that sitegen builds, and what it tells an author to type works.

Blocks marked `sh`, `toml` and `markdown` are run or read here; `text` marks what only shows.
"""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import sitegen.cli.main
from scripts.manual import made_pages
from scripts.pictures import CLEAN, PICTURES
from sitegen.cli import exits
from sitegen.config.schema import load_site
from sitegen.content.pages import read_pages
from sitegen.deploy.check import check_site
from sitegen.figures.registry import figure_kinds
from sitegen.generative.card.card import ModelCard
from tests.support.builders import Builder, FakeRenderer, environment
from tests.support.paths import ROOT
from tests.support.previewing import WAIT_S
from tests.support.tinymodel import pictures, write_model

DOCS = ROOT / "docs"
PAGES = sorted(path.stem for path in (DOCS / "pages").glob("*.md"))
SITE = 'title = "A title"\n[models.mnist]\npath = "models/mnist"\n'
SITE += '[models.cifar10]\npath = "models/cifar10"\n'
CALL = '{{ trajectories("mnist", count=4) }}\n'
# What training is given besides, where the manual does not say it, so that it takes a moment.
SHORT = {"--images": "64", "--levels": "4", "--image-size": "8"}


@dataclass(frozen=True)
class Block:
    """A block of a page in its language."""

    page: str
    language: str
    text: str


def of(language: str, pages: Iterable[str] = PAGES) -> list[Block]:
    """All blocks of a language, of all pages or these; an empty language means any."""
    found = []
    for page in pages:
        text = re.sub(r"\{% (end)?raw %\}\n", "", (DOCS / f"pages/{page}.md").read_text())
        parts = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        found += [Block(page, each, content) for each, content in parts]
    return [block for block in found if not language or block.language == language]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that samples in a moment."""
    return write_model(tmp_path_factory.mktemp("model") / "mnist")


@pytest.fixture
def desk(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An author's folder: a site with two figures, and GitHub, which is a bare repository."""
    folder, settings = tmp_path / "desk", tmp_path / "gitconfig"
    for name in ("mnist", "cifar10"):
        shutil.copytree(model, folder / "models" / name)
    (folder / "pages").mkdir()
    (folder / "site.toml").write_text(SITE)
    (folder / "pages/index.md").write_text(CALL + "\n" + CALL.replace("4", "9"))
    (folder / ".gitignore").write_text("/build/\n")
    settings.write_text(
        f"[user]\nname = Ann\nemail = ann@example.org\n[init]\ndefaultBranch = main\n"
        f'[url "{tmp_path}/github.git"]\ninsteadOf = https://github.com/you/paper.git\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for words in (["--bare", str(tmp_path / "github.git")], [str(folder)]):
        subprocess.run(["git", "init", "--quiet", *words], check=True)
    monkeypatch.setattr("sitegen.builder.render.FigureRenderer", FakeRenderer())
    monkeypatch.chdir(folder)
    return folder


@dataclass(frozen=True)
class Shell:
    """Runs the lines of a page one after the other, as somebody at a terminal would."""

    monkeypatch: pytest.MonkeyPatch
    checkpoint: Path

    def run(self, line: str) -> None:
        """Run a line; whatever goes wrong fails the test."""
        words = shlex.split(line)
        self._provide(words)
        if words[0] == "cd":
            self.monkeypatch.chdir(words[1])
        elif words[:2] == ["sitegen", "serve"]:
            preview(words)
        elif words[0] == "sitegen":
            self._sitegen(words[1:])
        else:
            subprocess.run(["bash", "-c", line], check=True)

    def _provide(self, words: list[str]) -> None:
        """Put down the checkpoint, the pictures and the words that an author has."""
        if words[:2] == ["git", "init"]:
            for path in (Path("site.toml"), Path("pages/index.md")):
                written = re.sub(
                    r"\bYour?\b|\byou\b|you2026|0000|REPOSITORY",
                    "ann",
                    path.read_text(),
                    flags=re.I,
                )
                path.write_text(
                    re.sub("One sentence|abstract here|Say |Give the numbers", "Ann's ", written)
                )
        file, data = Path("runs/birds/checkpoint.pth"), Path("data/birds")
        if str(file) in words and not file.exists():
            file.parent.mkdir(parents=True)
            shutil.copy(self.checkpoint, file)
        if str(data) in words and not data.exists():
            data.mkdir(parents=True)
            for number, image in enumerate(pictures(8, size=28)):
                Image.fromarray(image[0]).save(data / f"{number}.png")

    def _sitegen(self, words: list[str]) -> None:
        if words[0] == "train":
            words += [word for name in SHORT if name not in words for word in (name, SHORT[name])]
        if words[0] == "export" and "--levels" in words:  # the model of this test has few
            words[words.index("--levels") + 1] = "4,2,0"
        if ">" in words:  # what is printed is of no use here
            words = words[: words.index(">")]
        self.monkeypatch.setattr(sys, "argv", ["sitegen", *words])
        with pytest.raises(SystemExit) as end:
            exits.run(lambda: sitegen.cli.main.cli.main(standalone_mode=False))
        assert end.value.code == 0, words


def preview(words: list[str]) -> None:
    """Start the preview, see that it tells an address, and stop it as the manual says."""
    command = [sys.executable, "-u", "-m", "tests.support.fakecli", *words[1:], "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(), stdout=pipe, text=True) as process:
        assert process.stdout is not None
        told = next(line for line in process.stdout if "http://127.0.0.1:" in line)
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert (process.returncode, "Ctrl-C" in told) == (130, True)


@pytest.mark.parametrize("page", [page for page in PAGES if of("sh", [page])])
def test_commands(page: str, desk: Path, monkeypatch: pytest.MonkeyPatch, reference: Path) -> None:
    """Every command of a page, in the page's order, ends well."""
    shell = Shell(monkeypatch, reference / "tiny/checkpoint.pth")
    for block in of("sh", [page]):
        for line in block.text.replace("\\\n", "").splitlines():
            shell.run(line)


@pytest.mark.parametrize("block", of("toml"), ids=lambda block: block.page)
def test_config_samples(block: Block, desk: Path, model: Path) -> None:
    """Each is a site.toml, or a part of one, or a model card, without a mistake."""
    if block.text.startswith("# model.toml"):
        assert ModelCard.from_toml(block.text).image_size > 0
        return
    for key, path in re.findall(r'^(path|card) = "(.+)"$', block.text, re.MULTILINE):
        (desk / path).parent.mkdir(parents=True, exist_ok=True)
        if Path(path).suffix:
            source = "model.toml" if key == "card" else "weights.safetensors"
            shutil.copy(model / source, desk / path)
        else:
            shutil.copytree(model, desk / path, dirs_exist_ok=True)
    head = "" if "title =" in block.text else 'title = "A title"\n'
    (desk / "site.toml").write_text(head + block.text)
    assert load_site(desk / "site.toml").title


@pytest.mark.parametrize("block", of("markdown"), ids=lambda block: block.page)
def test_page_samples(block: Block, desk: Path) -> None:
    """Each is a page without a mistake, and what it calls is shown."""
    for name in ("pictures", "own"):
        shutil.copytree(DOCS / name, desk / name, dirs_exist_ok=True)
    shutil.copytree(ROOT / "models/mnist-ddpm", desk / "models/mnist-ddpm")
    with (desk / "site.toml").open("a") as config:
        config.write('[models.mnist-ddpm]\npath = "models/mnist-ddpm"\n')
    (desk / "pages/index.md").write_text(block.text)
    (page,) = read_pages(load_site(desk / "site.toml"))
    assert page.body
    calls = r"^\{\{ (?=\w+\()"
    wanted = len(re.findall(calls, block.text, re.MULTILINE))
    assert sum(not isinstance(part, str) for part in page.body) == wanted


def test_manual_is_complete() -> None:
    """Every command, every kind of figure, every key; `make docs` writes the made pages anew."""
    assert {block.language for block in of("")} <= {"sh", "toml", "markdown", "python", "text"}
    typed = "\n".join(block.text for block in of("sh"))
    for name in sitegen.cli.main.cli.commands:
        assert re.search(rf"sitegen {name}\s", typed), name
    for name, text in made_pages().items():
        assert (DOCS / f"pages/{name}.md").read_text() == text, "run `make docs` and commit it"
    listed = (DOCS / "pages/write.md").read_text()
    for kind in figure_kinds():
        assert f"`{kind}`" in listed, kind


def test_manual_is_a_good_site(tmp_path: Path) -> None:
    """It builds under a sub-path, and `sitegen check` finds nothing."""
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("build", ".sitegen"))
    config = tmp_path / "docs/site.toml"
    site = Builder(config)
    config.write_text('base_url = "https://you.github.io/sitegen/"\n' + config.read_text())
    site(strict=True)
    found = check_site(load_site(config), site.output)
    assert (found.errors, found.warnings) == ((), ())
    assert found.pages >= len(PAGES)


def test_pictures() -> None:
    """Every picture is shown by a page and small, and those that a script takes are there."""
    text = "".join((DOCS / f"pages/{page}.md").read_text() for page in PAGES)
    files = {path.name: path for path in (DOCS / "pictures").iterdir()}
    assert {f"{name}.webp" for name in (*PICTURES, CLEAN)} <= files.keys()
    for name, path in files.items():
        assert re.search(rf'\{{\{{ \w+\(.*"pictures/{re.escape(name)}"', text), name
        assert path.stat().st_size < 80_000, name
