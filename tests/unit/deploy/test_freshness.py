"""Whether a built folder is what a build would make now; and where it will be visited."""

import re
from pathlib import Path

from sitegen.builder.install import read_folder
from sitegen.builder.store import Store
from sitegen.config.loader import load_site
from sitegen.deploy.publish import first_few, freshness, pages_address
from tests.support.builders import Builder, traces, write_page, write_site

SITE = 'title = "A title"\n{}[models.tiny]\npath = "models/tiny"\n'


def test_freshness(tmp_path: Path) -> None:
    """A look writes nothing; what is old would go; addresses are derived as GitHub does."""
    site = Builder(write_site(tmp_path, site=SITE.format('base_url = "https://a.org/b/"\n')))
    site()
    store = Store(tmp_path / ".sitegen")
    for key in store.keys("drawn-"):
        (tmp_path / f".sitegen/records/{key}.json").unlink()
    before = traces(tmp_path)
    found = freshness(load_site(site.config), read_folder(site.output).sealed())
    assert (found.stale, found.foreign) == ((), ())
    assert traces(tmp_path) == before
    (key,) = store.keys("")
    (tmp_path / f".sitegen/records/{key}.json").write_text("damaged")
    before = traces(tmp_path)
    assert freshness(load_site(site.config), read_folder(site.output).sealed()).stale == (
        "tiny-trajectories is not rendered",
    )
    assert traces(tmp_path) == before
    site = Builder(write_site(tmp_path))
    write_page(site.config, "# More\n\nWords.\n", "more")
    site()
    (tmp_path / "pages/more.md").unlink()
    write_page(site.config, "Words.\n")
    found = freshness(load_site(site.config), read_folder(site.output).sealed())
    assert {"index.html differs", "more/index.html would be removed"} <= set(found.stale)
    assert any(re.fullmatch(r"media/.*\.mp4 would be removed", words) for words in found.stale)
    assert found.foreign == ()
    assert re.search(r" and \d+ more$", first_few(found.stale))
    for url in ADDRESSES:
        config = write_site(tmp_path)
        assert pages_address(load_site(config), url) == ADDRESSES[url]
        config.write_text(SITE.format('base_url = "https://a.org/b/"\n'))
        assert pages_address(load_site(config), url) == "https://a.org/b/"


ADDRESSES = {
    "https://github.com/Ann/paper.git": "https://ann.github.io/paper/",
    "https://github.com/Ann/paper": "https://ann.github.io/paper/",
    "https://token@github.com/ann/paper/": "https://ann.github.io/paper/",
    "git@github.com:ann/paper.git": "https://ann.github.io/paper/",
    "github.com:ann/paper": "https://ann.github.io/paper/",
    "ssh://git@github.com:22/ann/paper.git": "https://ann.github.io/paper/",
    "git@github.com-work:ann/paper.git": "https://ann.github.io/paper/",
    "ssh://git@github.com-work:22/ann/paper": "https://ann.github.io/paper/",
    "https://github.com-work/ann/paper.git": None,
    "git@github.com:Ann/Ann.github.io.git": "https://ann.github.io/",
    "https://gitlab.com/ann/paper.git": None,
    "../github.com": None,
    "https://notgithub.com/ann/paper.git": None,
}
