"""Whoever reads the preview while it changes, or means it ill, spoils it for nobody."""

import re
from collections.abc import Iterator

import pytest

from tests.support.builders import Builder
from tests.support.previewing import Running, running, wait_for


@pytest.fixture
def server(built: Builder) -> Iterator[Running]:
    """A preview with its clip."""
    with running(built.config) as server:
        server.wait_until_settled()
        yield server


def test_a_reader_of_the_old_page_gets_its_files(server: Running, built: Builder) -> None:
    """What the page before the last change names is there, though the new one has other files."""
    page = server.ask("/").body.decode()
    named = set(re.findall(r'(?:href|src|poster)="((?:assets|media)/[^"]+)"', page))
    assert len(named) > 3
    state = server.preview.state
    (built.root / "theme").mkdir()
    (built.root / "theme/style.css").write_text("body{color:red}")
    (built.root / "pages/index.md").write_text("Other words.\n")
    wait_for(lambda: server.preview.state.version > state.version)
    server.wait_until_settled()
    new = server.preview.state.tree or {}
    gone = {name for name in named if name not in new}
    assert len(gone) > 1
    assert {server.ask(f"/{name}").status for name in named} == {200}
    assert server.ask("/media/none.mp4").status == 404
