"""A kill, or an error, at any system call on the files of a site: the next run finishes the work.

Tried by strace on what a run really asks of the kernel, not by stand-ins for its functions.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.builders import (
    INDEX,
    Builder,
    temporaries,
    write_page,
    write_site,
)
from tests.support.injecting import CHANGING, READING, Ended, Forge, forging
from tests.support.sweeping import LOG, counted, some

SECOND = '\n{{ trajectories("tiny", seed=3, id="second") }}\n'
KILL = "signal=KILL"
ERRORS = ("error=EIO", "error=ENOSPC", "error=EMFILE", "error=EACCES")
CODES = range(7)


@dataclass
class Site:
    """A site that was built and then edited, to be copied and built anew for every fault.

    old, new: the digests of the site that stands, and of the one that the next build makes
    """

    template: Path
    folder: Path
    forge: Forge
    old: str
    new: str

    def fresh(self) -> list[str]:
        """Put the edited site into its place; the words that build it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        return [str(self.folder / "site.toml")]

    def look_over(self, ended: Ended, about: object) -> None:
        """Old or new site, or none if it was killed between the two renames, told in words.

        Another build makes the new site and leaves nothing.
        """
        assert "Traceback" not in ended.said, (about, ended)
        site = Builder(self.folder / "site.toml")
        is_between = ended.code == -9 and (self.folder / ".sitegen-old-build").is_dir()
        if not (is_between and not site.output.exists()):
            assert site.site_hash() in (self.old, self.new), (about, ended)
        if ended.code == 0:
            assert site.site_hash() == self.new, (about, ended)
        again = self.forge.run([str(self.folder / "site.toml")])
        assert again.code == 0, (about, ended, again)
        assert site.site_hash() == self.new, (about, ended, again)
        # strace counts the calls of each thread, so an error may hit the removal of a workspace
        # both times. The next build that renders removes it; the one above found nothing to do.
        workspaces = self.folder / ".sitegen/work"
        remains = temporaries(self.folder.parent)
        assert [path for path in remains if ended.code or path.parent != workspaces] == [], about
        beside = {path.name for path in self.folder.iterdir() if path.name.startswith(".")}
        assert beside == {".sitegen"}, about


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[Site]:
    """The site, and a process that forks builds of it."""
    site = Builder(write_site(tmp_path / "template"))
    site()
    old = site.site_hash()
    write_page(site.config, INDEX.replace("Four", "4") + SECOND)
    shutil.copytree(site.root, tmp_path / "warm")
    warm = Builder(
        tmp_path / "warm/site.toml"
    )  # rendered by the forge, which imports what that needs
    with forging(tmp_path, warm.config) as forge:
        folder = tmp_path / "place/site"
        yield Site(site.root, folder, forge, old, warm.site_hash())


def test_build_killed_at_a_system_call(edited: Site) -> None:
    """Killed at a write, flush, rename or removal: the old site or the new; the next is right."""
    calls = edited.forge.calls(edited.fresh(), edited.folder, CHANGING)
    assert len(calls) > 50
    chosen = some(calls, 5)
    for call in chosen:
        ended = edited.forge.inject(edited.fresh(), call, KILL)
        assert ended.code == -9, (call, ended)
        edited.look_over(ended, call)
    counted("build killed at a system call that changes a file", len(chosen))


@pytest.mark.parametrize("fault", ERRORS)
def test_build_with_an_error_at_a_system_call(edited: Site, fault: str) -> None:
    """A disk that fails or is full, no descriptor, no permission: words, and nothing is lost."""
    calls = edited.forge.calls(edited.fresh(), edited.folder, CHANGING + READING)
    tries, made = some(calls, 40)[ERRORS.index(fault) :: len(ERRORS)], 0
    for call in tries:
        if made == 2 and not LOG:
            break
        ended = edited.forge.inject(edited.fresh(), call, fault)
        if ended.elsewhere:
            continue
        assert ended.code in CODES, (call, fault, ended)
        edited.look_over(ended, (call, fault))
        made += 1
    assert made
    counted("build with an error at a system call on its files", made)


def test_build_on_a_disk_that_stays_full(edited: Site) -> None:
    """From some write on there is no room: exit 4 says so in words; with room it goes well."""
    calls = edited.forge.calls(edited.fresh(), edited.folder, ["write", "sendfile", "mkdir"])
    chosen, said = some(calls, 3), 0
    for call in chosen:
        ended = edited.forge.inject(edited.fresh(), call, "error=ENOSPC", on=True)
        # Messages need `write`, too: Python ends with 1 or 120 if standard error is full.
        codes = (0, 1, 4, 120) if call.name == "write" else (0, 4)
        assert ended.code in codes, (call, ended)
        if ended.code and call.name != "write":
            assert "No space left on device; free some disk space" in ended.said, (call, ended)
            said += 1
        edited.look_over(ended, call)
    assert said
    counted("build on a disk that is full from some call on", len(chosen))
