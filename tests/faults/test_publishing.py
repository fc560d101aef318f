"""Publishing gives away nothing that sitegen did not make, and needs no mending by hand."""

import json

import pytest

from sitegen.builder.install import read_folder
from sitegen.config.loader import load_site
from sitegen.core.files import digest_bytes
from sitegen.core.urls import MANIFEST
from sitegen.deploy.git import Remote, Repository
from sitegen.deploy.publish import freshness
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
        paper.refused(f"contains files that sitegen did not write.*{name}")
        path.unlink()
    paper.publish(stale=True)
    assert paper.files() == paper.built()
    for note in (paper.root / ".sitegen/built").iterdir():
        note.write_text("damaged")
    if text in (SOURCES["broken"], SOURCES["not filmed"]):
        paper.refused("did not write.*`sitegen build` moves them out of the folder")


def test_a_name_proves_nothing(paper: Paper) -> None:
    """Other bytes are refused under a name of sitegen's, of the last page, or that a manifest has.

    Whether the sources are as they were or not.
    """
    paper.rebuild('{{ trajectories("tiny", count=4) }}')
    manifest, key = paper.site.output / MANIFEST, paper.site.output / "media/id_rsa"
    before = manifest.read_text()
    clip = json.loads(before)["figures"][0]["files"]["gif"]
    key.write_bytes(b"s3cret")
    forged = before.replace(clip["path"], "media/id_rsa").replace(
        clip["sha256"], digest_bytes(b"s3cret")
    )
    manifest.write_text(forged)
    paper.refused(f"did not write, or that were changed since.*: {MANIFEST}, media/id_rsa;")
    key.unlink()
    manifest.write_text(before)
    paper.rebuild("Words.")
    whole = paper.built()
    names = whole.keys() - {MANIFEST}
    for name in names:
        (paper.site.output / name).write_bytes(whole[name] + b"s3cret")
    for text in SOURCES.values():
        (paper.root / "pages/index.md").write_text(text)
        folder = read_folder(paper.site.output).sealed()
        assert {*freshness(load_site(paper.site.config), folder).foreign} == names
    paper.refused("did not write, or that were changed since")
    for name, data in whole.items():
        (paper.site.output / name).write_bytes(data)
    assert paper.publish(stale=True).changed


def test_files_that_change_while_it_publishes(
    paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What becomes another file after it was looked at, a link to a key say, is not published."""
    asked, page, key = Repository.remote, paper.site.output / "index.html", paper.root / "key"
    key.write_text("s3cret")

    def remote(repository: Repository, name: str, branch: str) -> Remote:
        page.unlink()
        page.symlink_to(key)
        return asked(repository, name, branch)

    monkeypatch.setattr(Repository, "remote", remote)
    paper.refused(r"index\.html: has changed since it was checked")
    assert paper.tip() == ""


def test_files_that_come_while_it_publishes_stay(
    paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is laid into the folder after it was looked at is not published."""
    asked, late = Repository.remote, paper.site.output / ".env"

    def remote(repository: Repository, name: str, branch: str) -> Remote:
        late.write_text("s3cret")
        return asked(repository, name, branch)

    monkeypatch.setattr(Repository, "remote", remote)
    before = paper.built()
    paper.publish()
    assert late.exists()
    assert paper.files() == before
