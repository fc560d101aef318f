"""Publishing gives away nothing that sitegen did not make, and needs no mending by hand."""

import pytest

from tests.support.publishing import Paper

SOURCES = {
    "as built": "Words.\n",
    "newer": "Other words.\n",
    "broken": "{{ nothing }}\n",
    "not filmed": '{{ trajectories("tiny", count=4) }}\n',
}


@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES)
def test_only_what_sitegen_made_is_published(paper: Paper, text: str) -> None:
    """A file of others is refused by name wherever it lies, whatever became of the sources."""
    names = (".env", "id_rsa", "assets/id_rsa", "media/a.mp4", "notes.html", "a/b/index.html")
    (paper.root / "pages/index.md").write_text(text)
    for name in names:
        path = paper.site.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('<html lang="en"><title>x</title></html>')
        paper.refused(f"holds what sitegen did not put there.*{name}")
        path.unlink()
    paper.publish()
    assert paper.files() == paper.built()
    for note in (paper.root / ".sitegen/built").iterdir():
        note.write_text("damaged")
    if text in (SOURCES["broken"], SOURCES["not filmed"]):
        paper.refused("did not put there.*`sitegen build` makes the folder anew")
