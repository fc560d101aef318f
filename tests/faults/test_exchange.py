"""A kill while clips are stored or the built folder is replaced costs no clip and no site."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.builders import INDEX, Builder, write_page

SECOND = '\n{{ trajectories("tiny", seed=3, id="second") }}\n'


def build_killed(site: Builder, number: int) -> int:
    """Build in a child that is killed at its rename of that number, from 1; return its status."""
    child = os.fork()
    if child == 0:
        calls = 0

        def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args)

            return call

        try:
            for name in ("rename", "replace"):
                setattr(Path, name, deadly(getattr(Path, name)))
            site()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_killed_at_every_rename(built: Builder, tmp_path: Path) -> None:
    """The built folder is the old site or the new one, and no clip that was finished is lost."""
    old = built.site_hash()
    shutil.copytree(built.root, tmp_path / "copy")
    write_page(built.config, INDEX + SECOND)
    built()
    new, missing, finished, number = built.site_hash(), 0, 0, 0
    while True:
        number += 1
        shutil.rmtree(built.root)
        shutil.copytree(tmp_path / "copy", built.root)
        write_page(built.config, INDEX + SECOND)
        status = build_killed(built, number)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        if built.output.exists():
            assert built.site_hash() in (old, new)
        missing += not built.output.exists()
        finished += built().rendered == ()
        assert built.site_hash() == new
        names = {path.name for path in built.root.iterdir() if path.name.startswith(".")}
        assert names == {".sitegen"}
    assert number > 5
    assert missing == 1  # between the two renames
    assert finished >= 2
