"""After whatever was done to a site, a build gives what a build from nothing would give."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from tests.support.builders import CARD, SITE, Builder, write_page
from tests.support.builders import write_site as write
from tests.support.injecting import CHANGING, Call, Forge, forging
from tests.support.sweeping import LOG, counted, examples

KINDS = ("trajectories", "shared_initial_state", "hierarchy", "spectra", "sampler")
WORDS = st.text("ab <&é*_`#{", min_size=1, max_size=6)
built = 0


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """What forks the builds that are killed."""
    folder = tmp_path_factory.mktemp("forge")
    with forging("build", folder, write(folder / "site")) as forge:
        yield forge


class Edits(RuleBasedStateMachine):
    """An author, a disk and a killer at work on one site, which is built now and then."""

    forge: Forge

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="edits-"))
        self.site = Builder(write(self.folder / "site"))
        self.pages = {"index": ["Words.", '{{ trajectories("tiny", id="f0") }}']}
        self.number = 0
        self._write()

    def teardown(self) -> None:
        """Build whatever was done, and leave nothing."""
        if self.site.config.exists():
            self.builds(jobs=1)
        shutil.rmtree(self.folder)

    def _write(self) -> None:
        for name, parts in self.pages.items():
            title = "" if name == "index" else f"# {name}\n\n"
            write_page(self.site.config, title + "\n\n".join(parts) + "\n", name)

    def _call(self, kind: str, seed: int, caption: str) -> str:
        self.number += 1
        words = caption.replace("{", "").replace("\\", "")
        return f'{{{{ {kind}("tiny", seed={seed}, caption="{words}", id="f{self.number}") }}}}'

    @rule(kind=st.sampled_from(KINDS), seed=st.integers(0, 2), caption=WORDS, place=st.booleans())
    def adds_a_figure(self, kind: str, seed: int, caption: str, place: bool) -> None:
        """Another call, at the end of a page."""
        parts = self.pages[sorted(self.pages)[-1 if place else 0]]
        if len(parts) < 5:
            parts.append(self._call(kind, seed, caption))
        self._write()

    @rule(seed=st.integers(0, 2), caption=WORDS)
    def edits_a_figure(self, seed: int, caption: str) -> None:
        """Another seed and caption."""
        parts = self.pages["index"]
        parts[-1] = self._call("trajectories", seed, caption)
        self._write()

    @rule(words=WORDS)
    def writes_words(self, words: str) -> None:
        """Other text."""
        self.pages["index"][0] = f"Words {words.replace('{', '')}"
        self._write()

    @rule()
    def takes_a_figure_away(self) -> None:
        """Fewer calls."""
        for parts in self.pages.values():
            del parts[2:]
        self._write()

    @rule(name=st.sampled_from(["more", "zoo"]))
    def adds_or_takes_a_page(self, name: str) -> None:
        """One page more or less."""
        if self.pages.pop(name, None) is None:
            self.pages[name] = ["Text."]
        else:
            (self.site.root / f"pages/{name}.md").unlink()
        self._write()

    @rule(
        title=st.sampled_from(["A title", "Another"]), more=st.sampled_from(["", "language = 'de'"])
    )
    def edits_the_config(self, title: str, more: str) -> None:
        """Another title or language."""
        self.site.config.write_text(f"{more}\n{SITE.replace('A title', title)}")

    @rule(data=st.sampled_from([b"weights", b"others"]), levels=st.sampled_from([4, 5]))
    def trains_the_model_anew(self, data: bytes, levels: int) -> None:
        """Other weights or another card."""
        model = self.site.root / "models/tiny"
        (model / "weights.safetensors").write_bytes(data)
        (model / "model.toml").write_text(CARD.replace("levels = 4", f"levels = {levels}"))

    @rule(colour=st.sampled_from(["red", "blue", ""]))
    def edits_the_theme(self, colour: str) -> None:
        """Another style, or none."""
        theme = self.site.root / "theme"
        shutil.rmtree(theme, ignore_errors=True)
        if colour:
            theme.mkdir()
            (theme / "style.css").write_text(f"body{{color:{colour}}}")

    @rule(chance=st.integers(0, 999), how=st.sampled_from(["delete", "cut", "touch"]))
    def spoils_the_store(self, chance: int, how: str) -> None:
        """A file of the store is damaged."""
        self._spoil(self.site.root / ".sitegen", chance, how)

    @rule(chance=st.integers(0, 999), how=st.sampled_from(["delete", "cut", "touch"]))
    def spoils_the_built_folder(self, chance: int, how: str) -> None:
        """A file of the built folder is damaged."""
        self._spoil(self.site.output, chance, how)

    def _spoil(self, folder: Path, chance: int, how: str) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        files = [path for path in files if path.name != "media.json"]  # whose lack is refused
        if not files:
            return
        path = files[chance % len(files)]
        data = path.read_bytes()
        place = random.Random(chance).randrange(len(data)) if data else 0
        path.chmod(0o644)
        if how == "delete":
            path.unlink()
        elif how == "touch":
            path.touch()
        elif data:
            turned = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
            path.write_bytes(data[:place] if how == "cut" else turned)

    @rule(name=st.sampled_from(["rename", "write", "mkdir", "unlink"]), n=st.integers(1, 30))
    def is_killed_while_building(self, name: str, n: int) -> None:
        """Kill -9 at one of the calls that change files."""
        assert name in CHANGING
        self.forge.inject([str(self.site.config)], Call(name, n, ""), "signal=KILL")

    @precondition(lambda self: self.site.config.exists())
    @rule(jobs=st.sampled_from([1, 2]))
    def builds(self, jobs: int) -> None:
        """The site is that of a clean build, and a second build does nothing."""
        global built
        self.site(jobs=jobs)
        clean = Builder(self.folder / "clean/site.toml")
        leave = shutil.ignore_patterns(".sitegen*", "build")
        shutil.copytree(self.site.root, clean.root, ignore=leave)
        clean()
        assert self.site.site_hash() == clean.site_hash()
        shutil.rmtree(clean.root)
        assert self.site().changed is False
        assert self.site.renderer.jobs == []
        built += 1

    @invariant()
    def site_is_whole_or_not_there(self) -> None:
        """The site is never a folder without its manifest."""
        output = self.site.output
        assert not output.exists() or (output / "media.json").exists()


def test_incremental_is_clean_whatever_was_done(forge: Forge) -> None:
    """Edits, kills, damage of store and folder in any order: each build equals a clean one."""
    global built
    built = 0
    Edits.forge = forge
    few = examples(2, 150)
    run_machine(Edits, settings=type(few)(few, stateful_step_count=40 if LOG else 14))
    assert built
    counted("builds after edits, damage and kills that equal a clean build", built)
