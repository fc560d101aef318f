"""A kill while clips are stored or the built folder is replaced costs no clip and no site."""

import signal

from tests.support.builders import DEADLY, INDEX, Builder, run_python, write_page

BUILD = f"""{DEADLY}
from tests.support.builders import Builder
Builder(pathlib.Path(sys.argv[2]))()
"""
SECOND = '\n{{ trajectories("tiny", seed=3, id="second") }}\n'


def test_killed_at_every_rename(built: Builder) -> None:
    """The old site or the new one stays, finished clips too, and the next build is right."""
    old = built.site_hash()
    write_page(built.config, INDEX + SECOND)
    built()
    new, killed, finished = built.site_hash(), 0, 0
    while True:
        write_page(built.config, INDEX)
        built()
        for path in built.root.glob(".sitegen/*/*"):
            if path.is_file() and path.stat().st_mtime_ns > 0 and path.parent.name != "work":
                path.unlink()
        built(rerender=())
        assert built.site_hash() == old
        write_page(built.config, INDEX + SECOND)
        done = run_python("-c", BUILD, str(killed + 1), str(built.config))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
        if built.output.exists():
            assert built.site_hash() in (old, new)
        summary = built()
        finished += summary.rendered == ()
        assert built.site_hash() == new
        assert {path.name for path in built.root.iterdir() if path.name[0] == "."} == {".sitegen"}
    assert killed >= 5
    assert finished >= 2
