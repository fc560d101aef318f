"""What a machine may lack or do meanwhile: rights, descriptors, a clock, a lock file in order."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.support.builders import (
    INDEX,
    Builder,
    FakeRenderer,
    environment,
    traces,
    write_page,
)

SECOND = '\n{{ trajectories("tiny", seed=3, id="second") }}\n'
RIGHTS = "-dac_override,-dac_read_search,-fowner"


def build(site: Builder, *before: str, limit: Callable[[], None] | None = None) -> tuple[int, str]:
    """Build in a process of its own, started by other words; its exit code and what it said."""
    command = [*before, sys.executable, "-m", "tests.support.fakecli", "build", "-q"]
    done = subprocess.run(
        [*command, "--config", str(site.config)],
        env=environment(),
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("place", ["", ".sitegen/objects"])
def test_folders_that_may_not_be_written(built: Builder, place: str) -> None:
    """Without the right to write there: exit 4 that names the place, and nothing is rendered."""
    write_page(built.config, INDEX + SECOND)
    folder, before = built.root / place, built.site_hash()
    kept = traces(built.root / ".sitegen/records")
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        # Root may write everywhere, unless it gives that right away.
        mortal = (
            () if os.geteuid() else ("setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}")
        )
        code, said = build(built, *mortal)
    finally:
        folder.chmod(mode)
    assert (code, "Traceback" in said) == (4, False), said
    assert "Permission denied; give yourself permission" in said
    assert str(folder) in said
    assert built.site_hash() == before
    assert traces(built.root / ".sitegen/records") == kept
    assert built().rendered == ("second",)


def test_source_edited_while_it_is_built(built: Builder) -> None:
    """What was read is what is built; the next build makes what was written meanwhile."""
    write_page(built.config, INDEX + SECOND)

    class Author(FakeRenderer):
        def render_job(self, figure):  # type: ignore[no-untyped-def]  # as the one it stands for
            write_page(built.config, INDEX + SECOND + "\nWritten meanwhile.\n")
            return super().render_job(figure)

    site = Builder(built.config, Author())
    assert site().rendered == ("second",)
    assert "Written meanwhile" not in (site.output / "index.html").read_text()
    assert built().changed
    assert "Written meanwhile" in (built.output / "index.html").read_text()
    assert built.renderer.jobs == []


def test_a_site_holds_no_time(built: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the clock or SOURCE_DATE_EPOCH says, the site is the same, byte for byte."""
    before = built.site_hash()
    for epoch in ("0", "1099511627776", "soon"):
        write_page(built.config, "Other words.\n")
        built()
        write_page(built.config, INDEX)
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        assert built().changed
        assert built.site_hash() == before
