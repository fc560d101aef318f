"""Files of the author are never removed or changed, whatever is done in whatever order."""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sitegen.builder.export import ExportOptions, export
from sitegen.builder.prune import clean, clean_unused
from sitegen.config.loader import load_site
from sitegen.core.errors import SitegenError
from tests.support.builders import INDEX, SITE, write_page
from tests.support.previewing import running, wait_for
from tests.support.publishing import Paper

NAMES = [
    *(
        "notes",
        "notes/more",
        "a/b/c",
        "index.html",
        "media/x.mp4",
        "about/index.html",
        "README.txt",
    ),
    *("robots.txt", "objects/ab/x", "records/x.json", "quarantine/x", "work/x", "weights/m.json"),
]
PLACES = ("build", ".sitegen", "data", "exports", "kept-from-build", "elsewhere", "pages")


class Author:
    """Does things at random in a site, and remembers each byte that no command wrote."""

    def __init__(self, paper: Paper, seed: int) -> None:
        self.paper, self.root = paper, paper.root
        self.chance = random.Random(seed)
        self.written = set[bytes]()
        self.links = set[str]()
        self.done = list[str]()

    def act(self) -> None:
        """Do one thing; a command may refuse."""
        actions: list[Callable[[], object]] = [
            *(self.puts_a_file, self.puts_a_file, self.puts_a_link, self.edits_a_built_file),
            *(self.edits_a_page, self.builds, self.builds, self.serves, self.moves_the_store),
            *(self.cleans, self.cleans, self.cleans, self.publishes, self.exports),
        ]
        action = self.chance.choice(actions)
        self.done.append(action.__name__)
        try:
            action()
        except SitegenError as error:
            self.done[-1] += f" (refused: {error})"

    def require_all(self) -> None:
        """Fail unless every byte and link is still somewhere."""
        paths = [path for path in self.root.parent.rglob("*") if not path.is_dir()]
        files = [path for path in paths if path.is_file() and not path.is_symlink()]
        there = {path.read_bytes() for path in files if path.stat().st_size < 1_000_000}
        lost = {data for data in self.written if not any(data in each for each in there)}
        assert not lost, (lost, self.done)
        links = {os.readlink(path) for path in self.root.rglob("*") if path.is_symlink()}
        assert self.links <= links, (self.links - links, self.done)

    def _new(self) -> bytes:
        data = f"mine {self.chance.getrandbits(64):x}".encode()
        self.written.add(data)
        return data

    def _free(self) -> Path | None:
        """Return a path where nothing is, in a folder that may be made."""
        path = self.root / self.chance.choice(PLACES) / self.chance.choice(NAMES)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return None if os.path.lexists(path) else path
        return None

    def puts_a_file(self) -> None:
        """Put a new file where nothing is."""
        if path := self._free():
            path.write_bytes(self._new())

    def puts_a_link(self) -> None:
        """Make a link to nothing, or to a folder outside with a file."""
        if path := self._free():
            target = f"../{self.chance.choice(PLACES)}/{self.chance.getrandbits(64):x}"
            if self.chance.random() < 0.5:
                target = str(self.root.parent / f"outside {self.chance.getrandbits(64):x}")
                Path(target).mkdir()
                (Path(target) / "mine").write_bytes(self._new())
            path.symlink_to(target)
            self.links.add(target)

    def edits_a_built_file(self) -> None:
        """Write other bytes into a file of the built folder."""
        files = sorted(path for path in (self.root / "build").rglob("*") if path.is_file())
        files = [path for path in files if not path.is_symlink()]
        if files:
            path = self.chance.choice(files)
            before = path.read_bytes()
            self.written -= {data for data in self.written if data in before}
            data = self._new()
            path.unlink()
            path.write_bytes(before[:100] + data)

    def edits_a_page(self) -> None:
        """Ask for another figure."""
        count = self.chance.choice((1, 4, 9))
        write_page(self.paper.site.config, INDEX.replace("count=4", f"count={count}"))

    def moves_the_store(self) -> None:
        """Name another `cache_dir`, perhaps one that holds files or is a link."""
        folder = self.chance.choice((".sitegen", "data", "elsewhere", ".git"))
        limit = self.chance.choice(("", "cache_limit = 1\n"))
        self.paper.site.config.write_text(f'cache_dir = "{folder}"\n{limit}{SITE}')
        store = self.root / ".sitegen"
        if self.chance.random() < 0.3 and not os.path.lexists(store):
            store.symlink_to(self.chance.choice((".git", "data", "elsewhere")))
            self.links.add(os.readlink(store))

    def builds(self) -> None:
        """Build, perhaps into another folder."""
        output = self.chance.choice((None, None, None, self.root / "elsewhere", self.root / "b"))
        self.paper.site(output=output)

    def serves(self) -> None:
        """Show the site until its folder is written, or an error is shown."""
        with running(self.paper.site.config) as served:
            preview = served.preview
            wait_for(lambda: preview.settled or preview.state.error, "settling")

    def cleans(self) -> None:
        """Clean with one of the options."""
        site = load_site(self.paper.site.config)
        how = self.chance.choice(("plain", "store", "unused", "old"))
        self.done[-1] += f" {how}"
        if how == "unused":
            clean_unused(self.paper.site.config)
        elif how == "old":
            clean_unused(self.paper.site.config, 0)
        else:
            clean(site, store=how == "store")

    def publishes(self) -> None:
        """Publish to the bare repository."""
        self.paper.publish(overwrite=True, placeholders=True, stale=self.chance.random() < 0.5)

    def exports(self) -> None:
        """Export all clips."""
        export(self.paper.site.config, ExportOptions(formats=("mp4",)))


@pytest.mark.parametrize("seed", range(6))
def test_no_file_of_the_author_is_lost(paper: Paper, seed: int) -> None:
    """After each of 40 random commands and edits, every byte and link of the author is there."""
    author = Author(paper, seed)
    for _ in range(40):
        author.act()
        author.require_all()
    done = [words for words in author.done if words[0] != "m" and "refused" not in words]
    assert len(done) > 10, author.done
